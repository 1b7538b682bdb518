// Commands, the workspace they share in a buildpack pipeline, and taking its result out.
#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"
#include "sandbox/host_trust.h"

namespace slipway::engine {
namespace {

constexpr size_t captured_max = 4 << 20;
constexpr size_t tail_max = 4 << 10;  // of a step's output, for the error
constexpr size_t cache_chain_max = 16;

std::vector<cache::SnapshotId> layers_of(const cache::Store& store, const cache::Result& result) {
  return result.snapshot == 0 ? std::vector<cache::SnapshotId>{} : store.chain(result.snapshot);
}

void append_capped(std::string& text, std::string_view piece) {
  if (text.size() < captured_max) text.append(piece.substr(0, captured_max - text.size()));
}

void keep_tail(std::string& tail, std::string_view piece) {
  tail += piece;
  if (tail.size() > 2 * tail_max) tail.erase(0, tail.size() - tail_max);
}

// At most ten whole lines, indented.
std::string last_lines(std::string_view text) {
  if (text.size() > tail_max) text.remove_prefix(text.find('\n', text.size() - tail_max) + 1);
  std::vector<std::string> lines = split(trim(text), '\n');
  if (lines.size() > 10) lines.erase(lines.begin(), lines.end() - 10);
  if (lines.size() == 1 && lines[0].empty()) return {};
  for (std::string& line : lines) line = "  " + printable(line);
  return join(lines, "\n");
}

std::string joined(const std::string& left, const std::string& right) {
  if (left.empty()) return right;
  return right.empty() ? left : left + "/" + right;
}

}  // namespace

StepFailed::StepFailed(const graph::Node& node, sandbox::ExecResult result, std::string tail)
    : Error(ExitCode::build_failed,
            result.timed_out ? fmt::format("{}: stopped at the time limit", node_title(node))
            : result.out_of_memory
                ? fmt::format("{}: ran out of memory ({})", node_title(node),
                              result.status.to_string())
                : fmt::format("{}: {}", node_title(node), result.status.to_string())),
      result_(result),
      node_(node.digest()),
      tail_(std::move(tail)) {
  if (result.out_of_memory)
    set_hint("give the build more with --memory, or build with less at once");
}

sandbox::ExecSpec Engine::State::exec_spec(Engine& engine, const graph::NodeRef& node,
                                           const graph::ExecOp& op,
                                           const std::vector<graph::NodeRef>& inputs,
                                           const std::vector<Solved>& solved_inputs) {
  sandbox::ExecSpec spec;
  spec.argv = op.argv;
  spec.env = op.env;
  spec.cwd = op.cwd;
  spec.user = op.user;
  if (!op.hostname.empty()) spec.hostname = op.hostname;
  spec.network = op.network;
  spec.security = op.security;
  spec.timeout = node->description().timeout;
  if (deadline) {
    // One limit for all steps: what is left of it.
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        *deadline - std::chrono::steady_clock::now());
    const auto bounded = std::max(left, std::chrono::milliseconds(1));
    spec.timeout = spec.timeout ? std::min(*spec.timeout, bounded) : bounded;
  }
  for (const graph::Mount& mount : op.mounts) {
    const auto index = static_cast<size_t>(mount.input);
    if (mount.type == graph::MountType::workspace) {
      const LiveWorkspace& live = live_workspace(engine, workspace_root(inputs.at(index)));
      spec.workspace = live.mount;
      sandbox::StepMount target;
      target.kind = sandbox::StepMount::Kind::workspace;
      target.dest = mount.dest;
      target.source = mount.selector;
      target.readonly = mount.readonly;
      spec.mounts.push_back(std::move(target));
    } else if (mount.type == graph::MountType::bind && mount.dest == "/") {
      const cache::Result& root = solved_inputs.at(index).result;
      spec.root.host = root.extra.value("host", false);
      spec.root.layers = layers_of(*options.store, root);
      spec.root.readonly = mount.readonly;
    } else if (mount.type == graph::MountType::bind) {
      const cache::Result& tree = solved_inputs.at(index).result;
      sandbox::StepMount target;
      target.kind = sandbox::StepMount::Kind::layers;
      target.dest = mount.dest;
      target.layers = layers_of(*options.store, tree);
      target.source = joined(tree.extra.value("path", std::string()), mount.selector);
      target.readonly = true;
      spec.mounts.push_back(std::move(target));
    } else if (mount.type == graph::MountType::cache) {
      sandbox::StepMount target;
      target.kind = sandbox::StepMount::Kind::cache;
      target.dest = mount.dest;
      target.source = hash_bytes(mount.cache_id).hex();
      target.owner = mount.owner;
      target.readonly = mount.readonly;
      spec.mounts.push_back(std::move(target));
    } else if (mount.type == graph::MountType::tmpfs) {
      sandbox::StepMount target;
      target.kind = sandbox::StepMount::Kind::tmpfs;
      target.dest = mount.dest;
      target.owner = mount.owner;
      target.mode = 01777;
      target.size_bytes = mount.tmpfs_size_bytes;
      spec.mounts.push_back(std::move(target));
    } else {
      const auto value = options.config.find(mount.secret_id);
      if (value == options.config.end())
        fail(ExitCode::usage, "the secret '{}' was not given", mount.secret_id);
      sandbox::StepMount target;
      target.kind = sandbox::StepMount::Kind::files;
      target.dest = fs::path(mount.dest).parent_path().string();
      target.files[fs::path(mount.dest).filename().string()] = value->second;
      target.owner = mount.owner;
      target.mode = 0700;
      spec.mounts.push_back(std::move(target));
    }
  }
  if (!op.config_dir.empty()) {
    sandbox::StepMount target;
    target.kind = sandbox::StepMount::Kind::files;
    target.dest = op.config_dir;
    target.mode = 0700;
    const std::vector<std::string> ids = split(op.user, ':');
    target.owner = {static_cast<uint32_t>(std::stoul(ids.at(0))),
                    static_cast<uint32_t>(std::stoul(ids.at(1)))};
    for (const std::string& name : op.config_names) target.files[name] = options.config.at(name);
    spec.mounts.push_back(std::move(target));
  }
  // Mounts that lie inside others come after them.
  std::stable_sort(spec.mounts.begin(), spec.mounts.end(),
                   [](const auto& a, const auto& b) { return a.dest < b.dest; });
  return spec;
}

