// The engine's inside: what its source files share. Not for other folders.
#pragma once

#include <atomic>
#include <future>
#include <mutex>
#include <semaphore>
#include <set>
#include <thread>

#include "cache/source_scan.h"
#include "engine/engine.h"
#include "sandbox/ids.h"

namespace slipway::engine {

/// What the roots of a graph stand for, found before any key can be computed.
struct SourceIdentity {
  std::string text;  ///< goes into the key
  ResolvedImage image;
  std::optional<cache::ScannedSource> scan;  ///< of a Local
  Digest content;                            ///< of a Local
  std::string commit;                        ///< of a Git
};

/// A workspace that exists: steps run in it one after the other.
struct LiveWorkspace {
  sandbox::Workspace mount;
  cache::SnapshotId cache_parent = 0;
  cache::SnapshotId watched_parent = 0;  ///< the source's snapshot below watched_path
  archive::Tree lower;                   ///< listing of the source at watched_path
  archive::Tree tree;                    ///< listing after the last step
  std::string scan_state;
  Digest content;
  Writers writers;
  Digest at;  ///< digest of the node whose effect it shows
};

struct Engine::State {
  explicit State(Options given)
      : options(std::move(given)),
        lease(options.store->lease()),
        slots(options.jobs > 0
                  ? options.jobs
                  : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))),
        single_id(options.isolation != sandbox::Isolation::none &&
                  sandbox::plan_ids(options.store->id_base()).single_id()) {}

  Options options;
  cache::Lease lease;
  std::counting_semaphore<> slots;  ///< commands that may run at once
  const bool single_id;             ///< only one id will be mapped

  std::mutex worker_mutex;
  std::unique_ptr<sandbox::Worker> worker;

  // Each node of this process is solved once; later askers wait for the first.
  std::mutex memo_mutex;
  std::map<Digest, std::shared_future<Solved>> solved;
  std::map<Digest, std::shared_future<std::shared_ptr<const SourceIdentity>>> identities;
  std::map<Digest, Digest> keys;

  // Steps of a workspace follow one another, so its map needs no finer lock.
  std::recursive_mutex workspace_mutex;
  std::map<Digest, LiveWorkspace> workspaces;

  std::atomic<uint64_t> next_step{0};
  std::atomic<int> ran{0}, cached{0};
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::set<std::string> told;  ///< lines that are said once per build

  std::shared_ptr<const SourceIdentity> identity(Engine& engine, const graph::NodeRef& node);
  Digest key(Engine& engine, const graph::NodeRef& node);
  std::optional<Solved> look_up(Engine& engine, const graph::NodeRef& node);
  Solved solve(Engine& engine, const graph::NodeRef& node);
  Solved run(Engine& engine, const graph::NodeRef& node, std::vector<Solved> inputs);

  // sources.cpp
  std::shared_ptr<const SourceIdentity> identify(Engine& engine, const graph::NodeRef& node);
  cache::Result run_image(const SourceIdentity& identity);
  cache::Result run_local(Engine& engine, const graph::LocalOp& op, const SourceIdentity& identity);
  cache::Result run_git(Engine& engine, const graph::GitOp& op, const SourceIdentity& identity);
  cache::Result run_http(Engine& engine, const graph::HttpOp& op);

  // exec.cpp
  struct StepOutcome {
    sandbox::ExecResult exec;
    std::string out, err, combined, tail;
  };
  sandbox::ExecSpec exec_spec(Engine& engine, const graph::NodeRef& node, const graph::ExecOp& op,
                              const std::vector<graph::NodeRef>& inputs,
                              const std::vector<Solved>& solved);
  StepOutcome run_command(Engine& engine, const graph::ExecOp& op, const sandbox::ExecSpec& spec,
                          report::StepId step);
  cache::Result run_exec(Engine& engine, const graph::NodeRef& node,
                         const std::vector<Solved>& inputs, report::StepId step);
  cache::Result run_seal(Engine& engine, const graph::NodeRef& node);
  LiveWorkspace& live_workspace(Engine& engine, const graph::NodeRef& workspace_root);
  void list_workspace(Engine& engine, LiveWorkspace& live, const graph::NodeRef& root,
                      const std::string& writer);

  // files.cpp
  cache::Result run_file(Engine& engine, const graph::NodeRef& node,
                         const std::vector<Solved>& inputs);
  cache::Result run_merge(Engine& engine, const std::vector<Solved>& inputs);
  cache::Result run_diff(Engine& engine, const std::vector<Solved>& inputs);

  cache::Ledger ledger(Engine& engine, const graph::NodeRef& node);
  std::string scope(const graph::NodeRef& node) const;
  void say_once(const std::string& line);
};

/// The WorkspaceOp a step of a pipeline stands on, following its workspace input; null when the
/// node has none.
graph::NodeRef workspace_root(const graph::NodeRef& node);
/// Index of the input that is the workspace's previous state; -1 = none.
int workspace_input(const graph::Node& node);

std::string node_title(const graph::Node& node);

}  // namespace slipway::engine
