// Making layers: folders, files from descriptors, and moving a subtree between layers.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_stack.h"
#include "sandbox/layers.h"

namespace slipway::sandbox {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

/// What a folder gets once nothing more is written into it.
struct FolderAttributes {
  uint32_t mode = 0755;
  graph::Owner owner;
  std::optional<int64_t> mtime_ns;
};

// Owner before mode: changing the owner clears setuid bits.
void apply(int fd, const FolderAttributes& attributes, bool single_id, const std::string& path) {
  if (!single_id && fchown(fd, attributes.owner.uid, attributes.owner.gid) != 0)
    fail_errno("give {} to {}:{}", printable(path), attributes.owner.uid, attributes.owner.gid);
  if (fchmod(fd, attributes.mode & 07777) != 0) fail_errno("set the mode of {}", printable(path));
  if (attributes.mtime_ns) {
    const struct timespec times[2] = {to_timespec(*attributes.mtime_ns),
                                      to_timespec(*attributes.mtime_ns)};
    if (futimens(fd, times) != 0) fail_errno("set the time of {}", printable(path));
  }
}

// Deepest first: a folder that its owner may not write or enter is closed after what it holds.
void apply_all(int layer, const std::map<std::string, FolderAttributes>& folders, bool single_id) {
  FolderCache cache(layer);
  for (auto at = folders.rbegin(); at != folders.rend(); ++at)
    apply(cache.open(at->first), at->second, single_id, at->first);
}

// Makes the folder (0700 for now) or accepts the one that is there.
void ensure_folder(int parent, const std::string& name, const std::string& path) {
  if (mkdirat(parent, name.c_str(), 0700) == 0) return;
  if (errno != EEXIST) fail_errno("create folder {}", printable(path));
  const auto info = stat_at(parent, name);
  if (!info || !S_ISDIR(info->st_mode))
    fail(ExitCode::machine, "create folder {}: something else has that name", printable(path));
}

class LayerWriter : public CopyIn {
 public:
  LayerWriter(int layer, bool single_id)
      : layer_(open_at(layer, ".", folder_flags)), folders_(layer_.get()), single_id_(single_id) {}

  void directory(const std::string& path, uint32_t mode, graph::Owner owner,
                 int64_t mtime_ns) override {
    const auto [parent, name] = folders_.open_parent(path);
    ensure_folder(parent, name, path);
    attributes_[path] = {mode, owner, mtime_ns};
  }

  void file(const std::string& path, uint32_t mode, graph::Owner owner, int64_t mtime_ns,
            uint64_t size, Fd content) override {
    const auto [parent, name] = folders_.open_parent(path);
    Fd file = create(parent, name, path);
    if (lseek(content.get(), 0, SEEK_SET) < 0) fail_errno("read {}", printable(path));
    try {
      const uint64_t copied = copy_bytes(content.get(), file.get(), size);
      if (copied != size)
        fail(ExitCode::app_files, "{} changed while it was copied ({} bytes instead of {})",
             printable(path), copied, size);
    } catch (Error& error) {
      throw error.add_context("copy " + printable(path));
    }
    apply(file.get(), {mode, owner, mtime_ns}, single_id_, path);
  }

  void symlink(const std::string& path, const std::string& target, graph::Owner owner,
               int64_t mtime_ns) override {
    const auto [parent, name] = folders_.open_parent(path);
    if (symlinkat(target.c_str(), parent, name.c_str()) != 0)
      fail_errno("create link {}", printable(path));
    if (!single_id_ && fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW))
      fail_errno("give {} to {}:{}", printable(path), owner.uid, owner.gid);
    const struct timespec times[2] = {to_timespec(mtime_ns), to_timespec(mtime_ns)};
    if (utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("set the time of {}", printable(path));
  }

  void whiteout(const std::string& path) override {
    const auto [parent, name] = folders_.open_parent(path);
    make_whiteout(parent, name, path);
  }

  void finish() override {
    apply_all(layer_.get(), attributes_, single_id_);
    attributes_.clear();
  }

 private:
  static Fd create(int parent, const std::string& name, const std::string& path) {
    try {
      return open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    } catch (Error& error) {
      throw error.add_context("create " + printable(path));
    }
  }