Engine::State::StepOutcome Engine::State::run_command(Engine& engine, const graph::ExecOp& op,
                                                      const sandbox::ExecSpec& spec,
                                                      report::StepId step) {
  StepOutcome outcome;
  std::mutex both;
  sandbox::ExecIo io;
  // Two pipes would lose which of two lines came first (heroku.md OUT-1).
  io.one_stream = !op.capture_stdout && !op.capture_stdout_only;
  io.on_stdout = [&](std::string_view piece) {
    const std::lock_guard lock(both);
    if (op.capture_stdout) append_capped(outcome.out, piece);
    if (op.capture_stdout_only) {
      append_capped(outcome.combined, piece);
    } else {
      keep_tail(outcome.tail, piece);
      options.stream->emit(report::Output{step, std::string(piece)});
    }
  };
  io.on_stderr = [&](std::string_view piece) {
    const std::lock_guard lock(both);
    if (op.capture_stdout_only) {
      append_capped(outcome.err, piece);
      append_capped(outcome.combined, piece);
    } else {
      keep_tail(outcome.tail, piece);
      options.stream->emit(report::Output{step, std::string(piece)});
    }
  };
  struct Slot {
    std::counting_semaphore<>& slots;
    explicit Slot(std::counting_semaphore<>& all) : slots(all) { slots.acquire(); }
    ~Slot() { slots.release(); }
  } const slot(slots);
  outcome.exec = engine.worker().exec(spec, io, *options.cancel);
  return outcome;
}

