// From a request to a graph: the source, its own files, which buildpacks, which stack. Shared by
// build, detect and plan.
#pragma once

#include <atomic>
#include <memory>

#include "build/packs.h"
#include "build/request.h"
#include "build/source_tree.h"
#include "engine/engine.h"
#include "source/app_json.h"
#include "source/selection.h"
#include "source/slugignore.h"
#include "stack/stacks.h"

namespace slipway::build {

/// Settings and history of one app, kept in the store under area "app".
struct AppState {
  std::string id, name, where;
  std::vector<std::string> buildpacks;  ///< pinned by detection (SRC-13) or set by the user
  Json last;                            ///< last good build, see record_success()
  static AppState load(const cache::Store& store, const std::string& id);
  void save(cache::Store& store) const;
};

struct Plan {
  SourceTree source;
  std::optional<source::AppJson> app_json;
  std::string app;     ///< name
  std::string app_id;  ///< the name given with --app, else name and where the source lies
  AppState state;
  source::Selection selection;
  std::string stack;        ///< name of the stack
  std::string stack_value;  ///< STACK
  source::SlugIgnore ignore;
  bool has_slugignore = false;
  /// Paths .slugignore matched, counted while the source is scanned.
  std::shared_ptr<std::atomic<int>> ignored_count = std::make_shared<std::atomic<int>>(0);
  std::vector<std::string> warnings;

  std::unique_ptr<stack::Stacks> stacks;
  std::unique_ptr<engine::Engine> engine;
  buildpack::PipelineSpec spec;  ///< units and request id are filled by add_units()
};

/// Reads the source and decides everything but what detection decides.
Plan make_plan(const Session& session, const BuildRequest& request);
/// Puts the packs into the spec, resolves them and derives REQUEST_ID.
void add_units(Plan& plan, const Session& session, const BuildRequest& request,
               const std::vector<source::BuildpackRef>& refs);

/// Tries the candidates in order (SRC-13).
struct Detection {
  std::vector<DetectOutcome::Row> rows;
  std::vector<size_t> hits;  ///< indexes into rows
};
Detection detect_packs(Plan& plan, const Session& session, const BuildRequest& request);

}  // namespace slipway::build
