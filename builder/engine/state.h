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
  std::optional<cache::ScannedSource> scan;  ///< of a Local, as far as it is needed
  std::string scan_name;                     ///< of its stat cache
  Digest content;                            ///< of a Local
  std::string commit;                        ///< of a Git
  std::string sha256;                        ///< of an Http whose bytes had to be fetched
  int64_t mtime_ns = 0;                      ///< of the same: Last-Modified
};

/// Paths of a directory that somebody reads; "" = all.
using Needs = std::set<std::string>;

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

/// What a copy or mount reads of one input, as its key has it.
struct ReadPart {
  size_t input = 0;
  size_t index = 0;  ///< of the action or mount
  std::string what;  ///< for the ledger: "action 1", "mount /src"
  graph::FileAction action;
};

/// A listing of what was read; stored when a ledger first names it.
struct ReadTree {
  explicit ReadTree(archive::Tree given) : tree(std::move(given)) {}
  const archive::Tree tree;
  std::mutex mutex;
  Digest stored;  // guarded by mutex
};

/// A node's key and what it is made of.
struct NodeKey {
  Digest key;
  std::vector<cache::LedgerItem> fields;
  struct Read {
    std::string label;  ///< for --explain; what follows a line break only makes it unique
    std::shared_ptr<ReadTree> tree;
    size_t index;  ///< of the action or mount that reads it
    bool local;
  };
  std::vector<Read> trees;
  bool has_content = false;  ///< a content key differs from it
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
  std::map<Digest, Needs> needs;
  std::map<Digest, std::shared_ptr<const NodeKey>> keys;
  /// The key that what stands on a node has for it, once its result is known.
  std::map<Digest, Digest> found_by;
  std::map<Digest, bool> fresh;  ///< the node or one below it is not to be looked up
  std::set<std::string> renewed_caches;
  std::map<std::string, std::string> secret_values;

  // Steps of a workspace follow one another, so its map needs no finer lock.
  std::recursive_mutex workspace_mutex;
  std::map<Digest, LiveWorkspace> workspaces;

  std::atomic<uint64_t> next_step{0};
  std::atomic<int> ran{0}, cached{0};
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::set<std::string> told;  ///< lines that are said once per build

  std::shared_ptr<const SourceIdentity> identity(Engine& engine, const graph::NodeRef& node);
  std::optional<Solved> look_up(Engine& engine, const graph::NodeRef& node, bool inputs_solved);
  /// Whether the caches that a result goes back to may be used.
  bool may_use(const Json& extra) const;
  std::optional<cache::Result> find_result(const Digest& key);
  std::optional<cache::Result> from_remote(Engine& engine, const graph::NodeRef& node,
                                           const NodeKey& key);
  bool is_renewed(const graph::Node& node) const;
  bool is_silent(const graph::Node& node) const;
  Solved hit(const graph::NodeRef& node, Solved found);
  void settle(const graph::NodeRef& node, const Solved& known);
  std::vector<Solved> solve_all(Engine& engine, const std::vector<graph::NodeRef>& nodes,
                                bool parallel);
  Solved solve(Engine& engine, const graph::NodeRef& node);
  Solved run(Engine& engine, const graph::NodeRef& node, std::vector<Solved> inputs);
  cache::Result execute(Engine& engine, const graph::NodeRef& node,
                        const std::vector<Solved>& inputs, const NodeKey& key, report::StepId step);

  // keys.cpp
  std::shared_ptr<const NodeKey> key(Engine& engine, const graph::NodeRef& node);
  /// The same with the content of what other steps made; they are solved.
  std::shared_ptr<const NodeKey> content_key(Engine& engine, const graph::NodeRef& node,
                                             const std::vector<Solved>& inputs);
  bool is_fresh(const graph::NodeRef& node);
  Digest input_key(const graph::NodeRef& input);
  cache::Ledger ledger(Engine& engine, const graph::NodeRef& node, const NodeKey& key);
  std::string scope(const graph::NodeRef& node) const;
  NodeKey make_key(Engine& engine, const graph::NodeRef& node, const std::vector<Solved>* inputs);
  Digest secret_hash(const std::string& id);
  std::map<std::string, std::string> secret_hashes(const graph::Node& node);
  std::string changed_secret(const graph::Node& node, const cache::Result& result);

