#include "engine/engine.h"

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/text.h"
#include "engine/state.h"
#include "sandbox/ids.h"

namespace slipway::engine {

using graph::NodeRef;

bool is_source(const graph::Node& node) {
  return std::holds_alternative<graph::ImageOp>(node.op()) ||
         std::holds_alternative<graph::LocalOp>(node.op()) ||
         std::holds_alternative<graph::GitOp>(node.op()) ||
         std::holds_alternative<graph::HttpOp>(node.op());
}
bool is_local(const graph::Node& node) {
  return std::holds_alternative<graph::LocalOp>(node.op());
}

std::string tree_path(const cache::Result& result) {
  return result.extra.value("path", std::string());
}
std::vector<cache::SnapshotId> layers_of(const cache::Store& store, const cache::Result& result) {
  return result.snapshot == 0 ? std::vector<cache::SnapshotId>{} : store.chain(result.snapshot);
}

std::optional<SourcePos> node_position(const graph::Node& node) {
  const std::string& text = node.description().file;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  SourcePos pos;
  pos.file = text.substr(0, colon);
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data() + colon + 1, end, pos.line).ptr != end) return std::nullopt;
  return pos;
}

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
  state_->collect_needs(local);
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
    state_->options.stream->emit(
        report::Progress{0, "isolation: " + state_->worker->describe(), 0, 0, true});
  }
  return *state_->worker;
}

bool Engine::worker_started() const {
  const std::lock_guard lock(state_->worker_mutex);
  return state_->worker != nullptr;
}

