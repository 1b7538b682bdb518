// A step's filesystem: root, workspace and mounts, put together in a mount namespace of its own
// that disappears with the process that made it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/mounts.h"
#include "sandbox/passwd.h"
#include "sandbox/protocol.h"

namespace slipway::sandbox {

/// Fixed places of the worker's private root filesystem.
namespace place {
constexpr const char* host = "/old";     ///< the machine's root
constexpr const char* snapshots = "/s";  ///< the store's snapshots/; also the current directory
constexpr const char* caches = "/c";     ///< the store's caches/
constexpr const char* shared = "/r";     ///< what all steps share: host etc, CA bundle
constexpr const char* step = "/x";       ///< a tmpfs of the step's own
constexpr const char* stubs = ".stubs";  ///< below snapshots/, see StepRoot::stub_layer()
}  // namespace place

/// What the worker found out once and its children use.
struct WorkerState {
  Setup setup;
  bool tmpfs_upper = false;  ///< tmpfs takes user attributes (Linux 6.6): uppers may lie there
};

class StepRoot {
 public:
  /// Builds everything in the caller's mount namespace, which must be private already.
  StepRoot(const WorkerState& state, const ExecSpec& spec);
  /// Removes mount points that had to be made, and a thrown-away upper.
  ~StepRoot();
  const std::string& path() const { return path_; }
  /// The working directory as it must be given to the runtime: resolved in the root, made when it
  /// was missing (X9), never below /proc (threat 1).
  const std::string& cwd() const { return cwd_; }
  const StepUser& user() const { return user_; }
  /// What the runtime must bind below its own /dev: prepared source → place.
  const std::vector<std::pair<std::string, std::string>>& device_mounts() const {
    return device_mounts_;
  }
  /// Listening sockets of agent mounts, by their index in the spec: for the parent to answer.
  std::vector<std::pair<uint64_t, Fd>> take_agents() { return std::move(agents_); }
  /// Files and bytes of the upper layer; zero without one.
  void measure(ExecResult& result) const;
  /// False when /sys has been mounted here (host network).
  bool mount_sys() const { return spec_.network != graph::Network::host; }

 private:
  void mount_root();
  void mount_workspace();
  /// A mount of the step's that is not in its place yet.
  struct Detached {
    const StepMount* mount;
    Fd tree;
    bool directory;
  };
  void prepare_mounts();
  Detached detached(const StepMount& mount, size_t index);
  Fd files_mount(const StepMount& mount);
  Fd secret_mount(const StepMount& mount);
  Fd agent_mount(const StepMount& mount, size_t index);
  Fd layers_source(const StepMount& mount);
  Fd cache_source(const StepMount& mount);
  void place_mount(const Detached& mount);
  graph::Owner step_owner(graph::Owner owner) const;
  std::string stub_layer() const;
  void mount_network_files();
  void mount_trust();
  void bind_text(const std::string& name, const std::string& text, const std::string& dest,
                 uint32_t mode);
  void bind_readonly(const std::string& source, const std::string& dest);
  void mount_host_sys();
  void enter_cwd();
  Fd mount_source(const StepMount& mount);
  std::string read_in_root(const std::string& path, size_t size_max) const;
  std::string scratch_directory();

  const WorkerState& state_;
  const ExecSpec& spec_;
  std::string path_, cwd_, scratch_;
  StepUser user_;
  Fd root_;
  std::unique_ptr<MountPoints> points_;
  std::vector<Detached> mounts_;
  std::vector<Fd> held_;  ///< caches in use
  std::vector<std::pair<std::string, std::string>> device_mounts_;
  std::vector<std::pair<uint64_t, Fd>> agents_;
  int number_ = 0;
};

void make_directory(const std::string& path, mode_t mode);
/// Whether a path is the folder or lies in it.
bool is_below(const std::string& path, const std::string& folder);

/// "12/fs": a layer as overlay options name it, relative to the current directory.
std::string layer_name(SnapshotId id);

}  // namespace slipway::sandbox
