// The build graph: immutable, content-addressed operations. Pure data: nothing here does I/O.
//
// Fields follow BuildKit's LLB (dockerfile.md §9) so that a graph can be written out as an LLB
// definition. Extensions with no LLB counterpart are named as such: they are refused by name when
// LLB is asked for. A node's digest covers its definition and its inputs' digests; display names
// and positions in the user's files are not part of it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/digest.h"

namespace slipway::graph {

class Node;
using NodeRef = std::shared_ptr<const Node>;

/// Owner of files inside a root filesystem; ids as the step sees them.
struct Owner {
  uint32_t uid = 0, gid = 0;
  bool operator==(const Owner&) const = default;
};

/// An image by reference. Extension: a reference "stack:<name>/<variant>" is one of our stacks.
/// "scratch" is no op: a step without input has an empty root.
struct ImageOp {
  std::string reference;
  std::string platform = "linux/amd64";
};

/// A directory of the user's, through ignore rules. `name` identifies it among the solve's local
/// directories; the host path is not part of the graph.
struct LocalOp {
  std::string name;
  /// Extension: files are placed below this folder with this owner, so that a workspace can use
  /// the snapshot as a layer without copying it.
  std::string prefix;
  Owner owner;
  /// Extension: everything below bin/ is made executable (heroku.md SRC-7).
  bool executable_bin = false;
};

/// A commit of a git repository.
struct GitOp {
  std::string url;  ///< credentials in it are no part of the definition (threat 15)
  std::string ref;  ///< branch, tag or commit; empty = the remote's HEAD
  std::string subdir;
  /// Commit hash, or the beginning of one, that the ref must lead to (ADD --checksum); may be
  /// empty.
  std::string checksum;
  bool keep_git_dir = false;
  bool submodules = true;
  std::string prefix;  ///< extensions, as LocalOp
  Owner owner;
  bool executable_bin = false;
};

/// One URL. With `unpack` the (compressed) tar is unpacked, a single wrapping directory dropped
/// when `strip_wrapper` finds one (heroku.md SRC-6).
struct HttpOp {
  std::string url;
  std::string checksum;  ///< "sha256:<hex>" or empty
  std::string filename;
  /// Of the downloaded file (ADD of a URL); ignored with `unpack`.
  uint32_t mode = 0644;
  /// The file's time is the server's Last-Modified, else 1970 (dockerfile.md C20). Without it, as
  /// with `unpack`, times do not matter.
  bool last_modified = false;
  bool unpack = false;
  bool strip_wrapper = false;
  std::string prefix;  ///< extensions, as LocalOp
  Owner owner;
  bool executable_bin = false;
};

enum class MountType : uint8_t {
  bind,    ///< an input's tree
  cache,   ///< a named directory that outlives the build
  secret,  ///< a file (and, or, a variable) with a secret's value
  ssh,     ///< the socket of an ssh agent
  tmpfs,
  workspace  ///< extension: part of the pipeline's workspace (see WorkspaceOp)
};
enum class CacheSharing : uint8_t { shared, private_, locked };

struct Mount {
  MountType type = MountType::bind;
  int input = -1;        ///< index into the node's inputs; -1 = none; of a cache: its seed
  std::string selector;  ///< path inside the input
  std::string dest;      ///< absolute path in the step; empty = a secret in a variable only
  bool readonly = false;
  int output = -1;  ///< -1 = changes are thrown away
  std::string cache_id;
  CacheSharing sharing = CacheSharing::shared;
  std::string secret_id;   ///< of a secret or an ssh agent
  std::string secret_env;  ///< the variable that gets the secret's value; empty = none
  bool required = false;   ///< a secret or agent that was not given fails the step, else is skipped
  /// Of a secret's file (0400), an agent's socket (0600), a fresh cache's directory (0755).
  uint32_t mode = 0400;
  Owner owner;  ///< of the same
  uint64_t tmpfs_size_bytes = 0;
};

enum class Network : uint8_t { none, open, host, recorded };
enum class Security : uint8_t {
  sandbox,            ///< Docker's default capabilities, setuid works (Dockerfile RUN)
  no_new_privileges,  ///< extension: the same with no_new_privs (buildpacks, run)
  insecure,           ///< all that the builder has (dockerfile.md X7); only when granted
};

/// "soft" and "hard" limits of a resource, as `docker build --ulimit` has them.
struct Ulimit {
  std::string name;
  int64_t soft = 0, hard = 0;
};

/// A command. The mount at "/" is the root: input 0, or -1 for an empty one.
struct ExecOp {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> env;  ///< order matters
  std::string cwd = "/";
  std::string user = "0:0";  ///< numeric "uid:gid" or a name of the root's passwd
  std::string hostname;
  Network network = Network::open;
  Security security = Security::sandbox;
  std::vector<Mount> mounts;
  /// Proxy variables of the build (dockerfile.md V21): after env, outside the key.
  std::vector<std::pair<std::string, std::string>> proxy_env;
  /// "name" → address; the names are in the key (K3), the addresses are not.
  std::vector<std::pair<std::string, std::string>> extra_hosts;
  std::vector<Ulimit> ulimits;
  uint64_t shm_size_bytes = 0;  ///< 0 = 64 MiB
  /// Empty places made for mounts are removed after the step with their parents (R12).
  bool remove_mount_stubs = false;
  /// Extension: stdout is part of the result (a detect's name, a release's YAML) and goes there
  /// instead of the log when `capture_stdout_only`.
  bool capture_stdout = false;
  bool capture_stdout_only = false;
  /// Exit codes that are results rather than failures; empty = {0}.
  std::vector<int> valid_exit_codes;
  /// Extension: files of a private directory at `config_dir` (ENV_DIR, heroku.md ENV-1..7), owner
  /// of the step's user, 0600. Values stand in the key by a keyed hash only: the names of the
  /// variables are here, their values are handed to the solver apart from the graph.
  std::string config_dir;
  std::vector<std::string> config_names;
};

/// Batched file actions on input 0 (or scratch).
struct FileAction {
  enum class Kind : uint8_t { copy, mkdir, mkfile, rm, symlink } kind = Kind::copy;
  /// copy: index of the input copied from
  int source_input = -1;
  std::string source;  ///< copy: path or pattern; symlink: target
  std::string dest;    ///< a final '/' or '/.' means a directory (dockerfile.md C4)
  std::string data;    ///< mkfile
  int mode = -1;       ///< -1 = keep
  /// chmod's symbolic form ("u=rwX,go=rX"); empty = `mode` counts (C14).
  std::string mode_text;
  std::optional<Owner> owner;  ///< absent = keep (copy), 0:0 (others)
  /// "user[:group]" with names, looked up in the target's passwd and group (C13); wins over owner.
  std::string owner_names;
  /// copy: a directory's contents, not itself
  bool contents = true;
  bool create_dest_path = true;
  bool allow_wildcard = true;
  bool allow_empty_wildcard = true;  ///< a pattern that matches nothing is fine (C7)
  bool allow_missing = false;        ///< of a literal path
  /// The final link of a source path is followed (C8).
  bool follow_links = true;
  /// A file that is a tar, compressed or not, is unpacked into dest (C18).
  bool unpack = false;
  /// --parents: the source's path after the pivot "/./" is kept below dest (C16).
  bool parents = false;
  std::vector<std::string> exclude;  ///< .dockerignore patterns below each source directory (C15)
  /// An existing directory below dest's top takes the new mode, links at dest are replaced and not
  /// followed (C17).
  bool replace_existing = false;
  /// Times of what is made or copied, nanoseconds since 1970; absent = keep, now for new ones.
  std::optional<int64_t> timestamp_ns;
};
struct FileOp {
  std::vector<FileAction> actions;
  /// The actions work on an empty tree; all inputs are sources of copies. Without actions and
  /// inputs it is the empty tree itself.
  bool on_scratch = false;
};

/// Stacks the layers of its inputs without running anything.
struct MergeOp {};
/// What input 1 has over input 0.
struct DiffOp {};

/// Extension: the workspace of a buildpack pipeline, one mount that holds BUILD_DIR, CACHE_DIR,
/// the packs and /app (heroku.md FS-5, FS-8). Inputs are stacked as layers; their prefixes say
/// where they lie. Exec steps follow one another on it, each taking the previous step as input.
struct WorkspaceOp {
  struct Dir {
    std::string path;  ///< relative to the workspace
    uint32_t mode = 0755;
    Owner owner;
  };
  std::vector<Dir> dirs;
  /// The app's CACHE_DIR: restored from the last successful build, never part of a key.
  std::string cache_id;    ///< empty = none
  std::string cache_path;  ///< relative to the workspace
  /// BUILD_DIR: listed after each step; its content is the workspace's in later keys.
  std::string watched_path;
};
/// Extension: takes `path` out of a workspace as a snapshot of its own and publishes the cache.
struct SealOp {
  std::string path;
};

using Op = std::variant<ImageOp, LocalOp, GitOp, HttpOp, ExecOp, FileOp, MergeOp, DiffOp,
                        WorkspaceOp, SealOp>;

/// Which other value of the definition a node has; for messages only.
struct Description {
  std::string title;  ///< "compile elixir", "[build 2/4] RUN make"
  std::string file;   ///< "Dockerfile:12"
  /// Not looked up in the cache (--no-cache), still stored.
  bool ignore_cache = false;
  /// Time limit of an Exec; not part of the key.
  std::optional<std::chrono::milliseconds> timeout;
};

/// An immutable vertex. Equal definition and inputs give an equal digest, and run once.
class Node {
 public:
  static NodeRef make(Op op, std::vector<NodeRef> inputs = {}, Description description = {});
  const Op& op() const { return op_; }
  const std::vector<NodeRef>& inputs() const { return inputs_; }
  const Digest& digest() const { return digest_; }
  const Description& description() const { return description_; }
  /// "exec", "local", …
  std::string_view kind() const;

 private:
  Node(Op op, std::vector<NodeRef> inputs, Description description);
  Op op_;
  std::vector<NodeRef> inputs_;
  Description description_;
  Digest digest_;
};

/// The named fields of an op's definition, in order: what the digest covers and what `--explain`
/// compares. Values of secrets never appear.
std::vector<std::pair<std::string, std::string>> definition_fields(const Op& op);

/// Nodes in an order in which inputs come first; each once.
std::vector<NodeRef> topological_order(const NodeRef& root);

}  // namespace slipway::graph
