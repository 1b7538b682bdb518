#include "engine/engine.h"

#include <thread>

#include "base/text.h"
#include "engine/state.h"
#include "sandbox/ids.h"

namespace slipway::engine {
namespace {

using graph::NodeRef;

bool is_source(const graph::Node& node) {
  return std::holds_alternative<graph::ImageOp>(node.op()) ||
         std::holds_alternative<graph::LocalOp>(node.op()) ||
         std::holds_alternative<graph::GitOp>(node.op()) ||
         std::holds_alternative<graph::HttpOp>(node.op());
}

const char* isolation_name(sandbox::Isolation isolation) {
  static constexpr const char* names[] = {"oci", "chroot", "none"};
  return names[static_cast<int>(isolation)];
}

}  // namespace

int workspace_input(const graph::Node& node) {
  if (std::holds_alternative<graph::SealOp>(node.op())) return 0;
  if (const auto* exec = std::get_if<graph::ExecOp>(&node.op()))
    for (const graph::Mount& mount : exec->mounts)
      if (mount.type == graph::MountType::workspace) return mount.input;
  return -1;
}

NodeRef workspace_root(const NodeRef& node) {
  NodeRef at = node;
  while (!std::holds_alternative<graph::WorkspaceOp>(at->op())) {
    const int index = workspace_input(*at);
    if (index < 0) return nullptr;
    at = at->inputs().at(static_cast<size_t>(index));
  }
  return at;
}

std::string node_title(const graph::Node& node) {
  if (!node.description().title.empty()) return node.description().title;
  return std::visit(
      [&](const auto& op) -> std::string {
        using T = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<T, graph::ImageOp>) return "image " + op.reference;
        if constexpr (std::is_same_v<T, graph::LocalOp>) return "directory " + op.name;
        if constexpr (std::is_same_v<T, graph::GitOp>) return "git " + fetch::public_url(op.url);
        if constexpr (std::is_same_v<T, graph::HttpOp>) return "url " + fetch::public_url(op.url);
        if constexpr (std::is_same_v<T, graph::ExecOp>) return "run " + join(op.argv, " ");
        return std::string(node.kind());
      },
      node.op());
}

Engine::Engine(Options options) : state_(std::make_unique<State>(std::move(options))) {}
Engine::~Engine() = default;

const Options& Engine::options() const {
  return state_->options;
}
void Engine::add_local(const std::string& name, LocalDir dir) {
  state_->options.locals[name] = std::move(dir);
}
void Engine::set_deadline(std::chrono::steady_clock::time_point deadline) {
  state_->deadline = deadline;
}
void Engine::set_on_failed_step(
    std::function<void(sandbox::Worker&, const sandbox::ExecSpec&)> call) {
  state_->options.on_failed_step = std::move(call);
}
Digest Engine::content(const NodeRef& local) {
  return state_->identity(*this, local)->content;
}
cache::Lease& Engine::lease() {
  return state_->lease;
}
int Engine::steps_ran() const {
  return state_->ran;
}
int Engine::steps_cached() const {
  return state_->cached;
}

sandbox::Worker& Engine::worker() {
  const std::lock_guard lock(state_->worker_mutex);
  if (!state_->worker) {
    sandbox::WorkerOptions options;
    options.store = state_->options.store;
    options.isolation = state_->options.isolation;
    options.limits = state_->options.limits;
    const auto& start = state_->options.start_worker;
    state_->worker = start ? start(options) : sandbox::Worker::start(options);
  }
  return *state_->worker;
}

bool Engine::worker_started() const {
  const std::lock_guard lock(state_->worker_mutex);
  return state_->worker != nullptr;
}

Solved Engine::solve(const NodeRef& node) {
  return state_->solve(*this, node);
}
std::optional<Solved> Engine::lookup(const NodeRef& node) {
  return state_->look_up(*this, node);
}
Digest Engine::key(const NodeRef& node) {
  return state_->key(*this, node);
}

sandbox::Workspace Engine::stack_of(const cache::Result& result) const {
  return {0, state_->options.store->chain(result.snapshot)};
}

void Engine::sweep() {
  // The workspace's upper layer is this build's own: unclaimed, it is stale.
  state_->lease = state_->options.store->lease();
  const std::vector<cache::SnapshotId> stale = state_->options.store->stale_snapshots();
  if (stale.empty()) return;
  worker().remove(stale);
  state_->options.store->removed(stale);
}

// --- keys ---

std::shared_ptr<const SourceIdentity> Engine::State::identity(Engine& engine, const NodeRef& node) {
  std::promise<std::shared_ptr<const SourceIdentity>> promise;
  std::shared_future<std::shared_ptr<const SourceIdentity>> future;
  bool mine = false;
  {
    const std::lock_guard lock(memo_mutex);
    auto [found, inserted] = identities.try_emplace(node->digest());
    if (inserted) found->second = promise.get_future().share();
    mine = inserted;
    future = found->second;
  }
  if (mine) {
    try {
      promise.set_value(identify(engine, node));
    } catch (...) {
      promise.set_exception(std::current_exception());
    }
  }
  return future.get();
}