  Fd layer_;
  FolderCache folders_;
  bool single_id_;
  std::map<std::string, FolderAttributes> attributes_;
};

FolderAttributes attributes_of(const struct stat& info) {
  return {info.st_mode & 07777, {info.st_uid, info.st_gid}, nanoseconds(info.st_mtim)};
}

// Owners are kept where they can differ from the caller's at all.
void copy_attributes(int from, int to, const std::string& path) {
  struct stat source {
  }, target{};
  if (fstat(from, &source) != 0 || fstat(to, &target) != 0) fail_errno("stat {}", printable(path));
  const bool same_owner = source.st_uid == target.st_uid && source.st_gid == target.st_gid;
  apply(to, attributes_of(source), same_owner, path);
}

void rename_entry(int from, const std::string& from_name, int to, const std::string& to_name,
                  const std::string& path) {
  const auto rename_it = [&] {
    return renameat(from, from_name.c_str(), to, to_name.c_str()) == 0;
  };
  const auto existing = stat_at(to, to_name);
  if (existing && !S_ISDIR(existing->st_mode)) {
    errno = EEXIST;
    fail_errno("move {}", printable(path));
  }
  if (rename_it()) return;
  const int problem = errno;
  const auto info = stat_at(from, from_name);
  if (problem == EACCES && info && S_ISDIR(info->st_mode)) {
    // A folder's ".." changes with its parent: its owner needs to write it for that.
    const Fd folder = open_at(from, from_name, folder_flags);
    if (fchmod(folder.get(), (info->st_mode & 07777) | 0700) == 0 && rename_it()) {
      if (fchmod(folder.get(), info->st_mode & 07777) != 0)
        fail_errno("set the mode of {}", printable(path));
      return;
    }
  }
  fail_errno_text(problem, "move " + printable(path));
}

// The snapshot itself has no name to rename: its entries are moved one by one.
void move_contents(int from, int to, const std::string& path) {
  for (const std::string& name : list_directory(from))
    rename_entry(from, name, to, name, join_path(path, name));
  if (is_opaque(from)) make_opaque(to, path);
  copy_attributes(from, to, path);
}

// Opens to's folder `parts`, making what is missing like from's folders; both are compared from
// their ends, since that is where they correspond.
Fd open_or_copy_parents(int from, const std::vector<std::string>& from_parts, int to,
                        const std::vector<std::string>& parts) {
  Fd dir = open_at(to, ".", folder_flags);
  std::string path;
  for (size_t i = 0; i < parts.size(); ++i) {
    path = join_path(path, parts[i]);
    const bool there = stat_at(dir.get(), parts[i]).has_value();
    ensure_folder(dir.get(), parts[i], path);
    Fd child = open_at(dir.get(), parts[i], folder_flags);
    if (!there) {
      const size_t from_end = parts.size() - i;  // 1 = the last parent
      Fd model;
      if (from_end <= from_parts.size()) {
        model = open_at(from, ".", folder_flags);
        for (size_t j = 0; j + from_end <= from_parts.size() && model; ++j)
          model = open_at_if_exists(model.get(), from_parts[j], folder_flags);
      }
      if (model)
        copy_attributes(model.get(), child.get(), path);
      else if (fchmod(child.get(), 0755) != 0)
        fail_errno("set the mode of {}", printable(path));
    }
    dir = std::move(child);
  }
  return dir;
}

}  // namespace

void create_dirs(int layer, const std::vector<graph::WorkspaceOp::Dir>& dirs, bool single_id) {
  std::map<std::string, FolderAttributes> wanted;
  for (const graph::WorkspaceOp::Dir& dir : dirs) wanted[dir.path] = {dir.mode, dir.owner, {}};
  // Parents nobody names get the default; the map's order makes them first.
  for (const graph::WorkspaceOp::Dir& dir : dirs) {
    std::vector<std::string> parts = layer_components(dir.path);
    std::string parent;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      parent = join_path(parent, parts[i]);
      const bool exists = static_cast<bool>(try_open_beneath(layer, parent, O_PATH | O_NOFOLLOW));
      if (!exists) wanted.try_emplace(parent);
    }
  }
  FolderCache cache(layer);
  for (const auto& [path, attributes] : wanted) {
    if (path.empty()) continue;
    const auto [parent, name] = cache.open_parent(path);
    ensure_folder(parent, name, path);
  }
  apply_all(layer, wanted, single_id);
}

std::unique_ptr<CopyIn> make_layer_writer(int layer, bool single_id) {
  return std::make_unique<LayerWriter>(layer, single_id);
}

void move_subtree(int from, const std::string& from_path, int to, const std::string& to_path) {
  std::vector<std::string> from_parts = layer_components(from_path);
  std::vector<std::string> to_parts = layer_components(to_path);
  const std::string from_name = from_parts.empty() ? "" : from_parts.back();
  const std::string to_name = to_parts.empty() ? "" : to_parts.back();
  if (!from_parts.empty()) from_parts.pop_back();
  if (!to_parts.empty()) to_parts.pop_back();

  Fd source_parent = open_at(from, ".", folder_flags);
  for (const std::string& part : from_parts) {
    if (!source_parent) break;
    const auto info = stat_at(source_parent.get(), part);
    source_parent =
        info && S_ISDIR(info->st_mode) ? open_at(source_parent.get(), part, folder_flags) : Fd();
  }
  const Fd target_parent = open_or_copy_parents(from, from_parts, to, to_parts);
  std::optional<struct stat> info;
  if (source_parent && !from_name.empty()) info = stat_at(source_parent.get(), from_name);
  const bool hidden = info && is_whiteout(source_parent.get(), from_name, *info);
  const bool missing = !from_name.empty() && (!info || hidden);

  if (missing) {
    Fd folder;
    if (to_name.empty()) {
      folder = open_at(target_parent.get(), ".", folder_flags);
    } else {
      ensure_folder(target_parent.get(), to_name, to_path);
      folder = open_at(target_parent.get(), to_name, folder_flags);
      if (fchmod(folder.get(), 0755) != 0) fail_errno("set the mode of {}", printable(to_path));
    }
    // Removed by a step: what lies below must not shine through the new folder either.
    if (hidden) make_opaque(folder.get(), to_path);
    return;
  }
  if (!from_name.empty() && !to_name.empty()) {
    rename_entry(source_parent.get(), from_name, target_parent.get(), to_name, from_path);
    return;
  }
  if (info && !S_ISDIR(info->st_mode))
    fail(ExitCode::machine, "move {}: only a folder can become a snapshot", printable(from_path));
  const Fd source = open_at(source_parent.get(), from_name.empty() ? "." : from_name, folder_flags);
  if (!to_name.empty()) ensure_folder(target_parent.get(), to_name, to_path);
  const Fd target = open_at(target_parent.get(), to_name.empty() ? "." : to_name, folder_flags);
  move_contents(source.get(), target.get(), from_path);
  if (!from_name.empty() && unlinkat(source_parent.get(), from_name.c_str(), AT_REMOVEDIR) != 0)
    fail_errno("remove {}", printable(from_path));
}

}  // namespace slipway::sandbox
