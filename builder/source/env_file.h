// Config vars as they are given: -e K=V, -e K, and docker-style env files. The rules of keys and
// sizes live here because every way in must keep them (heroku.md ENV-4, ENV-8).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "source/lines.h"

namespace slipway::source {

/// ENV-4: buildpacks loop over `ls ENV_DIR` unquoted.
inline constexpr const char* config_key_rule =
    "a name has letters, digits and underscores and does not begin with a digit";
/// ENV-8.
inline constexpr size_t config_size_max_bytes = 64 << 10;

/// [A-Za-z_][A-Za-z0-9_]*
bool is_config_key(std::string_view key);

struct EnvEntry {
  std::string key;
  /// Empty optional: `K` alone, the caller takes the value from the environment, if it is there.
  std::optional<std::string> value;
  SourcePos pos;  ///< unset for command-line flags
};

/// One `-e` argument, "K=V" or "K"; the value may hold newlines. `flag` is named in messages.
/// Throws Error(usage) for a bad key or a NUL byte.
EnvEntry parse_env_flag(std::string_view argument, const std::string& flag = "-e");

struct EnvFile {
  std::vector<EnvEntry> entries;  ///< in the file's order; of equal keys the last counts
  std::vector<Warning> warnings;
};
/// `docker run --env-file`: lines K=V or K; blank lines and lines whose first sign is '#' are
/// skipped; leading blanks are dropped; the value is taken as it stands, quotes and trailing blanks
/// included. Throws Error(app_files) with file:line:column.
EnvFile parse_env_file(std::string_view text, const std::string& file);

/// ENV-8: keys and values together at most 64 KiB. Throws Error(usage) naming the largest.
void check_config_size(const std::map<std::string, std::string>& config);

}  // namespace slipway::source
