// The worker: one process per build, in a user and mount namespace of its own, that does all that
// mounts, unpacks, copies, scans or deletes snapshots, and starts the steps. The parent keeps the
// source, the network, the credentials and the store's index and passes descriptors.
//
// Ids: never an identity map. An ordinary user maps 0 to self plus its subordinate ids; root maps
// 0..65535 to a range recorded in the store, so a step that escapes is nobody. With a single id
// (no subids) owners cannot be kept and are all 0; that is part of keys (`single_id()`).
//
// Overlay is mounted in the worker only, with `userxattr`; foreign *.overlay.* attributes are
// dropped on unpack. Snapshot directories are named by number below the store's snapshots/.
//
// Thread-safe: each call has a channel of its own and is served by a child of the worker's, so
// calls run in parallel. When the Worker goes out of scope (or the parent dies) the worker and all
// steps are killed, and with its mount namespace every mount is gone.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "archive/layer_listing.h"
#include "archive/tree.h"
#include "base/cancel.h"
#include "base/fd.h"
#include "base/process.h"
#include "cache/store.h"
#include "graph/op.h"

namespace slipway::sandbox {

using cache::SnapshotId;

/// How strongly steps are isolated; never lowered unasked.
enum class Isolation : uint8_t {
  oci,     ///< full namespaces through an OCI runtime
  chroot,  ///< root in a container that may neither mount nor unshare (issue B)
  none,    ///< no isolation at all: the machine's own filesystem and users
};

/// Limits of a whole build.
struct Limits {
  uint64_t memory_bytes = 0;  ///< 0 = none
  double cpus = 0;            ///< 0 = none
};

struct WorkerOptions {
  cache::Store* store = nullptr;
  Isolation isolation = Isolation::oci;
  Limits limits;
  std::string runtime;  ///< path of crun or runc; empty = look for crun, then runc
  /// Program that is executed as the worker with the argument "__worker"; empty = this one.
  std::string worker_program;
};

/// Source of a root filesystem.
struct Root {
  /// Layers topmost first; empty with host = true.
  std::vector<SnapshotId> layers;
  /// The `host` stack: the machine's /usr, /bin, /lib*, /opt and a filtered /etc, read-only.
  bool host = false;
  /// false = writes to the root go to a layer that is thrown away (or to `upper`).
  bool readonly = false;
  SnapshotId upper = 0;  ///< receives the changes when not 0; made when it is missing
};

struct StepMount {
  enum class Kind : uint8_t {
    workspace,  ///< `source` = path inside the workspace
    layers,     ///< tree of `layers`, `source` = path inside, links followed in it; a writable one
                ///< is a throw-away copy
    cache,      ///< directory caches/<name>, `source` = path inside; `layers` seed a new one
    tmpfs,
    files,      ///< a private tmpfs filled with `files` (ENV_DIR): never on disk
    secret,     ///< one file, read-only, with `data`: never on disk
    agent,      ///< socket that leads to the host's socket `source`, outside the sandbox
    host_path,  ///< a path of the host, read-only
  } kind = Kind::tmpfs;
  std::string dest;
  std::string source;
  std::string name;       ///< of a cache
  bool fresh = false;     ///< what the cache held is set aside
  std::string seed_path;  ///< plain folder inside a cache's layers
  std::vector<SnapshotId> layers;
  std::map<std::string, std::string> files;
  std::string data;
  /// Of a tmpfs, a new cache, a secret, a socket and files' directory; files themselves get 0600.
  uint32_t mode = 0755;
  graph::Owner owner;
  bool readonly = false;
  uint64_t size_bytes = 0;
};

/// A workspace: layers topmost first below one writable upper (snapshots/<upper>).
struct Workspace {
  SnapshotId upper = 0;
  std::vector<SnapshotId> layers;
};

/// Where a step with a network finds the host's bundle of certificate authorities.
enum class HostCa : uint8_t {
  none,
  in_etc,  ///< over the root's own bundle, where programs look by themselves
  beside,  ///< at host_ca_path, which leaves no trace in the root
};
inline constexpr const char* host_ca_path = "/dev/host-ca.crt";

/// One command, fully resolved: nothing is looked up by the executor but what stands here.
struct ExecSpec {
  Root root;
  std::optional<Workspace> workspace;
  std::vector<StepMount> mounts;
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;
  std::string cwd = "/";
  std::string user = "0:0";  ///< numeric, or a name of the root's passwd
  std::string hostname = "slipway";
  graph::Network network = graph::Network::none;
  graph::Security security = graph::Security::sandbox;
  std::vector<std::string> extra_hosts;  ///< "name:ip"
  bool terminal = false;  ///< stdin/out/err are a terminal of the user's (--debug, run)
  std::optional<std::chrono::milliseconds> timeout;
  std::vector<graph::Ulimit> ulimits;
  uint64_t shm_size_bytes = 0;  ///< 0 = 64 MiB
  HostCa host_ca = HostCa::in_etc;
};

struct ExecResult {
  ExitStatus status;
  bool timed_out = false;
  bool out_of_memory = false;
  /// What the root's upper layer holds, when there is one.
  uint64_t files = 0, size_bytes = 0;
};

/// Where a step's output goes. Pieces arrive in the order they were written, from another thread.
struct ExecIo {
  int stdin_fd = -1;  ///< -1 = /dev/null
  /// Given to the step as they are when there is no callback for them. In a terminal step stdin_fd
  /// and stdout_fd are the user's terminal: the step gets a pseudo terminal of its own (job control
  /// and window size work), which is relayed; the callbacks are unused.
  int stdout_fd = -1, stderr_fd = -1;
  /// When not -1: each byte read from it is the number of a signal for the step's first process.
  int signals_fd = -1;
  /// stderr is the same pipe as stdout, so that the order of the two is kept; on_stderr is unused.
  bool one_stream = false;
  std::function<void(std::string_view)> on_stdout;
  std::function<void(std::string_view)> on_stderr;
};

/// Writes a new layer from the parent's descriptors (a Local source). Order: parents before
/// children. Calls are batched; finish() waits until everything is on disk.
class CopyIn {
 public:
  virtual ~CopyIn() = default;
  virtual void directory(const std::string& path, uint32_t mode, graph::Owner owner,
                         int64_t mtime_ns) = 0;
  /// The content is read from fd at offset 0 up to `size`; a shorter file is an error.
  virtual void file(const std::string& path, uint32_t mode, graph::Owner owner, int64_t mtime_ns,
                    uint64_t size, Fd content) = 0;
  virtual void symlink(const std::string& path, const std::string& target, graph::Owner owner,
                       int64_t mtime_ns) = 0;
  /// Hides a path of the layers below.
  virtual void whiteout(const std::string& path) = 0;
  virtual void finish() = 0;
};

/// Reads files of a stacked tree: descriptors opened in-root by the worker.
class TreeReader {
 public:
  virtual ~TreeReader() = default;
  /// Open descriptors for the paths, in order; a missing file throws Error(machine).
  virtual std::vector<Fd> open(const std::vector<std::string>& paths) = 0;
};

struct UnpackOptions {
  std::string prefix;           ///< place everything below this folder
  bool strip_wrapper = false;   ///< heroku.md SRC-6
  bool bin_executable = false;  ///< heroku.md SRC-7
  bool whiteouts = false;       ///< OCI layer: .wh. names hide what is below
  /// Of a layer: those below it, topmost first; looked into only when the archive lacks a folder's
  /// entry or a hard link's target.
  std::vector<SnapshotId> lower;
  /// Called when they are looked into, by the thread that called unpack(); returns when they are
  /// complete. Empty = they are.
  std::function<void()> wait_for_lower;
  /// "sha256:<hex>" that the decompressed bytes must have; empty = any.
  std::string diff_id;
  bool digests = true;  ///< of contents, in the listing
  std::function<void(const std::string&)> on_warning;
  std::optional<graph::Owner> owner;      ///< all entries; absent = as in the archive
  uint64_t size_max_bytes = 50ULL << 30;  ///< expanded; threat 21
  uint64_t entries_max = 5'000'000;
};

/// A listing plus, for a workspace, who wrote what since the listing before.
struct ScanRequest {
  Workspace tree;    ///< upper may be 0: then a plain stack of layers
  std::string path;  ///< only below this folder
  /// Listing of `path` in the lower layers; entries the upper does not touch are taken from it.
  archive::Tree lower;
  /// Digests known from the previous scan, by identity; unchanged files are not read again.
  std::string previous_state;
  /// false = sizes and types only, nothing is read.
  bool digests = true;
};
struct ScanResult {
  archive::Tree tree;                 ///< below `path`, paths relative to it
  std::string state;                  ///< opaque; give it to the next scan
  std::vector<std::string> changed;   ///< paths written since previous_state
  std::vector<std::string> warnings;  ///< sockets, FIFOs, devices that were left out
};

/// What a stack's own layers make of the rest, as an image layer (dockerfile.md §11).
struct LayerRequest {
  std::vector<SnapshotId> stack;  ///< topmost first
  size_t own = 1;                 ///< the first of them; the others are what is built upon
  /// What is known of these very snapshots' files: one that has its path, size and time (0 = not
  /// told) there is not read for its digest.
  archive::Tree known;
  /// false = nothing is read; entries have no digests then.
  bool digests = true;
};
struct LayerResult {
  archive::LayerListing listing;
  std::vector<std::string> warnings;  ///< sockets that were left out
  uint64_t files_read = 0;            ///< for their digests
};

/// Batched file actions (graph::FileOp) on a stack; the result is one new layer over `base`.
struct FileRequest {
  struct Action {
    graph::FileAction action;
    std::vector<SnapshotId> source_layers;  ///< of a copy, topmost first
    std::string source_path;                ///< folder inside them that is the copy's root
    /// Tell which file of the source each file is a copy of.
    bool keep_origins = false;
  };
  std::vector<SnapshotId> base;
  std::vector<Action> actions;
};
struct FileResult {
  uint64_t files = 0, size_bytes = 0;  ///< of what was written, archives' content included
  /// Regular files of the new layer of which something is known without reading them.
  struct Known {
    std::string path;
    uint64_t size = 0;
    int64_t mtime_ns = 0;
    Digest digest;       ///< of the content; unset = that of `origin`
    std::string origin;  ///< path in the action's source, below source_path
    size_t action = 0;
  };
  std::vector<Known> known;
};

/// What copies would read of one source: the part of their keys that content decides.
struct SelectRequest {
  std::vector<SnapshotId> layers;  ///< topmost first
  std::string path;                ///< folder inside them that is the root
  std::vector<graph::FileAction> actions;
};
/// Of one action.
struct Selection {
  Digest digest;
  archive::Tree tree;  ///< all it covers, paths in the source: for --explain
};

class Worker {
 public:
  /// Throws Error(machine) naming what is missing and the flag or command that helps.
  static std::unique_ptr<Worker> start(const WorkerOptions& options);
  virtual ~Worker() = default;

