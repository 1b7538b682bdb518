// Reading /etc/passwd and /etc/group of a step's root: foreign files, read within bounds by a
// parser of our own; neither NSS nor anything else of the root is asked (threats 7, 12, 17).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::sandbox {

struct StepUser {
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;  ///< supplementary
  std::string home;              ///< empty when passwd does not say
};

/// Largest passwd or group file that is read, and longest line that is looked at.
constexpr size_t passwd_file_max = 4 << 20;
constexpr size_t passwd_line_max = 64 << 10;

/// Resolves "uid", "uid:gid", "name", "name:group" as Docker does: numbers need no entry; a name
/// must have one; the group defaults to the passwd entry's, else 0 (I3). Supplementary groups are
/// the group itself and, unless one is given, those of the group file. Ids are unsigned 32-bit
/// decimals: "-1", "4294967296", "0x0" and "root " are errors of exit code app_files. 4294967295 is
/// refused: it means "keep".
StepUser resolve_user(std::string_view user, std::string_view passwd, std::string_view group);

}  // namespace slipway::sandbox
