// The engine: solves a graph. Every op is looked up by its key, first from definitions, before
// anything runs, then from content; what is missing runs, in parallel, each once: equal nodes of a
// build share a result, equal keys of several processes wait for one another.
//
// Keys. A node's definition key covers its definition and its inputs' definition keys; the roots
// are resolved first: an image to its digest, a directory to its content, a git ref to its commit,
// a URL to its checksum. A content key replaces the inputs' keys by the digests of their content.
// In an Exec's key also: config values (keyed hash), isolation, and whether only one id is mapped.
// Not in it: what a CACHE_DIR holds, time limits, proxy and trust variables (DESIGN, "The graph").
//
// A workspace (buildpack pipeline) is one mutable mount that its steps share; it is not rebuilt
// step by step: when the sealed result misses, the driver runs all steps in order, as the platform
// does, and each step's record still says which input made it miss.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"
#include "cache/store.h"
#include "fetch/fetcher.h"
#include "graph/op.h"
#include "report/event.h"
#include "sandbox/worker.h"

namespace slipway::engine {

class Engine;

/// A directory of the user's that a LocalOp names.
struct LocalDir {
  std::string path;
  std::function<bool(const std::string& path, bool is_directory)> ignored;
  /// Stable name of the directory; a private copy of a fetched source changes its path. Empty =
  /// the path.
  std::string identity;
};

/// What an image reference stands for here.
struct ResolvedImage {
  std::string identity;                   ///< goes into keys: "host debian-12 …", a digest
  std::vector<cache::SnapshotId> layers;  ///< topmost first; empty for the host stack
  bool host = false;
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
  /// Looks the node up without running anything but the resolution of its sources; empty on a miss.
  std::optional<Solved> lookup(const graph::NodeRef& node);
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
  /// Content digest of a LocalOp's directory.
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

/// The first input that differs: "env MIX_ENV changed from 'prod' to 'test'", "file lib/a.ex
/// changed"; "never built before" without `before`.
std::string explain_miss(const cache::Store& store, const std::optional<cache::Ledger>& before,
                         const cache::Ledger& now);

}  // namespace slipway::engine
