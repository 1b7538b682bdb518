#include "sandbox/files_on_overlay.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/files.h"
#include "sandbox/file_actions.h"
#include "sandbox/mounts.h"
#include "sandbox/requests.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {
namespace {

/// Mounts base and layer as one, calls `use` with its root and unmounts it again: nobody may write
/// to the layer beside the mount.
void with_overlay(SnapshotId target, const std::vector<SnapshotId>& base,
                  const std::function<void(int)>& use) {
  Overlay overlay;
  for (const SnapshotId id : base) overlay.lowers.push_back(layer_name(id));
  overlay.upper = layer_name(target);
  overlay.work = fmt::format("{}/work", target);
  remove_tree(overlay.work);
  if (mkdir(overlay.work.c_str(), 0700) != 0) fail_errno("create {}", overlay.work);
  const std::string path = std::string(place::step) + "/merged";
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) fail_errno("create {}", path);
  mount_overlay(overlay, path);
  std::exception_ptr thrown;
  try {
    const Fd root = open_file(path, O_RDONLY | O_DIRECTORY);
    use(root.get());
  } catch (...) {
    thrown = std::current_exception();
  }
  if (umount2(path.c_str(), 0) != 0 && !thrown) fail_errno("unmount {}", path);
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

FileResult apply_files_on_overlay(int snapshots, SnapshotId target, const FileRequest& request,
                                  bool single_id) {
  const Fd layer = make_layer(snapshots, target);
  const std::vector<Fd> base = open_stack(snapshots, {0, request.base});
  std::vector<Fd> opened;
  const std::vector<FileActionOn> actions = open_sources(snapshots, request, opened);
  bool own_mounts = false;
  FileTarget on;
  on.layer = layer.get();
  on.base = numbers(base);
  on.single_id = single_id;
  on.merged = [&](const std::function<void(int)>& use) {
    if (!own_mounts) {
      if (unshare(CLONE_NEWNS) != 0) fail_errno("unshare the mount namespace");
      if (mount("slipway", place::step, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755") != 0)
        fail_errno("mount a tmpfs");
      own_mounts = true;
    }
    with_overlay(target, request.base, use);
  };
  return apply_file_actions(on, actions);
}

}  // namespace slipway::sandbox
