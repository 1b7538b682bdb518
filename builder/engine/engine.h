// The engine: solves a graph. Every op is looked up by its key, first from definitions, before
// anything runs, then from content; what is missing runs, in parallel, each once: equal nodes of a
// build share a result, equal keys of several processes wait for one another.
//
// Keys (dockerfile.md §7). A node's definition key covers its definition and its inputs' keys; the
// roots are resolved first: an image to its layers, a git ref to its commit, a URL to its checksum.
// Of a user's directory a copy's or mount's key has only the digest of what it reads there, so that
// other files do not matter. Where a copy or mount reads another step's result, a content key has
// that digest too; it is found once the step is solved. A result is stored under both. What stands
// on a result takes over the key it was found by first, so that equal content joins the branches
// again. The root of an Exec is known by its key alone, never by content (K5).
// In an Exec's key also: config values (keyed hash) and isolation; in all keys, how owners are
// kept. Not in it: what a CACHE_DIR or cache mount holds, secrets' values, time limits, proxy and
// trust variables, addresses of extra hosts.
//
// A workspace (buildpack pipeline) is one mutable mount that its steps share; it is not rebuilt
// step by step: when the sealed result misses, the driver runs all steps in order, as the platform
// does, and each step's record still says which input made it miss.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "cache/store.h"
#include "fetch/fetcher.h"
#include "graph/op.h"
#include "report/event.h"
#include "sandbox/worker.h"
#include "source/dockerignore.h"

namespace slipway::engine {

class Engine;

/// A directory of the user's that a LocalOp names.
struct LocalDir {
  std::string path;
  std::function<bool(const std::string& path, bool is_directory)> ignored;
  /// Stable name of the directory; a private copy of a fetched source changes its path. Empty =
  /// the path.
  std::string identity;
  /// A build context: modes count as they are, sockets become empty files (dockerfile.md K7, C10).
  bool context = false;
  /// The context's ignore file. A folder that it hides is there only for what it does not hide
  /// (G6).
  source::PathPatterns patterns;
};

/// A secret's value, or the file that has it, read when a step first asks for it.
struct Secret {
  std::optional<std::string> value;
  std::string file;
};

/// What an image reference stands for here.
struct ResolvedImage {
  std::string identity;                   ///< goes into keys: "host debian-12 …", a digest
  std::vector<cache::SnapshotId> layers;  ///< topmost first; empty for the host stack
  bool host = false;
  /// Digest of the layers alone (chain id). When set it goes into keys instead of the identity, so
  /// that a new tag or config of the same layers changes nothing (K2).
  std::string chain;
  /// Gives the layers when a step needs them: what is answered from the cache unpacks nothing.
  std::function<std::vector<cache::SnapshotId>(Engine&)> unpack;
};

/// Results that were made elsewhere. What came from there is marked, and so is what was made of it:
/// the store gives it only to builds that name the same cache (threat 18).
struct RemoteResults {
  /// The key that a result was first stored under; empty = not known. Quick, from several threads.
  std::function<std::optional<Digest>(const Digest& key)> first_key;
  /// The result, brought here: its snapshot is committed and under the engine's lease, `extra` says
  /// "key", "created" and "origin". Empty = it is not there or could not be had. From several
  /// threads.
  std::function<std::optional<cache::Result>(Engine&, const Digest& key)> find;
  /// What "origin" may name.
  std::set<std::string> origins;
};

struct Options {
  cache::Store* store = nullptr;
  report::Stream* stream = nullptr;
  Cancel* cancel = nullptr;
  sandbox::Isolation isolation = sandbox::Isolation::oci;
  sandbox::Limits limits;
  fetch::Fetcher fetcher;
  std::map<std::string, LocalDir> locals;
  /// Config vars: values for ExecOp::config_names.
  std::map<std::string, std::string> config;
  /// Variables of steps whose values must not be kept: in ledgers they stand as keyed digests.
  std::set<std::string> hidden_variables;
  /// By the ids that mounts name.
  std::map<std::string, Secret> secrets;
  std::map<std::string, std::string> ssh_agents;  ///< sockets
  /// A secret's value is part of the keys of the steps that get it (a keyed hash).
  bool secrets_in_keys = false;
  /// What a step may have only when the caller grants it (threat 6).
  bool allow_insecure = false, allow_host_network = false;
  /// RUN steps get the host's certificate authorities, beside the root.
  bool host_ca = false;
  /// Scope of ledgers: the app's id.
  std::string app_id;
  bool no_cache = false;
  int jobs = 0;  ///< ops that run at once; 0 = processors
  /// Makes or finds an image; called once per reference.
  std::function<ResolvedImage(Engine&, const graph::ImageOp&)> resolve_image;
  /// Starts the worker; Worker::start unless a test puts its own here.
  std::function<std::unique_ptr<sandbox::Worker>(const sandbox::WorkerOptions&)> start_worker;
  /// Called when a step failed, before its filesystem is dropped (--debug).
  std::function<void(sandbox::Worker&, const sandbox::ExecSpec&)> on_failed_step;
  RemoteResults remote;
};

/// A step whose command failed: exit 1, its output has been shown already.
class StepFailed : public Error {
 public:
  StepFailed(const graph::Node& node, sandbox::ExecResult result, std::string tail);
  const sandbox::ExecResult& result() const { return result_; }
  /// Digest of the node that failed.
  const Digest& node() const { return node_; }
  /// The last lines it printed, without secrets (Stream::masked()); may be empty.
  const std::string& tail() const { return tail_; }

