#include "build/strategy.h"

#include "base/error.h"
#include "base/text.h"

namespace slipway::build {

const char* strategy_name(Strategy strategy) {
  static constexpr const char* names[] = {"automatic", "buildpack", "dockerfile", "heroku.yml"};
  return names[static_cast<int>(strategy)];
}

Strategy parse_strategy(const std::string& text) {
  for (const Strategy one : {Strategy::buildpack, Strategy::dockerfile, Strategy::heroku_yml})
    if (text == strategy_name(one)) return one;
  throw Error(ExitCode::usage, fmt::format("--strategy {}: no such kind of build", printable(text)))
      .set_hint("buildpack, dockerfile or heroku.yml");
}

namespace {

StrategyChoice forced_choice(const StrategyInputs& inputs) {
  const auto conflict = [&](const std::string& flag) {
    if (!flag.empty())
      throw Error(ExitCode::usage, fmt::format("--strategy {} and {} contradict each other",
                                               strategy_name(inputs.forced), flag))
          .set_hint("leave one of them out");
  };
  if (inputs.forced == Strategy::buildpack) conflict(inputs.dockerfile_flag);
  if (inputs.forced != Strategy::buildpack) conflict(inputs.buildpack_flag);
  if (inputs.forced == Strategy::heroku_yml) conflict(inputs.dockerfile_flag);
  return {inputs.forced, "asked for with --strategy", {}};
}

// A container app builds from heroku.yml; we accept a Dockerfile alone.
StrategyChoice container_choice(const StrategyInputs& inputs) {
  StrategyChoice choice;
  choice.reason = "the app's stack is container: " + inputs.container_reason;
  if (inputs.heroku_yml) {
    choice.strategy = Strategy::heroku_yml;
  } else if (inputs.dockerfile) {
    choice.strategy = Strategy::dockerfile;
  } else {
    throw Error(ExitCode::app_files, "Your app does not include a heroku.yml build manifest.")
        .set_hint("the app's stack is container (" + inputs.container_reason +
                  "): add a heroku.yml or a Dockerfile, or build with --strategy buildpack");
  }
  if (!inputs.configured_buildpacks.empty())
    choice.notes.push_back("buildpacks are configured too (" + inputs.configured_buildpacks +
                           "); --strategy buildpack uses them");
  return choice;
}

}  // namespace

StrategyChoice choose_strategy(const StrategyInputs& inputs) {
  if (!inputs.buildpack_flag.empty() && !inputs.dockerfile_flag.empty())
    throw Error(ExitCode::usage, fmt::format("{} means buildpacks and {} means a Dockerfile",
                                             inputs.buildpack_flag, inputs.dockerfile_flag))
        .set_hint("leave one of them out");
  if (inputs.forced != Strategy::automatic) return forced_choice(inputs);
  if (!inputs.buildpack_flag.empty())
    return {Strategy::buildpack, inputs.buildpack_flag + " means buildpacks", {}};
  if (!inputs.dockerfile_flag.empty())
    return {Strategy::dockerfile, inputs.dockerfile_flag + " means a Dockerfile", {}};
  if (inputs.container_stack) return container_choice(inputs);

  StrategyChoice choice;
  if (!inputs.configured_buildpacks.empty()) {
    choice.reason = "buildpacks are configured: " + inputs.configured_buildpacks;
    if (inputs.heroku_yml)
      choice.notes.emplace_back("there is a heroku.yml too; --strategy heroku.yml uses it");
    else if (inputs.dockerfile)
      choice.notes.emplace_back("there is a Dockerfile too; --strategy dockerfile uses it");
  } else if (inputs.heroku_yml) {
    choice.strategy = Strategy::heroku_yml;
    choice.reason = "there is a heroku.yml";
  } else if (inputs.dockerfile) {
    choice.strategy = Strategy::dockerfile;
    choice.reason = "there is a Dockerfile";
  } else {
    choice.reason = "neither heroku.yml nor a Dockerfile is there";
  }
  return choice;
}

}  // namespace slipway::build
