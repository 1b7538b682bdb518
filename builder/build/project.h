// What is known of an app before it is decided how it is built: its source, its own files, its name
// and what earlier builds left about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "build/request.h"
#include "build/source_tree.h"
#include "build/strategy.h"
#include "source/app_json.h"
#include "source/selection.h"

namespace slipway::build {

/// Settings and history of one app, kept in the store under area "app".
struct AppState {
  std::string id, name, where;
  std::vector<std::string> buildpacks;  ///< pinned by detection (SRC-13) or set by the user
  Json last;                            ///< last good build, see AppBuild and ContainerBuild
  static AppState load(const cache::Store& store, const std::string& id);
  void save(cache::Store& store) const;
};

struct Project {
  SourceTree source;
  std::optional<source::AppJson> app_json;
  std::string app;     ///< name
  std::string app_id;  ///< the name given with --app, else name and where the source lies
  AppState state;
  source::Selection selection;  ///< of buildpacks
  std::vector<std::string> warnings;
};

/// Brings the source here and reads what the app says about itself.
Project open_project(const Session& session, const BuildRequest& request);
StrategyChoice choose_strategy(const Project& project, const BuildRequest& request);

/// A fetcher that reports to the session's stream and stops with it.
fetch::Fetcher make_fetcher(const Session& session);

}  // namespace slipway::build
