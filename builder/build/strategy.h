// Which kind of build: buildpacks, a Dockerfile, or heroku.yml (several Dockerfiles and a config).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace slipway::build {

enum class Strategy : uint8_t { automatic, buildpack, dockerfile, heroku_yml };
/// "buildpack", "dockerfile", "heroku.yml"
const char* strategy_name(Strategy strategy);
/// What --strategy says. Throws Error(usage) naming the choices.
Strategy parse_strategy(const std::string& text);

/// All that the choice depends on.
struct StrategyInputs {
  Strategy forced = Strategy::automatic;  ///< --strategy
  std::string buildpack_flag;             ///< "-b" or "--slug" when one was given
  std::string dockerfile_flag;            ///< "-f", "--target" … when one was given
  bool container_stack = false;           ///< the app's stack is `container`
  std::string container_reason;           ///< "app.json says so", "--stack container"
  std::string configured_buildpacks;      ///< where buildpacks are configured, empty = nowhere
  bool heroku_yml = false, dockerfile = false;  ///< the files exist
};

struct StrategyChoice {
  Strategy strategy = Strategy::buildpack;  ///< never automatic
  std::string reason;              ///< "heroku.yml is there and no buildpacks are configured"
  std::vector<std::string> notes;  ///< what could have been meant instead, and the flag for it
};

/// Pure. Flags decide; else the stack setting, configured buildpacks, heroku.yml, Dockerfile,
/// detection, in that order. Throws Error(usage) for flags of two kinds at once, Error(app_files)
/// for a container app without anything to build from (heroku.md YML-1).
StrategyChoice choose_strategy(const StrategyInputs& inputs);

}  // namespace slipway::build