 private:
  sandbox::ExecResult result_;
  Digest node_;
  std::string tail_;
};

/// What a result's `extra` holds for other folders:
///   "path"   folder inside the snapshots that is the tree's root (Local, Git, Http)
///   "known"  digest of a listing (in `trees` too) of files in the result's own layer whose content
///            digests are known: what writes the layer need not read them
struct Solved {
  cache::Result result;
  bool cached = false;
  Digest key;
};

/// Who wrote each path of a workspace's watched directory last: step titles by path. Paths still
/// as the source has them are absent.
using Writers = std::map<std::string, std::string>;

class Engine {
 public:
  explicit Engine(Options options);
  ~Engine();

  /// Solves the node and what it needs. Throws StepFailed, Interrupted or what a source threw.
  Solved solve(const graph::NodeRef& node);
  /// The same for several, side by side; what they share is done once. In the order given. When one
  /// fails, the others are let finish what they began.
  std::vector<Solved> solve(const std::vector<graph::NodeRef>& nodes);
  /// Looks the node up without running anything but the resolution of its sources; empty on a miss.
  std::optional<Solved> lookup(const graph::NodeRef& node);
  /// The node's result without running anything: as it was solved here, else as lookup() has it.
  std::optional<Solved> result_of(const graph::NodeRef& node);
  /// The keys a node is known by: its definition key, and the one its result was first stored
  /// under as far as that is known here or elsewhere.
  struct NodeKeys {
    Digest key, first;
  };
  NodeKeys keys_of(const graph::NodeRef& node);
  /// The node's definition key (resolves its sources).
  Digest key(const graph::NodeRef& node);

  /// Runs a command in the workspace's present state, outside the graph: never cached, never part
  /// of a result (bin/report).
  cache::Result run_beside(const graph::NodeRef& workspace, const graph::ExecOp& op,
                           const std::vector<graph::NodeRef>& inputs);

  /// The writers and the listing of a workspace that ran in this process.
  const Writers& writers(const graph::NodeRef& workspace);

  /// The tree of a solved node: layers topmost first and the folder inside.
  sandbox::Workspace stack_of(const cache::Result& result) const;

  /// Started when first needed.
  sandbox::Worker& worker();
  bool worker_started() const;
  cache::Lease& lease();
  const Options& options() const;
  /// Names a further directory, before the nodes that use it are solved.
  void add_local(const std::string& name, LocalDir dir);
  /// Steps that start from now on end by then at the latest.
  void set_deadline(std::chrono::steady_clock::time_point deadline);
  void set_on_failed_step(std::function<void(sandbox::Worker&, const sandbox::ExecSpec&)> call);
  /// Content digest of a LocalOp's directory, all of it.
  Digest content(const graph::NodeRef& local);
  /// Steps that ran and that were cached so far.
  int steps_ran() const;
  int steps_cached() const;

  /// After the work: gives up this build's claims and removes directories nobody needs any more,
  /// its own leftovers and what gc dropped.
  void sweep();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

/// An image, a directory, a commit, a URL: what is resolved, never run.
bool is_source(const graph::Node& node);

/// The first input that differs: "env MIX_ENV changed from 'prod' to 'test'", "file lib/a.ex
/// changed"; "never built before" without `before`.
std::string explain_miss(const cache::Store& store, const std::optional<cache::Ledger>& before,
                         const cache::Ledger& now);

}  // namespace slipway::engine
