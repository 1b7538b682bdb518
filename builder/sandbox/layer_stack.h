// How overlayfs merges a stack of layer directories, one folder at a time and without mounting it:
// the first layer that has a name decides; folders merge downwards until a whiteout (character
// device 0:0), an opaque folder (user.overlay.opaque=y) or something that is no folder stops them.
// Names are bytes. Nothing here follows a link: folders are opened by descriptor, one component at
// a time.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace slipway::sandbox {

/// Folders nested deeper than this are refused (threat 21): a walk holds a descriptor a level.
constexpr size_t depth_max = 500;

/// The components of a path relative to a layer. Empty path = the layer itself = no components.
/// Throws Error(machine) for an absolute path, an empty, "." or ".." component, or a NUL.
std::vector<std::string> layer_components(std::string_view path);
/// "a/b", or the other one when one is empty.
std::string join_path(std::string_view folder, std::string_view name);

/// A character device 0:0; where that cannot be made (a layer that lies on an overlay itself, as in
/// a container), an empty file with the attribute user.overlay.whiteout.
bool is_whiteout(int dir, const std::string& name, const struct stat& info);
void make_whiteout(int dir, const std::string& name, const std::string& path);
/// False too where the filesystem has no user attributes: then no overlay wrote there either.
bool is_opaque(int dir);
void make_opaque(int dir, const std::string& path);

int64_t nanoseconds(const struct timespec& time);
struct timespec to_timespec(int64_t nanoseconds);

/// One folder of a stack: the layers' folders that contribute to it, topmost first.
struct StackDir {
  struct Level {
    size_t layer;  ///< index in the stack
    Fd dir;
  };
  std::vector<Level> levels;
  /// Nothing in these layers hides what lies below the last of them.
  bool reaches_below = true;
};

/// What a stack shows under one name.
struct StackName {
  enum class Kind {
    absent,  ///< no layer has it
    hidden,  ///< a whiteout
    other,   ///< a file, symlink, device, …: whatever lies below is hidden
    folder,
  } kind = Kind::absent;
  struct stat info {};  ///< of the topmost layer that has it (other, folder)
  size_t level = 0;     ///< index into the parent's levels of that layer
  StackDir dir;         ///< folder only
};

/// The stack's roots; the descriptors stay the caller's.
StackDir open_stack(const std::vector<int>& layers);
/// Levels before first_level are known not to have the name.
StackName look_up(const StackDir& parent, const std::string& name, size_t first_level = 0);
/// Every name some level has (whiteouts included), sorted bytewise, with the first such level.
std::vector<std::pair<std::string, size_t>> list_names(const StackDir& dir);

/// Opens folders below a layer by path, keeping the last chain open: sorted visits cost one
/// openat each. Links are never followed.
class FolderCache {
 public:
  /// `root` stays the caller's and must outlive the cache.
  explicit FolderCache(int root) : root_(root) {}
  /// Valid until the next call. Throws Error(machine) when it is missing or no folder.
  int open(std::string_view folder);
  /// Opens the folder of `path` and gives its last component.
  std::pair<int, std::string> open_parent(std::string_view path);

 private:
  int root_;
  std::vector<std::pair<std::string, Fd>> chain_;
};

}  // namespace slipway::sandbox
