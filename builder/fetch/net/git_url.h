// Which repository an address means, and whether git may be given it at all (threat 13).
#pragma once

#include <string>

#include "netfetch/git_program.h"

namespace slipway::netfetch {

struct GitAddress {
  enum class Kind { https, http, git, ssh, local } kind = Kind::local;
  std::string url;    ///< for git: without credentials (an ssh user stays); local: absolute path
  std::string shown;  ///< for messages
  GitCredentials credentials;
};

/// Forms: https, http, git, ssh and file URLs, user@host:path, and paths of this machine.
/// Throws Error(outside) for anything else: other transports ("ext::…"), a leading '-' of the
/// address, host or path, control characters.
GitAddress parse_git_address(const std::string& text);

/// The address of a submodule: absolute, or relative ("./x", "../x") to its parent's. Paths of
/// this machine are refused: a repository must not name what lies beside it on our disk.
/// Credentials stay with `parent` when the origin is the same, and are never taken from the text.
GitAddress submodule_address(const GitAddress& parent, const std::string& text);

/// Throws Error(outside) unless `ref` can be a branch, a tag or a commit's name; empty = HEAD.
void check_ref(const std::string& ref);
bool is_hex(const std::string& text);
/// 40 or 64 lower- or upper-case hex digits.
bool is_full_commit(const std::string& text);

}  // namespace slipway::netfetch
