#include "sandbox/mounts.h"

#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

// mount(2) takes one page of options and cuts what is longer without a word.
constexpr size_t mount_options_max = 4000;
constexpr int links_max = 40;

uint64_t attributes(const MountFlags& flags) {
  uint64_t set = 0;
  if (flags.readonly) set |= MOUNT_ATTR_RDONLY;
  if (flags.nosuid) set |= MOUNT_ATTR_NOSUID;
  if (flags.nodev) set |= MOUNT_ATTR_NODEV;
  if (flags.noexec) set |= MOUNT_ATTR_NOEXEC;
  return set;
}

/// Configures and creates a filesystem through the fsopen family.
class FsContext {
 public:
  explicit FsContext(const char* type)
      : fd_(static_cast<int>(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC))), type_(type) {
    if (!fd_) fail_errno("fsopen {}", type);
  }
  bool try_set(const char* key, const std::string& value) {
    return syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  }
  void set(const char* key, const std::string& value) {
    if (!try_set(key, value)) fail_errno("{} option {}={}", type_, key, value);
  }
  void set_flag(const char* key) {
    if (syscall(SYS_fsconfig, fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) != 0)
      fail_errno("{} option {}", type_, key);
  }
  Fd create(uint64_t attrs) {
    if (syscall(SYS_fsconfig, fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
      fail_errno("create a {} filesystem", type_);
    Fd mount(static_cast<int>(syscall(SYS_fsmount, fd_.get(), FSMOUNT_CLOEXEC, attrs)));
    if (!mount) fail_errno("mount a {} filesystem", type_);
    return mount;
  }

 private:
  Fd fd_;
  std::string type_;
};

void split_last(const std::string& path, std::string& parent, std::string& name) {
  const size_t slash = path.rfind('/');
  parent = slash == std::string::npos ? std::string() : path.substr(0, slash);
  name = slash == std::string::npos ? path : path.substr(slash + 1);
}

/// `path` as seen from `base`, a path without links: relative, without doubled slashes and "."
/// parts. Leading ".." parts go up from base and stop at the root; later ones are refused, because
/// they would be resolved against directories that do not exist yet.
std::string clean_path(const std::string& base, const std::string& path) {
  std::vector<std::string> parts;
  if (!starts_with(path, "/")) parts = split(base, '/');
  bool leading = true;
  for (const std::string& part : split(path, '/')) {
    if (part == "..") {
      if (!leading) fail(ExitCode::app_files, "mount point {}: \"..\" is not allowed", path);
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
      leading = false;
    }
  }
  std::erase(parts, "");
  return join(parts, "/");
}

}  // namespace

Fd clone_tree(int fd, bool recursive, const MountFlags& flags) {
  Fd tree(static_cast<int>(syscall(
      SYS_open_tree, fd, "",
      AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0))));
  if (!tree) fail_errno("open_tree {}", path_of(fd));
  set_mount_flags(tree.get(), recursive, flags);
  return tree;
}

void set_mount_flags(int fd, bool recursive, const MountFlags& flags) {
  mount_attr attr{};
  attr.attr_set = attributes(flags);
  attr.propagation = MS_PRIVATE;
  if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr,
              sizeof attr) != 0)
    fail_errno("set mount attributes of {}", path_of(fd));
}

Fd make_tmpfs(uint32_t mode, graph::Owner owner, uint64_t size_bytes, const MountFlags& flags) {
  FsContext context("tmpfs");
  context.set("mode", fmt::format("{:o}", mode));
  context.set("uid", std::to_string(owner.uid));
  context.set("gid", std::to_string(owner.gid));
  if (size_bytes > 0) context.set("size", std::to_string(size_bytes));
  return context.create(attributes(flags));
}