Solved Engine::solve(const NodeRef& node) {
  state_->collect_needs(node);
  return state_->solve(*this, node);
}
std::vector<Solved> Engine::solve(const std::vector<NodeRef>& nodes) {
  // All of them, so that a directory is read once.
  for (const NodeRef& node : nodes) state_->collect_needs(node);
  return state_->solve_all(*this, nodes, true);
}
std::optional<Solved> Engine::lookup(const NodeRef& node) {
  state_->collect_needs(node);
  return state_->look_up(*this, node, false);
}
std::optional<Solved> Engine::result_of(const NodeRef& node) {
  {
    const std::lock_guard lock(state_->memo_mutex);
    const auto found = state_->solved.find(node->digest());
    if (found != state_->solved.end()) return found->second.get();
  }
  return lookup(node);
}
Engine::NodeKeys Engine::keys_of(const NodeRef& node) {
  const Digest own = key(node);
  return {own, state_->input_key(*this, node)};
}
Digest Engine::key(const NodeRef& node) {
  state_->collect_needs(node);
  return state_->key(*this, node)->key;
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

// --- looking up ---

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

// Side by side: each may ask the network or read a large directory.
void Engine::State::resolve_sources(Engine& engine, const std::vector<NodeRef>& order) {
  std::vector<std::future<void>> resolving;
  for (const NodeRef& node : order) {
    if (!is_source(*node)) continue;
    {
      const std::lock_guard lock(memo_mutex);
      if (identities.contains(node->digest())) continue;
    }
    resolving.push_back(
        std::async(std::launch::async, [this, &engine, node] { (void)identity(engine, node); }));
  }
  for (std::future<void>& one : resolving) one.wait();
  for (std::future<void>& one : resolving) one.get();
}

std::optional<Solved> Engine::State::look_up(Engine& engine, const NodeRef& node,
                                             bool inputs_solved) {
  const Digest own_key = key(engine, node)->key;
  // Something below that is to run anew must not be hidden by a result that stands on its old one.
  const bool anew = inputs_solved ? is_renewed(*node) : is_fresh(node);
  if (anew) return std::nullopt;
  auto result = find_result(own_key);
  if (!result) result = from_remote(engine, node, *key(engine, node));
  if (!result) return std::nullopt;
  return Solved{std::move(*result), true, own_key};
}

bool Engine::State::may_use(const Json& extra) const {
  const auto origins = extra.find("origin");
  if (origins == extra.end()) return true;
  return std::all_of(origins->begin(), origins->end(), [&](const Json& origin) {
    return options.remote.origins.contains(origin.get<std::string>());
  });
}

std::optional<cache::Result> Engine::State::find_result(const Digest& key) {
  auto result = options.store->find_result(key, lease);
  if (result && !may_use(result->extra)) result.reset();
  return result;
}

std::optional<cache::Result> Engine::State::from_remote(Engine& engine, const NodeRef& node,
                                                        const NodeKey& key) {
  const bool sealed = std::holds_alternative<graph::SealOp>(node->op());
  if (!options.remote.find || is_source(*node) || (workspace_root(node) && !sealed))
    return std::nullopt;
  auto result = options.remote.find(engine, key.key);
  if (result) options.store->put_result({key.key}, *result, scope(node), ledger(engine, node, key));
  return result;
}

bool Engine::State::is_renewed(const graph::Node& node) const {
  return node.description().ignore_cache || (options.no_cache && !is_source(node));
}

// What stands on the node knows it by this key from now on.
void Engine::State::settle(const NodeRef& node, const Solved& known) {
  if (is_source(*node)) return;
  const std::string first = known.result.extra.value("key", std::string());
  const std::lock_guard lock(memo_mutex);
  found_by[node->digest()] = first.empty() ? known.key : Digest::from_hex(first);
}

Solved Engine::State::hit(const NodeRef& node, Solved found) {
  ++cached;
  settle(node, found);
  if (is_source(*node) || is_silent(*node)) return found;
  std::string note;
  if (const std::string id = changed_secret(*node, found.result); !id.empty())
    note = fmt::format("the value of the secret '{}' has changed since", id);
  options.stream->emit(report::StepFinished{
      ++next_step, node_title(*node), report::StepFinished::Outcome::cached, {}, note, {}});
  return found;
}

// --- solving ---

std::vector<Solved> Engine::State::solve_all(Engine& engine, const std::vector<NodeRef>& nodes,
                                             bool parallel) {
  // The last one in this thread: a chain with side inputs then needs a thread for each of those.
  std::vector<std::future<Solved>> waiting;
  for (size_t i = 0; i < nodes.size(); ++i)
    waiting.push_back(
        std::async(parallel && i + 1 < nodes.size() ? std::launch::async : std::launch::deferred,
                   [this, &engine, node = nodes[i]] { return solve(engine, node); }));
  for (auto one = waiting.rbegin(); one != waiting.rend(); ++one) one->wait();
  std::vector<Solved> results;
  for (std::future<Solved>& one : waiting) results.push_back(one.get());
  return results;
}

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
    if (!in_workspace) known = look_up(engine, node, false);
    if (known) {
      promise.set_value(hit(node, std::move(*known)));
      return future.get();
    }
    const bool parallel = !std::holds_alternative<graph::SealOp>(node->op());
    std::vector<Solved> inputs = solve_all(engine, node->inputs(), parallel);
    promise.set_value(run(engine, node, std::move(inputs)));
  } catch (...) {
    promise.set_exception(std::current_exception());
  }
  return future.get();
}

