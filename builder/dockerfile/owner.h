// Who owns files: "user[:group]" of --chown and USER (dockerfile.md C13, I3), and modes of --chmod
// (C14).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "graph/op.h"

namespace slipway::dockerfile {

struct OwnerSpec {
  std::optional<graph::Owner> ids;  ///< when no name has to be looked up
  std::string names;                ///< else as written
};

/// A number without a group has the group of the same number; "root" is 0. Numbers of more than 32
/// bits, signs, blanks and control characters are refused (threat 17): throws Error(app_files)
/// without a position.
OwnerSpec parse_owner(std::string_view text);
/// The same checks for USER, whose text is kept as it is and looked up when a step runs; empty is
/// allowed.
void check_user(std::string_view text);

/// chmod's argument: a number up to 07777, or the symbolic form, checked for its grammar. Throws
/// Error(app_files) without a position.
struct ModeSpec {
  int mode = -1;
  std::string text;
};
ModeSpec parse_mode(std::string_view text);

}  // namespace slipway::dockerfile
