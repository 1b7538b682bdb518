// Which findings are told and whether they fail the build: "# check=…", the build arg that replaces
// it, and comments above an instruction (dockerfile.md P10, §5).
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace slipway::dockerfile {

struct CheckOptions {
  bool skip_all = false, experimental_all = false;
  std::set<std::string> skip, experimental;  ///< names of rules
  bool error = false;                        ///< a finding that is told fails the build
  /// Experimental rules are told when asked for only.
  bool tells(const std::string& rule) const;
};

/// "skip=Rule,Rule;error=true;experimental=all". Throws Error(app_files) without a position for an
/// unknown key or a value that is none.
CheckOptions parse_check(std::string_view text);

/// The options in a comment "check=skip=Rule" above an instruction; empty = it is none.
std::string_view check_comment(std::string_view comment);

}  // namespace slipway::dockerfile
