// Making one layer out of a stack: whiteouts and opaque marks are resolved and disappear.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_attributes.h"
#include "sandbox/layer_stack.h"
#include "sandbox/layers.h"

namespace slipway::sandbox {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

class StackCopy {
 public:
  explicit StackCopy(bool link) : link_(link) {}

  void folder(const StackDir& source, int target, const std::string& path, size_t depth) {
    if (depth > depth_max)
      fail(ExitCode::machine, "{}…: more than {} nested folders", printable(path.substr(0, 80)),
           depth_max);
    for (auto& [name, level] : list_names(source)) {
      const StackName found = look_up(source, name, level);
      const std::string below = join_path(path, name);
      if (found.kind == StackName::Kind::folder) {
        if (mkdirat(target, name.c_str(), 0700) != 0)
          fail_errno("create folder {}", printable(below));
        const Fd child = open_at(target, name, folder_flags);
        folder(found.dir, child.get(), below, depth + 1);
      } else if (found.kind == StackName::Kind::other) {
        other(source.levels[found.level], found.info, name, target, below);
      }
    }
    if (source.levels.empty()) return;
    // After the entries: a read-only folder is closed, and its time set, when it is complete.
    const int top = source.levels.front().dir.get();
    struct stat info {};
    if (fstat(top, &info) != 0) fail_errno("stat {}", printable(path));
    attributes(top, target, info, path);
  }

 private:
  // Owner first: changing it takes file capabilities away. Mode after the attributes: an ordinary
  // user cannot set any on what it may not write.
  void attributes(int from, int fd, const struct stat& wanted, const std::string& path) {
    struct stat own {};
    if (fstat(fd, &own) != 0) fail_errno("stat {}", printable(path));
    if ((own.st_uid != wanted.st_uid || own.st_gid != wanted.st_gid) &&
        fchown(fd, wanted.st_uid, wanted.st_gid) != 0)
      fail_errno("give {} to {}:{}", printable(path), wanted.st_uid, wanted.st_gid);
    copy_attributes_of(from, fd, path);
    if (fchmod(fd, wanted.st_mode & 07777) != 0) fail_errno("set the mode of {}", printable(path));
    const struct timespec times[2] = {wanted.st_mtim, wanted.st_mtim};
    if (futimens(fd, times) != 0) fail_errno("set the time of {}", printable(path));
  }

  void other(const StackDir::Level& level, const struct stat& info, const std::string& name,
             int target, const std::string& path) {
    const int from = level.dir.get();
    if (link_) {
      if (linkat(from, name.c_str(), target, name.c_str(), 0) == 0) return;
      // Another filesystem, too many names, or a file of another user's: copied instead.
      if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EACCES)
        fail_errno("link {}", printable(path));
    }
    std::string* first_name = nullptr;
    if (S_ISREG(info.st_mode) && info.st_nlink > 1) {
      first_name = &first_names_[{level.layer, info.st_ino}];
      if (!first_name->empty()) {
        const auto [parent, last] = first_parents_->open_parent(*first_name);
        if (linkat(parent, last.c_str(), target, name.c_str(), 0) != 0)
          fail_errno("link {}", printable(path));
        return;
      }
      *first_name = path;
    }
    if (S_ISREG(info.st_mode)) {
      copy_file(from, info, name, target, path);
      return;
    }
    if (S_ISLNK(info.st_mode)) {
      const std::string text = read_link_at(from, name, path);
      if (symlinkat(text.c_str(), target, name.c_str()) != 0)
        fail_errno("create link {}", printable(path));
    } else if (mknodat(target, name.c_str(), info.st_mode, info.st_rdev) != 0) {
      fail_errno("create {}", printable(path));
    } else if (fchmodat(target, name.c_str(), info.st_mode & 07777, 0) != 0) {
      fail_errno("set the mode of {}", printable(path));
    }
    const auto own = stat_at(target, name);
    if (!own || ((own->st_uid != info.st_uid || own->st_gid != info.st_gid) &&
                 fchownat(target, name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW)))
      fail_errno("give {} to {}:{}", printable(path), info.st_uid, info.st_gid);
    const struct timespec times[2] = {info.st_mtim, info.st_mtim};
    if (utimensat(target, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("set the time of {}", printable(path));
  }

  void copy_file(int from, const struct stat& info, const std::string& name, int target,
                 const std::string& path) {
    try {
      const Fd source = open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const Fd copy = open_at(target, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      const auto size = static_cast<uint64_t>(info.st_size);
      if (copy_bytes(source.get(), copy.get(), size) != size)
        fail(ExitCode::machine, "became shorter while it was copied");
      attributes(source.get(), copy.get(), info, path);
    } catch (Error& error) {
      throw error.add_context("copy " + printable(path));
    }
  }

 public:
  void run(const std::vector<int>& layers, int target) {
    FolderCache parents(target);
    first_parents_ = &parents;
    folder(open_stack(layers), target, "", 0);
    first_parents_ = nullptr;
  }

 private:
  bool link_;
  // Files with several names, by layer and inode → the first name's copy.
  std::map<std::pair<size_t, ino_t>, std::string> first_names_;
  FolderCache* first_parents_ = nullptr;
};

}  // namespace

void flatten_layers(const std::vector<int>& layers, int target) {
  StackCopy(true).run(layers, target);
}

void copy_layers(const std::vector<int>& layers, int target) {
  StackCopy(false).run(layers, target);
}

}  // namespace slipway::sandbox
