// "# syntax=…", "# escape=…", "# check=…" at the top of a file (P5-P10).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/instruction.h"

namespace slipway::dockerfile {

struct Zone {
  Directives directives;
  /// So many lines at the top are directives: they are no comments.
  int lines = 0;
};

/// Throws Error(app_files) for a directive given twice and for an escape character that is none.
Zone read_directives(std::string_view text, const std::string& file);

/// Why the language a syntax directive asks for is not quite the one known here; empty when it is
/// (P9).
std::string syntax_note(const std::string& syntax);

}  // namespace slipway::dockerfile
