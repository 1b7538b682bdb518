#include "source/procfile.h"

#include <algorithm>

namespace slipway::source {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

size_t skip_blanks(std::string_view line, size_t at) {
  while (at < line.size() && is_blank(line[at])) ++at;
  return at;
}

class Parser {
 public:
  Parser(std::string file, Procfile& result) : file_(std::move(file)), result_(result) {}

  void line(int number, std::string_view text) {
    const size_t name_start = skip_blanks(text, 0);
    size_t at = name_start;
    while (at < text.size() && is_name_char(text[at])) ++at;
    const std::string name(text.substr(name_start, at - name_start));
    if (name.empty()) return warn_about_conflict(number, name_start, text);
    const bool colon = at < text.size() && text[at] == ':';
    if (colon) ++at;
    if (at < text.size() && !is_blank(text[at])) {
      // "web:cmd" silently vanishes on the platform; other such lines are prose.
      if (colon && text[at] != ':')
        warn(number, at,
             fmt::format("no blank after '{}:', so the line is ignored; write '{}: {}'", name, name,
                         text.substr(at)));
      return;
    }
    const std::string command(text.substr(skip_blanks(text, at)));
    if (!colon) warn_about_missing_colon(number, at, name, command);
    add(number, name_start, name, command);
  }

 private:
  void warn(int number, size_t at, std::string text) {
    result_.warnings.push_back({{file_, number, static_cast<int>(at) + 1}, std::move(text)});
  }

  void warn_about_conflict(int number, size_t at, std::string_view text) {
    if (text.starts_with("<<<<<<<") || text.starts_with("=======") || text.starts_with(">>>>>>>"))
      warn(number, at, "conflict marker of a merge, ignored");
  }

  void warn_about_missing_colon(int number, size_t at, const std::string& name,
                                const std::string& command) {
    if (command.starts_with(":"))
      warn(number, at,
           fmt::format("blank before the colon, so the command of '{}' is '{}'", name, command));
    else
      warn(number, at,
           fmt::format("no colon after '{}', taken as a process type all the same", name));
  }

  void add(int number, size_t at, const std::string& name, const std::string& command) {
    if (command.empty()) warn(number, at, fmt::format("'{}' has an empty command", name));
    const auto before = result_.lines.find(name);
    if (before != result_.lines.end())
      warn(number, at,
           fmt::format("'{}' stands on line {} too; this one wins", name, before->second));
    result_.types[name] = command;
    result_.lines[name] = number;
  }

  std::string file_;
  Procfile& result_;
};

}  // namespace

Procfile parse_procfile(std::string_view text, const std::string& file) {
  Procfile result;
  Parser parser(file, result);
  for_each_line(text, file, result.warnings,
                [&](int number, std::string_view line) { parser.line(number, line); });
  return result;
}

ProcessTypes merge_process_types(const ProcessTypes& defaults, const ProcessTypes& procfile) {
  ProcessTypes merged = procfile;
  merged.insert(defaults.begin(), defaults.end());
  return merged;
}

bool is_process_type_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), is_name_char);
}

}  // namespace slipway::source
