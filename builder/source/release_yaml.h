// What a buildpack's bin/release prints (heroku.md REL-1, REL-2): YAML in all the shapes that real
// buildpacks use, read with bounds because it is foreign text.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "source/procfile.h"

namespace slipway::source {

struct ReleaseInfo {
  ProcessTypes default_process_types;              ///< commands untouched (REL-4)
  std::vector<std::string> addons;                 ///< honoured on an app's first deploy only
  std::map<std::string, std::string> config_vars;  ///< legacy, first deploy only
};

/// Accepts nothing, "---", "--- {}", null for any of the three keys, unknown keys, several
/// documents (the first counts); scalars keep their written text, of equal keys the last counts.
/// `buildpack` is named in errors: Error(build_failed) "bin/release of Elixir printed …" with
/// line:column. At most 1 MiB; nesting is bounded by yaml-cpp's depth guard and aliases are never
/// expanded (threats 7, 21).
ReleaseInfo parse_release_yaml(std::string_view text, const std::string& buildpack);

}  // namespace slipway::source
