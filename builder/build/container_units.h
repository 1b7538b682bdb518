// Which images a build makes and from which Dockerfiles: one for a Dockerfile, several for
// heroku.yml; and the directories they copy from.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "build/project.h"
#include "dockerfile/compile.h"
#include "engine/engine.h"
#include "source/heroku_yml.h"

namespace slipway::build {

/// One image to build.
struct ContainerUnit {
  std::string name;  ///< process type; empty for a Dockerfile of its own
  dockerfile::Dockerfile file;
  std::string target;
  std::string context;  ///< name of the directory among the engine's locals
  /// dockerfile::Options::ignored: set when the ignore file has no exceptions.
  std::function<bool(const std::string& path)> surely_ignored;
  std::map<std::string, std::string> build_args;
  /// Build args whose values came from config vars: what is shown instead.
  std::map<std::string, std::string> hidden_args;
};

struct ContainerPlan {
  std::vector<ContainerUnit> units;
  std::optional<source::HerokuYml> heroku_yml;
  std::map<std::string, engine::LocalDir> locals;
  std::map<std::string, dockerfile::NamedContext> named_contexts;
  std::vector<std::string> warnings;
};

/// Reads Dockerfiles and ignore files. Throws Error(app_files) with positions, Error(usage) for a
/// file or context that is not there, or a config var of build.config that was not given
/// (Error(app_files), naming the flag that keeps the text).
ContainerPlan plan_containers(const Project& project, const BuildRequest& request,
                              Strategy strategy);

}  // namespace slipway::build
