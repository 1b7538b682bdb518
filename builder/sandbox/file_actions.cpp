#include "sandbox/file_actions.h"

#include <fnmatch.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_stack.h"
#include "sandbox/mounts.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {
namespace {

using graph::FileAction;

/// Relative, without "." and doubled slashes; ".." stops at the root (C3).
std::string clean(const std::string& path) {
  std::vector<std::string> parts;
  for (const std::string& part : split(path, '/')) {
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  return join(parts, "/");
}

std::pair<std::string, std::string> split_last(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

bool has_wildcard(const std::string& part) { return part.find_first_of("*?[\\") != std::string::npos; }

/// Go's filepath.Match negates a class with '^', fnmatch with '!'.
std::string to_fnmatch(std::string part) {
  for (size_t i = 0; i + 1 < part.size(); ++i) {
    if (part[i] == '\\') ++i;
    else if (part[i] == '[' && part[i + 1] == '^') part[i + 1] = '!';
  }
  return part;
}

void match_rest(int dir, const std::string& base, const std::vector<std::string>& parts, size_t at,
                std::vector<std::string>& found) {
  const std::string pattern = to_fnmatch(parts[at]);
  for (const std::string& name : list_directory(dir)) {
    if (fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
    const std::string path = join_path(base, name);
    if (at + 1 == parts.size()) {
      found.push_back(path);
      continue;
    }
    const Fd inner(openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (inner) match_rest(inner.get(), path, parts, at + 1, found);
  }
}

/// Extended attributes but overlayfs's own; what the target does not take is left out (C10).
void copy_attributes(int from, int to) {
  std::string names(65536, '\0');
  const ssize_t size = flistxattr(from, names.data(), names.size());
  if (size <= 0) return;
  names.resize(static_cast<size_t>(size));
  for (const std::string& name : split(names, '\0')) {
    if (name.empty() || name.find(".overlay.") != std::string::npos) continue;
    std::string value(65536, '\0');
    const ssize_t length = fgetxattr(from, name.c_str(), value.data(), value.size());
    if (length >= 0)
      (void)fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(length), 0);
  }
}

void set_metadata(int fd, const struct stat& source, const FileAction& action, bool single_id) {
  const uint32_t uid = action.owner ? action.owner->uid : source.st_uid;
  const uint32_t gid = action.owner ? action.owner->gid : source.st_gid;
  if (!single_id && fchown(fd, uid, gid) != 0) fail_errno("chown");
  const mode_t mode = action.mode >= 0 ? static_cast<mode_t>(action.mode) : source.st_mode & 07777;
  if (fchmod(fd, mode) != 0) fail_errno("chmod");
  const timespec times[2] = {source.st_mtim, source.st_mtim};
  if (futimens(fd, times) != 0) fail_errno("set times");
}

}  // namespace

std::vector<std::string> match_pattern(int root, const std::string& pattern, bool wildcards) {
  const std::string path = clean(pattern);
  std::vector<std::string> parts = split(path, '/');
  if (path.empty()) return {""};
  const auto first = wildcards ? std::find_if(parts.begin(), parts.end(), has_wildcard) : parts.end();
  if (first == parts.end()) {
    const Fd found = try_open_in_root(root, path, O_PATH);
    return found ? std::vector<std::string>{path} : std::vector<std::string>{};
  }
  const std::string base = join({parts.begin(), first}, "/");
  const Fd dir = try_open_in_root(root, base.empty() ? "." : base, O_RDONLY | O_DIRECTORY);
  std::vector<std::string> found;
  if (dir) {
    const std::vector<std::string> rest(first, parts.end());
    match_rest(dir.get(), base, rest, 0, found);
  }
  return found;
}

struct FileApplier::CopyContext {
  const FileAction& action;
  int source;
  /// Names of one file inside a copy stay one file (C10): device and inode → path in the root.
  std::map<std::pair<uint64_t, uint64_t>, std::string> links;
};

graph::Owner FileApplier::owner_of(const FileAction& action) const {
  return single_id_ ? graph::Owner{} : action.owner.value_or(graph::Owner{});
}

void FileApplier::apply(const FileAction& action, int source) {
  switch (action.kind) {
    case FileAction::Kind::copy:
      return copy(action, source);
    case FileAction::Kind::mkdir:
      return make_directory(action);
    case FileAction::Kind::mkfile:
      return make_file(action);
    case FileAction::Kind::rm:
      return remove(action);
    case FileAction::Kind::symlink:
      return make_link(action);
  }
  throw std::logic_error("unknown file action");
}

Fd FileApplier::make_parent(const FileAction& action, const std::string& path) {
  const auto parent = split_last(path).first;
  if (!action.create_dest_path) {
    Fd found = try_open_in_root(root_, parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
    if (!found) fail(ExitCode::app_files, "{}: its folder does not exist", printable(path));
    return found;
  }
  // C11: folders made on the way are 0755 and the copy's owner's.
  MountPoints points(root_);
  const Fd found = points.prepare(parent, true, 0755, owner_of(action));
  return open_at(found.get(), ".", O_RDONLY | O_DIRECTORY);
}

void FileApplier::make_directory(const FileAction& action) {
  const mode_t mode = action.mode >= 0 ? static_cast<mode_t>(action.mode) : 0755;
  const std::string path = clean(action.dest);
  if (!action.create_dest_path) (void)make_parent(action, path);
  MountPoints points(root_);
  (void)points.prepare(path, true, mode, owner_of(action));
}

void FileApplier::make_file(const FileAction& action) {
  const std::string path = clean(action.dest);
  const Fd parent = make_parent(action, path);
  const std::string name = split_last(path).second;
  const auto info = stat_at(parent.get(), name);
  if (info && S_ISDIR(info->st_mode))
    fail(ExitCode::app_files, "{}: is a directory", printable(action.dest));
  if (info && unlinkat(parent.get(), name.c_str(), 0) != 0) fail_errno("replace {}", name);
  const Fd file = open_at(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  write_all(file.get(), action.data);
  const graph::Owner owner = owner_of(action);
  if (!single_id_ && fchown(file.get(), owner.uid, owner.gid) != 0) fail_errno("chown {}", name);
  if (fchmod(file.get(), action.mode >= 0 ? static_cast<mode_t>(action.mode) : 0644) != 0)
    fail_errno("chmod {}", name);
}

void FileApplier::make_link(const FileAction& action) {
  const std::string path = clean(action.dest);
  const Fd parent = make_parent(action, path);
  const std::string name = split_last(path).second;
  const auto info = stat_at(parent.get(), name);
  if (info && S_ISDIR(info->st_mode))
    fail(ExitCode::app_files, "{}: is a directory", printable(action.dest));
  if (info && unlinkat(parent.get(), name.c_str(), 0) != 0) fail_errno("replace {}", name);
  if (symlinkat(action.source.c_str(), parent.get(), name.c_str()) != 0)
    fail_errno("create link {}", name);
  const graph::Owner owner = owner_of(action);
  if (!single_id_ &&
      fchownat(parent.get(), name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("chown {}", name);
}

void FileApplier::remove(const FileAction& action) {
  const std::string wanted = clean(action.dest);
  const auto [parent_path, name] = split_last(wanted);
  // The last component is not followed: a link itself is removed.
  std::vector<std::string> folders =
      parent_path.empty() ? std::vector<std::string>{""}
                          : match_pattern(root_, parent_path, action.allow_wildcard);
  bool removed = false;
  for (const std::string& folder : folders) {
    const Fd parent =
        try_open_in_root(root_, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
    if (!parent) continue;
    const std::string pattern = to_fnmatch(name);
    for (const std::string& entry : list_directory(parent.get())) {
      const bool hit = action.allow_wildcard && has_wildcard(name)
                           ? fnmatch(pattern.c_str(), entry.c_str(), 0) == 0
                           : entry == name;
      if (!hit) continue;
      remove_tree_at(parent.get(), entry);
      removed = true;
    }
  }
  if (!removed && !action.allow_missing)
    fail(ExitCode::app_files, "{}: not found", printable(action.dest));
}

void FileApplier::copy(const FileAction& action, int source) {
  SLIPWAY_CHECK(source >= 0);
  CopyContext context{action, source, {}};
  const std::vector<std::string> matches =
      match_pattern(source, action.source, action.allow_wildcard);
  const bool pattern = action.allow_wildcard && has_wildcard(action.source);
  if (matches.empty() && !pattern && !action.allow_missing)
    fail(ExitCode::app_files, "{}: not found", printable(action.source));
  // C4: a trailing slash makes the destination a directory.
  const bool into = ends_with(action.dest, "/") || ends_with(action.dest, "/.") || action.dest == ".";
  for (const std::string& match : matches) copy_match(context, match, into);
}

void FileApplier::copy_match(CopyContext& context, const std::string& path, bool into_directory) {
  const FileAction& action = context.action;
  const Fd item =
      open_in_root(context.source, path.empty() ? "." : path, O_PATH);  // C8: followed
  struct stat info {};
  if (fstat(item.get(), &info) != 0) fail_errno("stat {}", path);
  std::string dest = clean(action.dest);
  MountPoints points(root_);
  if (S_ISDIR(info.st_mode) && action.contents) {
    const Fd there = try_open_in_root(root_, dest.empty() ? "." : dest, O_PATH);
    struct stat old {};
    if (there && fstat(there.get(), &old) == 0 && !S_ISDIR(old.st_mode))
      fail(ExitCode::app_files, "cannot copy the directory {} over the file {}", printable(path),
           printable(action.dest));
    (void)make_parent(action, dest);
    const mode_t mode = action.mode >= 0 ? static_cast<mode_t>(action.mode) : 0755;
    const Fd made = points.prepare(dest, true, mode, owner_of(action));
    const Fd to = open_at(made.get(), ".", O_RDONLY | O_DIRECTORY);
    const Fd from = open_at(item.get(), ".", O_RDONLY | O_DIRECTORY);
    copy_contents(context, from.get(), to.get(), dest, 0);
    const timespec times[2] = {info.st_mtim, info.st_mtim};
    if (futimens(to.get(), times) != 0) fail_errno("set times of {}", dest);
    return;
  }
  const Fd there = try_open_in_root(root_, dest.empty() ? "." : dest, O_PATH);
  struct stat old {};
  const bool is_folder = there && fstat(there.get(), &old) == 0 && S_ISDIR(old.st_mode);
  if (into_directory || is_folder) dest = join_path(dest, split_last(path).second);
  const Fd parent = make_parent(action, dest);
  // A link named as the source stands for what it points at: copy that under the link's name.
  const std::string real = path_of(item.get());
  const auto [real_parent, real_name] = split_last(real);
  const Fd from = open_file(real_parent.empty() ? "/" : real_parent, O_RDONLY | O_DIRECTORY);
  copy_entry(context, from.get(), real_name, parent.get(), split_last(dest).second, dest, 0);
}

void FileApplier::copy_contents(CopyContext& context, int from, int to, const std::string& to_path,
                                size_t depth) {
  if (depth > depth_max) fail(ExitCode::app_files, "{}: nested too deep", printable(to_path));
  for (const std::string& name : list_directory(from))
    copy_entry(context, from, name, to, name, join_path(to_path, name), depth);
}

void FileApplier::copy_entry(CopyContext& context, int from, const std::string& name, int to,
                             const std::string& to_name, const std::string& to_path, size_t depth) {
  const auto info = stat_at(from, name);
  if (!info) fail(ExitCode::machine, "{} disappeared while it was copied", printable(name));
  const auto old = stat_at(to, to_name);
  const bool folder = S_ISDIR(info->st_mode), old_folder = old && S_ISDIR(old->st_mode);
  // C12: no silent replacing across kinds.
  if (old && folder != old_folder)
    fail(ExitCode::app_files, "cannot copy {} over {}: one is a directory", printable(name),
         printable(to_path));
  if (folder) {
    if (!old && mkdirat(to, to_name.c_str(), 0700) != 0) fail_errno("create {}", to_path);
    const Fd inner_from = open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const Fd inner_to = open_at(to, to_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    copy_contents(context, inner_from.get(), inner_to.get(), to_path, depth + 1);
    copy_attributes(inner_from.get(), inner_to.get());
    set_metadata(inner_to.get(), *info, context.action, single_id_);
    return;
  }
  if (old && unlinkat(to, to_name.c_str(), 0) != 0) fail_errno("replace {}", to_path);
  if (info->st_nlink > 1) {
    const auto [known, fresh] = context.links.try_emplace({info->st_dev, info->st_ino}, to_path);
    if (!fresh) {
      const auto [first_parent, first_name] = split_last(known->second);
      const Fd first = open_in_root(root_, first_parent.empty() ? "." : first_parent,
                                    O_RDONLY | O_DIRECTORY);
      if (linkat(first.get(), first_name.c_str(), to, to_name.c_str(), 0) != 0)
        fail_errno("link {}", to_path);
      return;
    }
  }
  if (S_ISREG(info->st_mode)) {
    const Fd source = open_at(from, name, O_RDONLY | O_NOFOLLOW);
    const Fd target = open_at(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (copy_bytes(source.get(), target.get(), static_cast<uint64_t>(info->st_size)) !=
        static_cast<uint64_t>(info->st_size))
      fail(ExitCode::machine, "{} became shorter while it was copied", printable(name));
    copy_attributes(source.get(), target.get());
    set_metadata(target.get(), *info, context.action, single_id_);
    return;
  }
  if (S_ISLNK(info->st_mode)) {
    std::string text(static_cast<size_t>(std::max<off_t>(info->st_size, 4096)) + 1, '\0');
    const ssize_t size = readlinkat(from, name.c_str(), text.data(), text.size());
    if (size < 0) fail_errno("read link {}", name);
    text.resize(static_cast<size_t>(size));
    if (symlinkat(text.c_str(), to, to_name.c_str()) != 0) fail_errno("create link {}", to_path);
  } else if (S_ISFIFO(info->st_mode)) {
    if (mknodat(to, to_name.c_str(), S_IFIFO | 0600, 0) != 0) fail_errno("create {}", to_path);
  } else {
    // C10: a socket becomes an empty file; devices cannot be made in a user namespace.
    (void)open_at(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, info->st_mode & 0777);
  }
  const uint32_t uid = context.action.owner ? context.action.owner->uid : info->st_uid;
  const uint32_t gid = context.action.owner ? context.action.owner->gid : info->st_gid;
  if (!single_id_ && fchownat(to, to_name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("chown {}", to_path);
  const timespec times[2] = {info->st_mtim, info->st_mtim};
  if (utimensat(to, to_name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("set times of {}", to_path);
}

void apply_files_on_overlay(SnapshotId target, const FileRequest& request, bool single_id) {
  if (unshare(CLONE_NEWNS) != 0) fail_errno("unshare the mount namespace");
  if (mount("slipway", place::step, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755") != 0)
    fail_errno("mount a tmpfs");
  int number = 0;
  const auto mount_stack = [&](Overlay overlay) {
    const std::string path = fmt::format("{}/tree{}", place::step, ++number);
    if (mkdir(path.c_str(), 0755) != 0) fail_errno("create {}", path);
    mount_overlay(overlay, path);
    return open_file(path, O_RDONLY | O_DIRECTORY);
  };
  Fd root;
  if (request.base.empty()) {
    root = open_file(layer_name(target), O_RDONLY | O_DIRECTORY);
  } else {
    Overlay overlay;
    for (const SnapshotId id : request.base) overlay.lowers.push_back(layer_name(id));
    overlay.upper = layer_name(target);
    overlay.work = fmt::format("{}/work", target);
    remove_tree(overlay.work);
    if (mkdir(overlay.work.c_str(), 0700) != 0) fail_errno("create {}", overlay.work);
    root = mount_stack(overlay);
  }
  FileApplier applier(root.get(), single_id);
  for (const FileRequest::Action& action : request.actions) {
    if (action.source_layers.empty()) {
      applier.apply(action.action, -1);
      continue;
    }
    Overlay overlay;
    for (const SnapshotId id : action.source_layers) overlay.lowers.push_back(layer_name(id));
    const Fd source = overlay.lowers.size() == 1
                          ? open_file(overlay.lowers[0], O_RDONLY | O_DIRECTORY)
                          : mount_stack(overlay);
    const Fd folder = open_in_root(
        source.get(), action.source_path.empty() ? "." : action.source_path, O_RDONLY | O_DIRECTORY);
    applier.apply(action.action, folder.get());
  }
}

}  // namespace slipway::sandbox