cache::Result Engine::State::run_exec(Engine& engine, const graph::NodeRef& node,
                                      const std::vector<Solved>& inputs, report::StepId step) {
  const auto& op = std::get<graph::ExecOp>(node->op());
  // A workspace is one mutable thing: its steps do not overlap.
  std::unique_lock workspace_lock(workspace_mutex, std::defer_lock);
  const graph::NodeRef root = workspace_root(node);
  LiveWorkspace* live = nullptr;
  if (root) {
    workspace_lock.lock();
    live = &live_workspace(engine, root);
    SLIPWAY_CHECK(live->at ==
                  node->inputs()[static_cast<size_t>(workspace_input(*node))]->digest());
  }
  sandbox::ExecSpec spec = exec_spec(engine, node, op, node->inputs(), inputs);

  // What the step must leave behind: a plain Exec's root changes become a snapshot.
  cache::SnapshotId upper = 0;
  if (!root && !spec.root.readonly && !spec.root.host) {
    upper = options.store->allocate_snapshot(lease);
    engine.worker().create(upper, {});
    spec.root.upper = upper;
  }
  const auto trust = sandbox::host_trust_env(op.network);
  if (!trust.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, value] : trust) {
      names.push_back(name);
      spec.env.emplace_back(name, value);
    }
    // Told in the record of the build; on the screen it would part the transcript.
    options.stream->emit(
        report::Progress{step,
                         "the host's proxies and certificate authorities reach the steps through " +
                             join(names, " "),
                         0, 0, true});
  }

  const StepOutcome outcome = run_command(engine, op, spec, step);
  if (live != nullptr) live->at = node->digest();
  const ExitStatus& status = outcome.exec.status;
  const std::vector<int>& good = op.valid_exit_codes;
  const bool accepted =
      status.signal == 0 && !outcome.exec.timed_out &&
      (good.empty() ? status.code == 0
                    : std::find(good.begin(), good.end(), status.code) != good.end());
  if (!accepted) {
    if (options.on_failed_step) options.on_failed_step(engine.worker(), spec);
    throw StepFailed(*node, outcome.exec, last_lines(options.stream->masked(outcome.tail)));
  }

  cache::Result result;
  result.exit_code = status.code;
  result.stdout_text = outcome.out;
  if (op.capture_stdout_only) {
    result.extra["stderr"] = outcome.err;
    result.extra["output"] = outcome.combined;
  }
  if (live != nullptr) {
    // Steps that only answer (detect, release) are listed together with the next one that writes.
    if (!op.capture_stdout_only) list_workspace(engine, *live, root, node_title(*node));
    result.content = live->content;
  } else if (upper != 0) {
    cache::Snapshot snapshot;
    snapshot.id = upper;
    snapshot.parent = spec.root.layers.empty() ? 0 : spec.root.layers.front();
    snapshot.kind = "step";
    sandbox::ScanRequest scan;
    scan.tree = {upper, {}};
    scan.digests = false;
    const sandbox::ScanResult own = engine.worker().scan(scan);
    snapshot.size_bytes = own.tree.total_size();
    snapshot.files = own.tree.entries.size();
    options.store->commit_snapshot(snapshot);
    result.snapshot = upper;
  }
  return result;
}

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

cache::Result Engine::run_beside(const graph::NodeRef& workspace, const graph::ExecOp& op,
                                 const std::vector<graph::NodeRef>& inputs) {
  const std::lock_guard lock(state_->workspace_mutex);
  std::vector<Solved> solved_inputs;
  for (const graph::NodeRef& input : inputs)
    solved_inputs.push_back(input == workspace ? Solved{} : solve(input));
  const graph::NodeRef node = graph::Node::make(op, inputs);
  const sandbox::ExecSpec spec = state_->exec_spec(*this, node, op, inputs, solved_inputs);
  const State::StepOutcome outcome = state_->run_command(*this, op, spec, 0);
  cache::Result result;
  result.exit_code = outcome.exec.status.shell_code();
  result.stdout_text = outcome.out;
  return result;
}

const Writers& Engine::writers(const graph::NodeRef& workspace) {
  const std::lock_guard lock(state_->workspace_mutex);
  return state_->live_workspace(*this, workspace_root(workspace)).writers;
}

}  // namespace slipway::engine