Solved Engine::State::run(Engine& engine, const NodeRef& node, std::vector<Solved> inputs) {
  options.cancel->check();
  if (std::holds_alternative<graph::WorkspaceOp>(node->op())) {
    // Nothing exists yet; it is made when the first step needs it.
    return Solved{{}, false, key(engine, node)->key};
  }
  const bool in_workspace = workspace_root(node) != nullptr;
  std::shared_ptr<const NodeKey> own = key(engine, node);
  if (!in_workspace && !is_source(*node)) {
    // An input may have been found by its content.
    own = std::make_shared<const NodeKey>(make_key(engine, node, nullptr));
    const std::lock_guard lock(memo_mutex);
    keys[node->digest()] = own;
  }

  // The same work in another process: wait for it, then take its result.
  std::optional<cache::Lock> lock;
  std::vector<Digest> names{own->key};
  std::shared_ptr<const NodeKey> described = own;
  if (!in_workspace) {
    lock.emplace(options.store->lock("op-" + own->key.hex(), options.cancel));
    if (auto known = look_up(engine, node, true)) return hit(node, std::move(*known));
    if (own->has_content) {
      described = content_key(engine, node, inputs);
      names.insert(names.begin(), described->key);
      auto known = is_renewed(*node) ? std::nullopt : find_result(described->key);
      if (!known && !is_renewed(*node)) known = from_remote(engine, node, *described);
      if (known) {
        // From now on the definition alone leads to it.
        options.store->put_result({own->key}, *known, scope(node),
                                  ledger(engine, node, *described));
        return hit(node, {std::move(*known), true, own->key});
      }
    }
  }

  const report::StepId step = ++next_step;
  const std::string title = node_title(*node);
  const bool silent = is_silent(*node);
  const auto started = std::chrono::steady_clock::now();
  const cache::Ledger now = ledger(engine, node, *described);
  const std::string why =
      explain_miss(*options.store, options.store->last_ledger(scope(node)), now);
  const auto finished = [&](report::StepFinished::Outcome outcome, const std::string& error) {
    if (silent) return;
    options.stream->emit(report::StepFinished{step, title, outcome,
                                              std::chrono::duration_cast<std::chrono::milliseconds>(
                                                  std::chrono::steady_clock::now() - started),
                                              why, error});
  };
  if (!silent) options.stream->emit(report::StepStarted{step, title});
  ++ran;
  Solved result{{}, false, own->key};
  try {
    result.result = execute(engine, node, inputs, *described, step);
  } catch (const Interrupted&) {
    finished(report::StepFinished::Outcome::canceled, "interrupted");
    throw;
  } catch (Error& error) {
    if (error.code() == ExitCode::app_files && !error.pos())
      if (const auto pos = node_position(*node)) error.set_pos(*pos);
    finished(report::StepFinished::Outcome::failed, error.what());
    throw;
  } catch (const std::exception& error) {
    finished(report::StepFinished::Outcome::failed, error.what());
    throw;
  }
  // A command that ran anew has a result of its own: what stood on the last one runs again.
  const bool anew = is_renewed(*node) && std::holds_alternative<graph::ExecOp>(node->op());
  const Digest first =
      anew ? KeyBuilder("run").add("key", names[0]).add("run", random_bytes(16)).finish()
           : names[0];
  result.result.extra["key"] = first.hex();
  // When the result came about: a cached one keeps its time, so that images do not change.
  result.result.extra["created"] = std::chrono::duration_cast<std::chrono::seconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count();
  if (const auto secrets = secret_hashes(*node); !secrets.empty())
    result.result.extra["secrets"] = secrets;
  std::set<std::string> origins;
  for (const Solved& input : inputs)
    for (const Json& origin : input.result.extra.value("origin", Json::array()))
      origins.insert(origin.get<std::string>());
  if (!origins.empty()) result.result.extra["origin"] = origins;
  options.store->put_result(names, result.result, scope(node), now);
  settle(node, result);
  finished(report::StepFinished::Outcome::ran, {});
  return result;
}

cache::Result Engine::State::execute(Engine& engine, const NodeRef& node,
                                     const std::vector<Solved>& inputs, const NodeKey& key,
                                     report::StepId step) {
  if (std::holds_alternative<graph::ImageOp>(node->op()))
    return run_image(engine, *identity(engine, node));
  if (const auto* local = std::get_if<graph::LocalOp>(&node->op()))
    return run_local(engine, *local, *identity(engine, node));
  if (const auto* git = std::get_if<graph::GitOp>(&node->op()))
    return run_git(engine, *git, *identity(engine, node));
  if (const auto* http = std::get_if<graph::HttpOp>(&node->op()))
    return run_http(engine, *http, *identity(engine, node));
  if (std::holds_alternative<graph::ExecOp>(node->op()))
    return run_exec(engine, node, inputs, step);
  if (std::holds_alternative<graph::FileOp>(node->op())) return run_file(engine, node, inputs, key);
  if (std::holds_alternative<graph::MergeOp>(node->op())) return run_merge(engine, inputs);
  if (std::holds_alternative<graph::DiffOp>(node->op())) return run_diff(engine, inputs);
  return run_seal(engine, node);
}

// A merge is the second half of a COPY --link, which has told its title already.
bool Engine::State::is_silent(const graph::Node& node) const {
  return std::holds_alternative<graph::MergeOp>(node.op()) && node.inputs().size() > 1 &&
         node_title(*node.inputs()[1]) == node_title(node);
}

void Engine::State::say_once(const std::string& line) {
  {
    const std::lock_guard lock(memo_mutex);
    if (!told.insert(line).second) return;
  }
  options.stream->detail(line);
}

}  // namespace slipway::engine
