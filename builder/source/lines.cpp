#include "source/lines.h"

namespace slipway::source {

void for_each_line(std::string_view text, const std::string& file, std::vector<Warning>& warnings,
                   const std::function<void(int number, std::string_view line)>& on_line) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    throw Error(ExitCode::app_files, "the file is UTF-16")
        .set_pos({file, 1, 1})
        .set_hint("save it as UTF-8");
  if (text.starts_with("\xef\xbb\xbf")) {
    warnings.push_back({{file, 1, 1}, "byte order mark dropped; save the file without one"});
    text.remove_prefix(3);
  }
  int number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t nul = line.find('\0');
    if (nul != std::string_view::npos)
      throw Error(ExitCode::app_files, "NUL byte in a text file")
          .set_pos({file, number, static_cast<int>(nul) + 1})
          .set_hint("save it as UTF-8 text");
    on_line(number, line);
  }
}

}  // namespace slipway::source
