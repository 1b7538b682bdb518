// What every line-based file of an app shares: a warning with its position, and a walk over lines
// that forgives what editors leave behind (byte order mark, CRLF, a missing last newline).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace slipway::source {

/// Something odd in a file of the app that does not stop the build.
struct Warning {
  SourcePos pos;
  std::string text;
  std::string to_string() const { return pos.to_string() + ": " + text; }
};

/// Calls on_line(number, text) for each line, numbers from 1, text without "\n" and without one
/// trailing CR. A UTF-8 byte order mark is dropped with a warning (heroku.md PROC-3). Throws
/// Error(app_files) at the first NUL byte, which tells UTF-16 files apart; positions count bytes.
void for_each_line(std::string_view text, const std::string& file, std::vector<Warning>& warnings,
                   const std::function<void(int number, std::string_view line)>& on_line);

/// The blanks of a regular expression's \s: space, \t, \n, \v, \f, \r — in every locale.
inline bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

}  // namespace slipway::source