Digest Engine::State::key(Engine& engine, const NodeRef& root) {
  // Sources first and side by side: each may ask the network or read a large directory.
  std::vector<std::future<void>> resolving;
  const std::vector<NodeRef> order = graph::topological_order(root);
  for (const NodeRef& node : order) {
    if (!is_source(*node)) continue;
    {
      const std::lock_guard lock(memo_mutex);
      if (identities.contains(node->digest())) continue;
    }
    resolving.push_back(
        std::async(std::launch::async, [&, node] { (void)identity(engine, node); }));
  }
  for (std::future<void>& one : resolving) one.wait();
  for (std::future<void>& one : resolving) one.get();

  for (const NodeRef& node : order) {
    {
      const std::lock_guard lock(memo_mutex);
      if (keys.contains(node->digest())) continue;
    }
    KeyBuilder builder("op 1");
    builder.add("op", node->kind());
    for (const auto& [name, value] : graph::definition_fields(node->op())) builder.add(name, value);
    if (is_source(*node)) builder.add("identity", identity(engine, node)->text);
    for (const NodeRef& input : node->inputs()) {
      const std::lock_guard lock(memo_mutex);
      builder.add("input", keys.at(input->digest()));
    }
    if (const auto* exec = std::get_if<graph::ExecOp>(&node->op())) {
      builder.add("isolation", isolation_name(options.isolation));
      for (const std::string& name : exec->config_names)
        builder.add("config " + name,
                    keyed_digest(options.store->secret_key(), options.config.at(name)));
    }
    // Owners cannot be kept with one id: what is built then is not what others build.
    if (single_id) builder.add("ids", "single");
    const std::lock_guard lock(memo_mutex);
    keys.emplace(node->digest(), builder.finish());
  }
  const std::lock_guard lock(memo_mutex);
  return keys.at(root->digest());
}

std::optional<Solved> Engine::State::look_up(Engine& engine, const NodeRef& node) {
  const Digest own_key = key(engine, node);
  const bool fresh = node->description().ignore_cache || (options.no_cache && !is_source(*node));
  if (fresh) return std::nullopt;
  auto result = options.store->find_result(own_key, lease);
  if (!result) return std::nullopt;
  return Solved{std::move(*result), true, own_key};
}

// --- solving ---

Solved Engine::State::solve(Engine& engine, const NodeRef& node) {
  std::promise<Solved> promise;
  std::shared_future<Solved> future;
  bool mine = false;
  {
    const std::lock_guard lock(memo_mutex);
    auto [found, inserted] = solved.try_emplace(node->digest());
    if (inserted) found->second = promise.get_future().share();
    mine = inserted;
    future = found->second;
  }
  if (!mine) return future.get();
  try {
    options.cancel->check();
    // The steps of a workspace change it, so a step that was asked for runs; whole pipelines are
    // looked up by their seal.
    const bool in_workspace = workspace_root(node) != nullptr;
    std::optional<Solved> known;
    if (!in_workspace) known = look_up(engine, node);
    if (known) {
      ++cached;
      if (!is_source(*node))
        options.stream->emit(report::StepFinished{
            ++next_step, node_title(*node), report::StepFinished::Outcome::cached, {}, {}, {}});
      promise.set_value(std::move(*known));
      return future.get();
    }
    // Inputs side by side; a shared one is solved once.
    std::vector<std::future<Solved>> waiting;
    const auto& inputs = node->inputs();
    const bool parallel = !std::holds_alternative<graph::SealOp>(node->op());
    for (size_t i = 0; i < inputs.size(); ++i)
      waiting.push_back(
          std::async(parallel && inputs.size() > 1 ? std::launch::async : std::launch::deferred,
                     [this, &engine, input = inputs[i]] { return solve(engine, input); }));
    for (std::future<Solved>& one : waiting) one.wait();
    std::vector<Solved> solved_inputs;
    for (std::future<Solved>& one : waiting) solved_inputs.push_back(one.get());
    promise.set_value(run(engine, node, std::move(solved_inputs)));
  } catch (...) {
    promise.set_exception(std::current_exception());
  }
  return future.get();
}

