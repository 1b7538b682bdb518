#include "base/json.h"

#include "base/error.h"

namespace slipway {
namespace {

void check_depth(std::string_view text, const std::string& file, ExitCode code) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      if (++depth > 200) fail(code, "{}: nested deeper than 200 levels", file);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& file, int exit_code) {
  const auto code = static_cast<ExitCode>(exit_code);
  check_depth(text, file, code);
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& problem) {
    SourcePos pos{file, 1, 1};
    const size_t offset = problem.byte > 0 ? std::min(problem.byte - 1, text.size()) : 0;
    for (size_t i = 0; i < offset; ++i) {
      if (text[i] == '\n') {
        ++pos.line;
        pos.column = 1;
      } else {
        ++pos.column;
      }
    }
    std::string message = problem.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error …"
    const size_t cut = message.find(": ");
    if (cut != std::string::npos) message = message.substr(cut + 2);
    throw Error(code, "not valid JSON: " + message).set_pos(pos);
  } catch (const Json::exception& problem) {
    // A number that no double holds, for one; it comes without a place.
    const std::string_view message = problem.what();
    throw Error(code, fmt::format("not valid JSON: {}",
                                  message.substr(std::min(message.size(), message.find("] ") + 2))))
        .set_pos({file});
  }
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace slipway