  /// Only one id is mapped: owners cannot be kept.
  virtual bool single_id() const = 0;
  /// "oci (crun 1.8.1, ids 0-65535 at 1879048192)"
  virtual std::string describe() const = 0;

  virtual std::unique_ptr<CopyIn> copy_in(SnapshotId target) = 0;
  /// Creates an empty layer (or a workspace upper) with these directories.
  virtual void create(SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) = 0;
  /// Unpacks a tar, tar.gz, tar.xz, tar.zst or zip given by descriptor; returns its listing below
  /// `prefix`, with paths relative to it. Foreign bytes: nothing leaves the target (threat 8).
  virtual archive::Tree unpack(SnapshotId target, int archive, const UnpackOptions& options) = 0;
  virtual ScanResult scan(const ScanRequest& request) = 0;
  virtual LayerResult list_layer(const LayerRequest& request) = 0;
  virtual std::unique_ptr<TreeReader> read_tree(const Workspace& tree, const std::string& path) = 0;
  virtual ExecResult exec(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) = 0;
  /// Renames path `from_path` of one snapshot's own layer into another snapshot at `to_path`,
  /// creating parents. Missing source = empty directory at the target.
  virtual void move(SnapshotId from, const std::string& from_path, SnapshotId to,
                    const std::string& to_path) = 0;
  /// Copies (hard links where possible) the stacked layers into one layer.
  virtual void flatten(const std::vector<SnapshotId>& layers, SnapshotId target) = 0;
  /// Applies the actions into `target`; throws Error(app_files) for a copy source that is missing.
  virtual FileResult apply_files(SnapshotId target, const FileRequest& request) = 0;
  /// One answer for each action, in order; throws as apply_files() does.
  virtual std::vector<Selection> select(const SelectRequest& request) = 0;
  /// Removes snapshot directories.
  virtual void remove(const std::vector<SnapshotId>& snapshots) = 0;
};

/// What this machine offers; `slipway doctor` prints it.
struct Capability {
  std::string name;  ///< "user namespaces", "subordinate ids", "overlay", "runtime", …
  bool ok = false;
  bool required = false;  ///< for rung oci
  std::string detail;
  std::string remedy;  ///< exact command, empty when ok
};
struct MachineReport {
  std::vector<Capability> capabilities;
  Isolation rung = Isolation::none;  ///< the best that works here
};
/// Probes by really doing it (runs something in the runtime). `store` may be null.
/// `worker_program` as in WorkerOptions.
MachineReport probe_machine(cache::Store* store, const std::string& worker_program = {});

/// Entry point of the hidden `__worker` command; returns the exit code.
int worker_main(int argc, char** argv);

}  // namespace slipway::sandbox
