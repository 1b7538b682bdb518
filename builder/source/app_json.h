// app.json: what a builder needs of it (heroku.md §13): name, stack, buildpacks, env, scripts, and
// the overlays for test and review. Unknown keys are left alone; a wrong type is an error with the
// position of the offending value, because a silently ignored key costs somebody an afternoon.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace slipway::source {

/// One entry of "buildpacks" (APP-2); the text of "url", not yet judged.
struct AppBuildpack {
  std::string url;
  SourcePos pos;
};

/// One entry of "env" (APP-3).
struct AppEnv {
  std::optional<std::string> value;
  std::string description;
  bool required = true;
  bool generated = false;  ///< "generator": "secret" — a random string, made once per app
};

/// What environments.test and environments.review may override (APP-4).
struct AppOverlay {
  std::map<std::string, AppEnv> env;
  std::optional<std::vector<AppBuildpack>> buildpacks;  ///< empty optional = key absent
  std::map<std::string, std::string> scripts;           ///< "test", "test-setup", "postdeploy", …
};

struct AppJson : AppOverlay {
  std::optional<std::string> name, stack;
  SourcePos name_pos, stack_pos;
  std::map<std::string, AppOverlay> environments;

  /// The settings for one environment: its buildpacks replace ours, env and scripts overlay them.
  AppOverlay for_environment(const std::string& environment) const;
};

/// Throws Error(app_files) with file:line:column for broken JSON, wrong types, a buildpack given as
/// a bare string (APP-2), an env key that no shell accepts (ENV-4) and files past 1 MiB.
AppJson parse_app_json(std::string_view text, const std::string& file = "app.json");

}  // namespace slipway::source
