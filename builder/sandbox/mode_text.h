// The forms of --chmod (dockerfile.md C14): octal "0755", or symbolic as chmod(1) and BSD's
// setmode(3) have it ("u=rwX,go=rX", "+X", "g=u"), with a umask of 0.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::sandbox {

class ModeChange {
 public:
  /// Throws Error(app_files) for anything else.
  static ModeChange parse(std::string_view text);
  /// The new permission bits (07777) of a file or folder that has `mode`.
  uint32_t apply(uint32_t mode, bool folder) const;

 private:
  /// One operator of a clause: "g=u" is {who g, '=', copy u}.
  struct Change {
    uint32_t who = 0;  ///< bits it may touch
    char op = '=';
    uint32_t bits = 0;
    bool execute_if_any = false;  ///< X
    char copy = 0;                ///< 'u', 'g' or 'o': takes over that class's bits
  };
  std::vector<Change> changes_;
  bool octal_ = false;
  uint32_t mode_ = 0;
};

}  // namespace slipway::sandbox
