// From a project to a graph of buildpacks: ignore rules, stack, units. Shared by build, detect and
// plan.
#pragma once

#include <atomic>
#include <memory>

#include "build/bases.h"
#include "build/packs.h"
#include "build/project.h"
#include "build/remote_cache.h"
#include "engine/engine.h"
#include "source/slugignore.h"
#include "stack/stacks.h"

namespace slipway::build {

struct Plan : Project {
  std::string stack;        ///< name of the stack
  std::string stack_value;  ///< STACK
  source::SlugIgnore ignore;
  bool has_slugignore = false;
  /// Paths .slugignore matched, counted while the source is scanned.
  std::shared_ptr<std::atomic<int>> ignored_count = std::make_shared<std::atomic<int>>(0);

  std::unique_ptr<stack::Stacks> stacks;
  std::unique_ptr<Bases> bases;  ///< of stacks that are public images
  std::unique_ptr<RemoteCaches> caches;
  std::unique_ptr<engine::Engine> engine;
  buildpack::PipelineSpec spec;  ///< units and request id are filled by add_units()
};

/// Decides everything of a buildpack build but what detection decides.
Plan make_plan(const Session& session, const BuildRequest& request, Project project);
/// Puts the packs into the spec, resolves them and derives REQUEST_ID.
void add_units(Plan& plan, const Session& session, const BuildRequest& request,
               const std::vector<source::BuildpackRef>& refs);

/// All steps below the roots, each once, inputs first: definition, key, and whether it is cached.
Json describe_steps(engine::Engine& engine, const std::vector<graph::NodeRef>& roots);

/// Tries the candidates in order (SRC-13).
struct Detection {
  std::vector<DetectOutcome::Row> rows;
  std::vector<size_t> hits;  ///< indexes into rows
};
Detection detect_packs(Plan& plan, const Session& session, const BuildRequest& request);

}  // namespace slipway::build
