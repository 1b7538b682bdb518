// A buildpack as somebody names it: bare built-in name, registry name, URN, git URL, tarball URL,
// folder (heroku.md SRC-1…6). Parsing decides what is meant; nothing is looked up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "source/public_names.h"

namespace slipway::source {

struct BuildpackRef {
  enum class Kind {
    builtin,   ///< one of Slipway's own: name
    registry,  ///< published ns/name: name, url = its tarball
    git,       ///< url, ref (empty = default branch)
    tarball,   ///< url, query string kept (SRC-4)
    folder,    ///< path
  };
  Kind kind = Kind::builtin;
  std::string name;
  std::string url;  ///< what to fetch; may carry credentials: never print, store or key it
  std::string ref;
  std::string path;  ///< as given, relative to wherever the reference was written
  /// Values in `url` that must be masked wherever they could appear.
  std::vector<std::string> secrets;

  /// As the transcript shows it (OUT-4, SRC-5): "nodejs (built in)", "heroku/nodejs", the URL with
  /// its "#ref", without credentials; secret query values are "[redacted]".
  std::string display() const;
  /// `display` without " (built in)": the name records and manifests keep.
  std::string public_name() const;
};

/// Accepted: `nodejs` (must be in `builtins`), `ns/name`, `urn:buildpack:ns/name`,
/// http|https|git|ssh|file URLs and user@host:path with an optional `#ref` (split at the FIRST
/// '#'), tarball URLs (SRC-3 and herokuish's endings), and folders: `.`, `..`, `./x`, `../x`, `/x`,
/// `x/`. Throws Error(usage) naming the accepted forms; positions are added by who knows them.
BuildpackRef parse_buildpack_ref(std::string_view text, const std::vector<std::string>& builtins,
                                 const PublicNames& names = public_names());

/// SRC-3: ^https?://.*\.(tgz|tar\.gz) then end or '?'; also .tbz, .tbz2, .tar.bz, .tar.bz2, .tar,
/// .txz, .tar.xz, .tar.zst.
bool is_tarball_url(std::string_view url);

}  // namespace slipway::source
