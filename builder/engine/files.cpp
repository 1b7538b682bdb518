// File actions, merges and diffs: trees made from trees without running anything.
#include "engine/state.h"

namespace slipway::engine {
namespace {

// Commits `id` over `parent`.
cache::Result committed(cache::Store& store, cache::SnapshotId id, cache::SnapshotId parent,
                        uint64_t files, uint64_t size_bytes) {
  cache::Snapshot snapshot;
  snapshot.id = id;
  snapshot.parent = parent;
  snapshot.kind = "files";
  snapshot.size_bytes = size_bytes;
  snapshot.files = files;
  store.commit_snapshot(snapshot);
  cache::Result result;
  result.snapshot = id;
  return result;
}

/// What is known of a layer's files, as a listing for who writes it out.
void add_known(cache::Store& store, cache::Result& result, archive::Tree known) {
  if (known.entries.empty()) return;
  known.sort();
  const Digest listing = store.put_tree(known);
  result.extra["known"] = listing.hex();
  result.trees.push_back(listing);
}

}  // namespace

cache::Result Engine::State::run_file(Engine& engine, const graph::NodeRef& node,
                                      const std::vector<Solved>& inputs, const NodeKey& key) {
  const auto& op = std::get<graph::FileOp>(node->op());
  cache::Store& store = *options.store;
  sandbox::FileRequest request;
  cache::SnapshotId parent = 0;
  if (!inputs.empty() && !op.on_scratch) {
    parent = inputs[0].result.snapshot;
    request.base = layers_of(store, inputs[0].result);
  }
  // What the key was made of has the digests of all that is copied.
  std::map<size_t, const archive::Tree*> read;
  for (const NodeKey::Read& part : key.trees) read[part.index] = &part.tree->tree;
  for (size_t i = 0; i < op.actions.size(); ++i) {
    sandbox::FileRequest::Action resolved;
    resolved.action = op.actions[i];
    if (resolved.action.kind == graph::FileAction::Kind::copy) {
      const cache::Result& source =
          inputs.at(static_cast<size_t>(resolved.action.source_input)).result;
      resolved.source_layers = layers_of(store, source);
      resolved.source_path = tree_path(source);
      resolved.keep_origins = read.contains(i);
    }
    request.actions.push_back(std::move(resolved));
  }
  const cache::SnapshotId target = store.allocate_snapshot(lease);
  const sandbox::FileResult written = engine.worker().apply_files(target, request);
  cache::Result result = committed(store, target, parent, written.files, written.size_bytes);
  archive::Tree known;
  for (const sandbox::FileResult::Known& file : written.known) {
    archive::TreeEntry entry;
    entry.path = file.path;
    entry.size = file.size;
    entry.mtime_ns = file.mtime_ns;
    entry.digest = file.digest;
    if (!file.digest) {
      const archive::TreeEntry* origin = read.at(file.action)->find(file.origin);
      if (origin == nullptr) continue;
      entry.digest = origin->digest;
    }
    known.entries.push_back(std::move(entry));
  }
  add_known(store, result, std::move(known));
  return result;
}

// COPY --link and friends: each further input's own tree goes on top as one layer.
cache::Result Engine::State::run_merge(Engine& engine, const std::vector<Solved>& inputs) {
  cache::Store& store = *options.store;
  cache::Result result = inputs.at(0).result;
  result.extra.erase("known");
  for (size_t i = 1; i < inputs.size(); ++i) {
    const cache::Result& input = inputs[i].result;
    const std::vector<cache::SnapshotId> layers = layers_of(store, input);
    if (layers.empty()) continue;
    uint64_t files = 0, size_bytes = 0;
    for (const cache::SnapshotId id : layers)
      if (const auto layer = store.find_snapshot(id)) {
        files += layer->files;
        size_bytes += layer->size_bytes;
      }
    const cache::SnapshotId target = store.allocate_snapshot(lease);
    engine.worker().flatten(layers, target);
    result = committed(store, target, result.snapshot, files, size_bytes);
    if (layers.size() > 1 || !input.extra.contains("known")) continue;
    result.extra["known"] = input.extra["known"];
    result.trees = {Digest::from_hex(input.extra["known"].get<std::string>())};
  }
  return result;
}

// Only what a chain added to its own base is known without comparing contents; anything else is
// refused by name rather than guessed.
cache::Result Engine::State::run_diff(Engine& engine, const std::vector<Solved>& inputs) {
  cache::Store& store = *options.store;
  const std::vector<cache::SnapshotId> lower = layers_of(store, inputs.at(0).result);
  std::vector<cache::SnapshotId> upper = layers_of(store, inputs.at(1).result);
  const bool on_top =
      upper.size() >= lower.size() && std::equal(lower.rbegin(), lower.rend(), upper.rbegin());
  if (!on_top) fail(ExitCode::app_files, "diff: the second tree was not made on top of the first");
  upper.resize(upper.size() - lower.size());
  if (upper.empty()) return {};
  uint64_t files = 0, size_bytes = 0;
  for (const cache::SnapshotId id : upper)
    if (const auto layer = store.find_snapshot(id)) {
      files += layer->files;
      size_bytes += layer->size_bytes;
    }
  const cache::SnapshotId target = store.allocate_snapshot(lease);
  engine.worker().flatten(upper, target);
  return committed(store, target, 0, files, size_bytes);
}

}  // namespace slipway::engine