  // sources.cpp, local.cpp
  void collect_needs(const graph::NodeRef& root);
  bool read_whole(const graph::NodeRef& local);
  void resolve_sources(Engine& engine, const std::vector<graph::NodeRef>& order);
  std::shared_ptr<const SourceIdentity> identify(Engine& engine, const graph::NodeRef& node);
  void identify_http(const graph::HttpOp& op, SourceIdentity& identity);
  void scan_local(const graph::LocalOp& op, Needs wanted, SourceIdentity& identity);
  cache::Result run_image(Engine& engine, const SourceIdentity& identity);
  std::string missing_hint(const graph::LocalOp& op, const std::string& path);
  cache::Result run_local(Engine& engine, const graph::LocalOp& op, const SourceIdentity& identity);
  cache::Result run_git(Engine& engine, const graph::GitOp& op, const SourceIdentity& identity);
  cache::Result run_http(Engine& engine, const graph::HttpOp& op, const SourceIdentity& identity);

  // exec.cpp, mounts.cpp
  struct StepOutcome {
    sandbox::ExecResult exec;
    std::string out, err, combined, tail;
  };
  /// A step ready to run; the locks are of its cache mounts.
  struct Step {
    sandbox::ExecSpec spec;
    std::vector<cache::Lock> locks;
  };
  Step make_step(Engine& engine, const graph::NodeRef& node, const graph::ExecOp& op,
                 const std::vector<graph::NodeRef>& inputs, const std::vector<Solved>& solved);
  void add_mount(Engine& engine, const graph::Mount& mount,
                 const std::vector<graph::NodeRef>& inputs, const std::vector<Solved>& solved,
                 Step& step);
  void add_caches(const graph::NodeRef& node, const std::vector<graph::NodeRef>& inputs,
                  const std::vector<Solved>& solved, Step& step);
  void add_environment(const graph::ExecOp& op, Step& step);
  std::optional<std::string> secret_value(const std::string& id);
  StepOutcome run_command(Engine& engine, const graph::ExecOp& op, const sandbox::ExecSpec& spec,
                          report::StepId step);
  cache::Result run_exec(Engine& engine, const graph::NodeRef& node,
                         const std::vector<Solved>& inputs, report::StepId step);

  // workspace.cpp
  cache::Result run_seal(Engine& engine, const graph::NodeRef& node);
  LiveWorkspace& live_workspace(Engine& engine, const graph::NodeRef& workspace_root);
  void list_workspace(Engine& engine, LiveWorkspace& live, const graph::NodeRef& root,
                      const std::string& writer);

  // files.cpp
  cache::Result run_file(Engine& engine, const graph::NodeRef& node,
                         const std::vector<Solved>& inputs, const NodeKey& key);
  cache::Result run_merge(Engine& engine, const std::vector<Solved>& inputs);
  cache::Result run_diff(Engine& engine, const std::vector<Solved>& inputs);

  void say_once(const std::string& line);
};

/// The WorkspaceOp a step of a pipeline stands on, following its workspace input; null when the
/// node has none.
graph::NodeRef workspace_root(const graph::NodeRef& node);
/// Index of the input that is the workspace's previous state; -1 = none.
int workspace_input(const graph::Node& node);

std::string node_title(const graph::Node& node);
bool is_local(const graph::Node& node);
/// Image, Local, Git and Http results' folder inside their snapshots.
std::string tree_path(const cache::Result& result);
std::vector<cache::SnapshotId> layers_of(const cache::Store& store, const cache::Result& result);
/// What the node reads of its inputs' content.
std::vector<ReadPart> read_parts(const graph::Node& node);
/// "Dockerfile:12" as a position; empty when there is none.
std::optional<SourcePos> node_position(const graph::Node& node);

}  // namespace slipway::engine
