#include "sandbox/files_on_overlay.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/files.h"
#include "sandbox/file_actions.h"
#include "sandbox/mounts.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {

void apply_files_on_overlay(SnapshotId target, const FileRequest& request, bool single_id) {
  if (unshare(CLONE_NEWNS) != 0) fail_errno("unshare the mount namespace");
  if (mount("slipway", place::step, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755") != 0)
    fail_errno("mount a tmpfs");
  int number = 0;
  // One layer is used where it lies, a stack is mounted.
  const auto open_tree = [&](const std::vector<SnapshotId>& layers, SnapshotId upper) {
    Overlay overlay;
    for (const SnapshotId id : layers) overlay.lowers.push_back(layer_name(id));
    if (upper == 0 && layers.size() == 1)
      return open_file(overlay.lowers[0], O_RDONLY | O_DIRECTORY);
    if (layers.empty()) return open_file(layer_name(upper), O_RDONLY | O_DIRECTORY);
    if (upper != 0) {
      overlay.upper = layer_name(upper);
      overlay.work = fmt::format("{}/work", upper);
      remove_tree(overlay.work);
      if (mkdir(overlay.work.c_str(), 0700) != 0) fail_errno("create {}", overlay.work);
    }
    const std::string path = fmt::format("{}/tree{}", place::step, ++number);
    if (mkdir(path.c_str(), 0755) != 0) fail_errno("create {}", path);
    mount_overlay(overlay, path);
    return open_file(path, O_RDONLY | O_DIRECTORY);
  };
  const Fd root = open_tree(request.base, target);
  std::vector<Fd> sources;
  std::vector<FileActionOn> actions;
  for (const FileRequest::Action& wanted : request.actions) {
    int source = -1;
    if (!wanted.source_layers.empty()) {
      const Fd tree = open_tree(wanted.source_layers, 0);
      sources.push_back(open_in_root(tree.get(),
                                     wanted.source_path.empty() ? "." : wanted.source_path,
                                     O_RDONLY | O_DIRECTORY));
      source = sources.back().get();
    }
    actions.push_back({wanted.action, source});
  }
  apply_file_actions(root.get(), actions, single_id);
}

}  // namespace slipway::sandbox