void attach(int tree, int target) {
  if (syscall(SYS_move_mount, tree, "", target, "",
              MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    fail_errno("mount at {}", path_of(target));
}

void mount_overlay(const Overlay& overlay, const std::string& target) {
  SLIPWAY_CHECK(!overlay.lowers.empty());
  std::string options = "userxattr,lowerdir=" + join(overlay.lowers, ":");
  // "volatile": unmounting would flush the whole disk after every step; the store makes a build's
  // layers durable with one syncfs and drops those of a crash.
  if (!overlay.upper.empty())
    options += fmt::format(",upperdir={},workdir={},volatile", overlay.upper, overlay.work);
  if (options.size() < mount_options_max) {
    if (mount("overlay", target.c_str(), "overlay", MS_NODEV, options.c_str()) != 0)
      fail_errno("mount an overlay of {} layers", overlay.lowers.size());
    return;
  }
  FsContext context("overlay");
  context.set_flag("userxattr");
  for (const std::string& lower : overlay.lowers) {
    if (context.try_set("lowerdir+", lower)) continue;
    if (errno == EINVAL)
      throw Error(ExitCode::machine,
                  fmt::format("{} layers are more than this kernel stacks (lowerdir+ needs "
                              "Linux 6.8)",
                              overlay.lowers.size()))
          .set_hint("flatten the layers");
    fail_errno("overlay layer {}", lower);
  }
  if (!overlay.upper.empty()) {
    context.set("upperdir", overlay.upper);
    context.set("workdir", overlay.work);
    context.set_flag("volatile");
  }
  const Fd tree = context.create(MOUNT_ATTR_NODEV);
  const Fd place = open_file(target, O_PATH | O_DIRECTORY);
  attach(tree.get(), place.get());
}

Fd MountPoints::prepare(const std::string& path, bool directory, uint32_t mode, graph::Owner owner,
                        bool keep) {
  std::string wanted = clean_path("", path);
  for (int links = 0; links < links_max; ++links) {
    if (wanted.empty()) return open_in_root(root_, ".", O_PATH | O_DIRECTORY);
    Fd found = try_open_in_root(root_, wanted, O_PATH | (directory ? O_DIRECTORY : 0));
    if (found) return found;
    if (errno != ENOENT) fail_errno("mount point {}", path);
    std::string parent_path, name;
    split_last(wanted, parent_path, name);
    const Fd above = prepare(parent_path, true, 0755, owner, keep);
    // A real descriptor: mkdirat and friends do not take every O_PATH one on old kernels.
    Fd parent = open_at(above.get(), ".", O_RDONLY | O_DIRECTORY);
    const auto info = stat_at(parent.get(), name);
    if (info && S_ISLNK(info->st_mode)) {
      char text[4096];
      const ssize_t size = readlinkat(parent.get(), name.c_str(), text, sizeof text);
      if (size < 0) fail_errno("read link {}", name);
      const std::string link(text, static_cast<size_t>(size));
      wanted = clean_path(path_of(above.get()).substr(path_of(root_).size()), link);
      continue;
    }
    struct stat parent_info {};
    if (fstat(parent.get(), &parent_info) != 0) fail_errno("stat {}", path);
    if (directory) {
      if (mkdirat(parent.get(), name.c_str(), 0700) != 0) fail_errno("create mount point {}", path);
    } else {
      (void)open_at(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    }
    Fd made = open_at(parent.get(), name, O_RDONLY | O_NOFOLLOW);
    if (fchown(made.get(), owner.uid, owner.gid) != 0 || fchmod(made.get(), mode) != 0)
      fail_errno("create mount point {}", path);
    struct stat own {};
    if (fstat(made.get(), &own) != 0) fail_errno("stat {}", path);
    Fd place = open_at(parent.get(), name, O_PATH | O_NOFOLLOW);
    if (keep) return place;
    Made record{std::move(parent), name, own.st_dev, own.st_ino, directory, {}, {}};
    record.before[0] = parent_info.st_atim;
    record.before[1] = parent_info.st_mtim;
    if (fstat(record.parent.get(), &parent_info) != 0) fail_errno("stat {}", path);
    record.after = parent_info.st_mtim;
    made_.push_back(std::move(record));
    return place;
  }
  fail(ExitCode::machine, "mount point {}: too many links", path);
}

void MountPoints::clean_up() {
  for (auto made = made_.rbegin(); made != made_.rend(); ++made) {
    const auto now = stat_at(made->parent.get(), made->name);
    if (!now || now->st_dev != made->device || now->st_ino != made->inode) continue;
    if (!made->directory && now->st_size != 0) continue;
    struct stat above {};
    const bool untouched = fstat(made->parent.get(), &above) == 0 &&
                           above.st_mtim.tv_sec == made->after.tv_sec &&
                           above.st_mtim.tv_nsec == made->after.tv_nsec;
    // Not empty, or a mount in the way: then it is no longer only ours.
    const int flag = made->directory ? AT_REMOVEDIR : 0;
    if (unlinkat(made->parent.get(), made->name.c_str(), flag) == 0 && untouched)
      (void)futimens(made->parent.get(), made->before);
  }
  made_.clear();
}

std::string path_of(int fd) {
  char text[4096];
  const ssize_t size = readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), text, sizeof text);
  return size < 0 ? std::string("?") : std::string(text, static_cast<size_t>(size));
}

}  // namespace slipway::sandbox