Solved Engine::State::run(Engine& engine, const NodeRef& node, std::vector<Solved> inputs) {
  options.cancel->check();
  const Digest own_key = key(engine, node);
  if (std::holds_alternative<graph::WorkspaceOp>(node->op())) {
    // Nothing exists yet; it is made when the first step needs it.
    return Solved{{}, false, own_key};
  }
  const bool in_workspace = workspace_root(node) != nullptr;

  // The same work in another process: wait for it, then take its result.
  std::optional<cache::Lock> lock;
  if (!in_workspace) {
    lock.emplace(options.store->lock("op-" + own_key.hex(), options.cancel));
    if (auto known = look_up(engine, node)) {
      ++cached;
      return std::move(*known);
    }
  }

  const report::StepId step = ++next_step;
  const std::string title = node_title(*node);
  const auto started = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 started);
  };
  const cache::Ledger now = ledger(engine, node);
  const std::string why =
      explain_miss(*options.store, options.store->last_ledger(scope(node)), now);
  options.stream->emit(report::StepStarted{step, title});
  ++ran;
  cache::Result result;
  try {
    const auto* image = std::get_if<graph::ImageOp>(&node->op());
    if (image != nullptr)
      result = run_image(*identity(engine, node));
    else if (const auto* local = std::get_if<graph::LocalOp>(&node->op()))
      result = run_local(engine, *local, *identity(engine, node));
    else if (const auto* git = std::get_if<graph::GitOp>(&node->op()))
      result = run_git(engine, *git, *identity(engine, node));
    else if (const auto* http = std::get_if<graph::HttpOp>(&node->op()))
      result = run_http(engine, *http);
    else if (std::holds_alternative<graph::ExecOp>(node->op()))
      result = run_exec(engine, node, inputs, step);
    else if (std::holds_alternative<graph::FileOp>(node->op()))
      result = run_file(engine, node, inputs);
    else if (std::holds_alternative<graph::MergeOp>(node->op()))
      result = run_merge(engine, inputs);
    else if (std::holds_alternative<graph::DiffOp>(node->op()))
      result = run_diff(engine, inputs);
    else
      result = run_seal(engine, node);
  } catch (const Interrupted&) {
    options.stream->emit(report::StepFinished{step, title, report::StepFinished::Outcome::canceled,
                                              elapsed(), why, "interrupted"});
    throw;
  } catch (const std::exception& error) {
    options.stream->emit(report::StepFinished{step, title, report::StepFinished::Outcome::failed,
                                              elapsed(), why, error.what()});
    throw;
  }
  // When the result came about: a cached one keeps its time, so that images do not change.
  result.extra["created"] = std::chrono::duration_cast<std::chrono::seconds>(
                                std::chrono::system_clock::now().time_since_epoch())
                                .count();
  options.store->put_result({own_key}, result, scope(node), now);
  options.stream->emit(
      report::StepFinished{step, title, report::StepFinished::Outcome::ran, elapsed(), why, {}});
  return Solved{std::move(result), false, own_key};
}

// --- ledgers ---

std::string Engine::State::scope(const NodeRef& node) const {
  return options.app_id + "/" + node_title(*node);
}

cache::Ledger Engine::State::ledger(Engine& engine, const NodeRef& node) {
  cache::Ledger ledger;
  const auto add_source = [&](const NodeRef& source) {
    const auto known = identity(engine, source);
    const std::string label = node_title(*source);
    const auto* local = std::get_if<graph::LocalOp>(&source->op());
    if (known->scan)
      ledger.trees.emplace_back(local->name == "source" ? "file" : local->name + " file",
                                options.store->put_tree(known->scan->tree));
    ledger.items.push_back({label, known->text});
  };
  if (is_source(*node)) {
    for (const auto& [name, value] : graph::definition_fields(node->op()))
      ledger.items.push_back({name, value});
    add_source(node);
    return ledger;
  }
  // A step's inputs down to the roots: an earlier step's own fields stand in its own record.
  for (const NodeRef& input : graph::topological_order(node))
    if (is_source(*input)) add_source(input);
  for (const auto& [name, value] : graph::definition_fields(node->op())) {
    const bool hidden =
        starts_with(name, "env ") && options.hidden_variables.contains(name.substr(4));
    ledger.items.push_back(
        {name, hidden ? keyed_digest(options.store->secret_key(), value).hex() : value});
  }
  if (const auto* exec = std::get_if<graph::ExecOp>(&node->op()))
    for (const std::string& name : exec->config_names)
      ledger.items.push_back(
          {"config var " + name,
           keyed_digest(options.store->secret_key(), options.config.at(name)).hex()});
  for (const NodeRef& input : node->inputs())
    if (!is_source(*input))
      ledger.items.push_back({"result of " + node_title(*input), key(engine, input).hex()});
  ledger.items.push_back({"isolation", isolation_name(options.isolation)});
  return ledger;
}

void Engine::State::say_once(const std::string& line) {
  {
    const std::lock_guard lock(memo_mutex);
    if (!told.insert(line).second) return;
  }
  options.stream->detail(line);
}

}  // namespace slipway::engine
