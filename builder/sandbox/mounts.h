// Mounting inside the worker's namespaces: everything by descriptor, targets resolved in their root
// once and never walked again as text (threats 2, 10). Flags come from enums, never from strings
// of the user's (threat 4).
#pragma once

#include <time.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "graph/op.h"

namespace slipway::sandbox {

/// Attributes of a mount; all mounts of a step are nosuid-free where sudo must work.
struct MountFlags {
  bool readonly = false;
  bool nosuid = false;
  bool nodev = true;
  bool noexec = false;
};

/// A detached copy of the tree at `fd`, ready to be attached. Throws.
Fd clone_tree(int fd, bool recursive, const MountFlags& flags);
/// A new detached tmpfs.
Fd make_tmpfs(uint32_t mode, graph::Owner owner, uint64_t size_bytes, const MountFlags& flags);
/// Attaches a detached mount over the directory or file `target` (O_PATH).
void attach(int tree, int target);
/// Sets attributes of the mount that `fd` is the root of.
void set_mount_flags(int fd, bool recursive, const MountFlags& flags);

/// An overlay to be mounted; directories are named relative to the current directory.
struct Overlay {
  std::vector<std::string> lowers;  ///< topmost first, at least one
  std::string upper, work;          ///< empty = read-only
};
/// Mounts with userxattr at `target`. Past one page of options the kernel must know `lowerdir+`
/// (6.8); else Error(machine) that asks to flatten.
void mount_overlay(const Overlay& overlay, const std::string& target);

/// Creates what is missing of a mount point in a root and remembers it, so that no trace of it is
/// left (threat 5).
class MountPoints {
 public:
  /// `root` must outlive this.
  explicit MountPoints(int root) : root_(root) {}
  /// O_PATH descriptor of `path` resolved in the root: links are followed inside it, a dangling
  /// link's target is created. `directory` says what to create; `keep`: it stays afterwards.
  Fd prepare(const std::string& path, bool directory, uint32_t mode = 0755, graph::Owner owner = {},
             bool keep = false);
  /// Removes what prepare() created, as far as it is still the same, empty and in place; a parent
  /// that nobody else changed gets its time back (R12).
  void clean_up();

 private:
  struct Made {
    Fd parent;
    std::string name;
    uint64_t device = 0, inode = 0;
    bool directory = false;
    timespec before[2] = {}, after = {};  ///< times of the parent before and after
  };
  int root_;
  std::vector<Made> made_;
};

/// Path of an O_PATH descriptor as this process sees it ("/x/root/app").
std::string path_of(int fd);

}  // namespace slipway::sandbox
