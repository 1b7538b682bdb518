// The workspace that the steps of a buildpack pipeline share, and taking its result out.
#include "base/text.h"
#include "engine/state.h"

namespace slipway::engine {
namespace {

constexpr size_t cache_chain_max = 16;

}  // namespace

LiveWorkspace& Engine::State::live_workspace(Engine& engine, const graph::NodeRef& root) {
  const std::lock_guard lock(workspace_mutex);
  const auto found = workspaces.find(root->digest());
  if (found != workspaces.end()) return found->second;

  const auto& op = std::get<graph::WorkspaceOp>(root->op());
  LiveWorkspace live;
  for (const graph::NodeRef& input : root->inputs()) {
    const Solved part = solve(engine, input);
    const std::vector<cache::SnapshotId> layers = options.store->chain(part.result.snapshot);
    live.mount.layers.insert(live.mount.layers.end(), layers.begin(), layers.end());
    if (!op.watched_path.empty() &&
        part.result.extra.value("path", std::string()) == op.watched_path) {
      live.watched_parent = part.result.snapshot;
      live.lower = options.store->read_tree(part.result.trees.at(0));
    }
  }
  if (!op.cache_id.empty()) {
    live.cache_parent = options.store->app_cache(op.cache_id);
    if (live.cache_parent != 0) {
      lease.protect_snapshot(live.cache_parent);
      const auto layers = options.store->chain(live.cache_parent);
      live.mount.layers.insert(live.mount.layers.end(), layers.begin(), layers.end());
    }
  }
  live.mount.upper = options.store->allocate_snapshot(lease);
  engine.worker().create(live.mount.upper, op.dirs);
  live.tree = live.lower;
  live.content = archive::tree_digest(live.lower);
  live.at = root->digest();
  return workspaces.emplace(root->digest(), std::move(live)).first->second;
}

void Engine::State::list_workspace(Engine& engine, LiveWorkspace& live, const graph::NodeRef& root,
                                   const std::string& writer) {
  const auto& op = std::get<graph::WorkspaceOp>(root->op());
  if (op.watched_path.empty()) return;
  sandbox::ScanRequest request;
  request.tree = live.mount;
  request.path = op.watched_path;
  request.lower = live.lower;
  request.previous_state = live.scan_state;
  sandbox::ScanResult listing = engine.worker().scan(request);
  live.tree = std::move(listing.tree);
  live.scan_state = std::move(listing.state);
  for (const std::string& path : listing.changed) live.writers[path] = writer;
  for (const std::string& warning : listing.warnings) say_once(warning);
  live.content = archive::tree_digest(live.tree);
}

cache::Result Engine::State::run_seal(Engine& engine, const graph::NodeRef& node) {
  const auto& op = std::get<graph::SealOp>(node->op());
  const std::lock_guard lock(workspace_mutex);
  const graph::NodeRef root = workspace_root(node);
  LiveWorkspace& live = live_workspace(engine, root);
  const auto& workspace = std::get<graph::WorkspaceOp>(root->op());
  SLIPWAY_CHECK(op.path == workspace.watched_path);
  sandbox::Worker& sandbox_worker = engine.worker();
  cache::Store& store = *options.store;

  // What the last steps wrote outside a compile (release) counts as well.
  list_workspace(engine, live, root, node_title(*node));

  cache::Snapshot built;
  built.id = store.allocate_snapshot(lease);
  built.parent = live.watched_parent;
  built.kind = "build";
  sandbox_worker.move(live.mount.upper, op.path, built.id, op.path);
  built.tree = store.put_tree(live.tree);
  built.content = live.content;
  built.files = live.tree.entries.size();
  // Its own layer's share: what the source did not bring.
  const uint64_t total = live.tree.total_size(), brought = live.lower.total_size();
  built.size_bytes = total > brought ? total - brought : 0;
  store.commit_snapshot(built);

  if (!workspace.cache_id.empty()) {
    cache::Snapshot kept;
    kept.id = store.allocate_snapshot(lease);
    kept.parent = live.cache_parent;
    kept.kind = "cache";
    sandbox_worker.move(live.mount.upper, workspace.cache_path, kept.id, workspace.cache_path);
    if (kept.parent != 0 && store.chain(kept.parent).size() >= cache_chain_max) {
      std::vector<cache::SnapshotId> layers = store.chain(kept.parent);
      layers.insert(layers.begin(), kept.id);
      kept.id = store.allocate_snapshot(lease);
      sandbox_worker.flatten(layers, kept.id);
      kept.parent = 0;
    }
    sandbox::ScanRequest scan;
    scan.tree = {kept.id, {}};
    scan.digests = false;
    const sandbox::ScanResult own = sandbox_worker.scan(scan);
    kept.size_bytes = own.tree.total_size();
    kept.files = own.tree.entries.size();
    store.commit_snapshot(kept);
    store.set_app_cache(workspace.cache_id, kept.id);
  }

  cache::Result result;
  result.snapshot = built.id;
  result.content = built.content;
  result.trees = {built.tree};
  result.extra["path"] = op.path;
  return result;
}

const Writers& Engine::writers(const graph::NodeRef& workspace) {
  const std::lock_guard lock(state_->workspace_mutex);
  return state_->live_workspace(*this, workspace_root(workspace)).writers;
}

}  // namespace slipway::engine
