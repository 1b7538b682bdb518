// File actions, merges and diffs: trees made from trees without running anything.
#include "engine/state.h"

namespace slipway::engine {
namespace {

std::vector<cache::SnapshotId> chain_of(const cache::Store& store, const cache::Result& result) {
  return result.snapshot == 0 ? std::vector<cache::SnapshotId>{} : store.chain(result.snapshot);
}

// Commits `id` over `parent` and measures it.
cache::Result committed(Engine& engine, cache::Store& store, cache::SnapshotId id,
                        cache::SnapshotId parent, const char* kind) {
  sandbox::ScanRequest scan;
  scan.tree = {id, {}};
  scan.digests = false;
  const sandbox::ScanResult own = engine.worker().scan(scan);
  cache::Snapshot snapshot;
  snapshot.id = id;
  snapshot.parent = parent;
  snapshot.kind = kind;
  snapshot.size_bytes = own.tree.total_size();
  snapshot.files = own.tree.entries.size();
  store.commit_snapshot(snapshot);
  cache::Result result;
  result.snapshot = id;
  return result;
}

}  // namespace

cache::Result Engine::State::run_file(Engine& engine, const graph::NodeRef& node,
                                      const std::vector<Solved>& inputs) {
  const auto& op = std::get<graph::FileOp>(node->op());
  cache::Store& store = *options.store;
  sandbox::FileRequest request;
  cache::SnapshotId parent = 0;
  if (!inputs.empty() && !op.on_scratch) {
    parent = inputs[0].result.snapshot;
    request.base = chain_of(store, inputs[0].result);
  }
  for (const graph::FileAction& action : op.actions) {
    sandbox::FileRequest::Action resolved;
    resolved.action = action;
    if (action.kind == graph::FileAction::Kind::copy) {
      const cache::Result& source = inputs.at(static_cast<size_t>(action.source_input)).result;
      resolved.source_layers = chain_of(store, source);
      resolved.source_path = source.extra.value("path", std::string());
    }
    request.actions.push_back(std::move(resolved));
  }
  const cache::SnapshotId target = store.allocate_snapshot(lease);
  engine.worker().apply_files(target, request);
  return committed(engine, store, target, parent, "files");
}

// COPY --link and friends: each further input's own tree goes on top as one layer.
cache::Result Engine::State::run_merge(Engine& engine, const std::vector<Solved>& inputs) {
  cache::Store& store = *options.store;
  cache::Result result = inputs.at(0).result;
  for (size_t i = 1; i < inputs.size(); ++i) {
    const std::vector<cache::SnapshotId> layers = chain_of(store, inputs[i].result);
    if (layers.empty()) continue;
    const cache::SnapshotId target = store.allocate_snapshot(lease);
    engine.worker().flatten(layers, target);
    result = committed(engine, store, target, result.snapshot, "files");
  }
  return result;
}

// Only what a chain added to its own base is known without comparing contents; anything else is
// refused by name rather than guessed.
cache::Result Engine::State::run_diff(Engine& engine, const std::vector<Solved>& inputs) {
  cache::Store& store = *options.store;
  const std::vector<cache::SnapshotId> lower = chain_of(store, inputs.at(0).result);
  std::vector<cache::SnapshotId> upper = chain_of(store, inputs.at(1).result);
  const bool on_top =
      upper.size() >= lower.size() && std::equal(lower.rbegin(), lower.rend(), upper.rbegin());
  if (!on_top) fail(ExitCode::app_files, "diff: the second tree was not made on top of the first");
  upper.resize(upper.size() - lower.size());
  if (upper.empty()) return {};
  const cache::SnapshotId target = store.allocate_snapshot(lease);
  engine.worker().flatten(upper, target);
  return committed(engine, store, target, 0, "files");
}

}  // namespace slipway::engine
