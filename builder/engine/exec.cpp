// Commands, the workspace they share in a buildpack pipeline, and taking its result out.
#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"
#include "sandbox/host_trust.h"

namespace slipway::engine {
namespace {

constexpr size_t captured_max = 4 << 20;
constexpr size_t tail_max = 4 << 10;  // of a step's output, for the error

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

/// What cannot be done for a step is told with the line that asked for it.
template <typename Work>
auto placed(const graph::Node& node, const Work& work) {
  try {
    return work();
  } catch (Error& error) {
    if (const auto pos = node_position(node); pos && !error.pos()) error.set_pos(*pos);
    throw;
  }
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
  // The locks of its caches are held until it ended.
  Step step_ready =
      placed(*node, [&] { return make_step(engine, node, op, node->inputs(), inputs); });
  sandbox::ExecSpec& spec = step_ready.spec;

  // What the step must leave behind: a plain Exec's root changes become a snapshot.
  cache::SnapshotId upper = 0;
  if (!root && !spec.root.readonly && !spec.root.host) {
    upper = options.store->allocate_snapshot(lease);
    spec.root.upper = upper;
  }
  const bool of_buildpack = op.security == graph::Security::no_new_privileges;
  const auto trust = of_buildpack ? sandbox::host_trust_env(op.network)
                                  : std::vector<std::pair<std::string, std::string>>();
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

  const StepOutcome outcome = placed(*node, [&] { return run_command(engine, op, spec, step); });
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
    snapshot.size_bytes = outcome.exec.size_bytes;
    snapshot.files = outcome.exec.files;
    options.store->commit_snapshot(snapshot);
    result.snapshot = upper;
  }
  return result;
}

cache::Result Engine::run_beside(const graph::NodeRef& workspace, const graph::ExecOp& op,
                                 const std::vector<graph::NodeRef>& inputs) {
  const std::lock_guard lock(state_->workspace_mutex);
  std::vector<Solved> solved_inputs;
  for (const graph::NodeRef& input : inputs)
    solved_inputs.push_back(input == workspace ? Solved{} : solve(input));
  const graph::NodeRef node = graph::Node::make(op, inputs);
  const State::Step step = state_->make_step(*this, node, op, inputs, solved_inputs);
  const State::StepOutcome outcome = state_->run_command(*this, op, step.spec, 0);
  cache::Result result;
  result.exit_code = outcome.exec.status.shell_code();
  result.stdout_text = outcome.out;
  return result;
}

}  // namespace slipway::engine
