#include "sandbox/layer_target.h"

#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_attributes.h"

namespace slipway::sandbox {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
constexpr size_t upper_layer = 0;

}  // namespace

struct LayerTarget::Folder {
  FolderRef parent;
  std::string name, path;
  StackDir dir;
  std::map<std::string, std::weak_ptr<Folder>> children;
  bool in_layer() const { return !dir.levels.empty() && dir.levels[0].layer == upper_layer; }
  /// Whether layers below the one written to may hold something of this folder.
  bool has_below() const { return dir.levels.size() > (in_layer() ? 1U : 0U); }
};

LayerTarget::LayerTarget(int upper, const std::vector<int>& base, bool single_id)
    : upper_(upper), base_(base), single_id_(single_id) {
  forget();
}
LayerTarget::~LayerTarget() = default;

void LayerTarget::forget() {
  std::vector<int> layers{upper_};
  layers.insert(layers.end(), base_.begin(), base_.end());
  chain_.clear();
  chain_.emplace_back("", std::make_shared<Folder>());
  chain_[0].second->dir = open_stack(layers);
}

LayerTarget::FolderRef LayerTarget::try_folder(const std::string& path) {
  const std::vector<std::string> parts = layer_components(path);
  size_t shared = 0;
  while (shared < parts.size() && shared + 1 < chain_.size() &&
         chain_[shared + 1].first == parts[shared])
    ++shared;
  chain_.resize(shared + 1);
  for (size_t i = shared; i < parts.size(); ++i) {
    FolderRef next = try_child(chain_.back().second, parts[i]);
    if (!next) return nullptr;
    chain_.emplace_back(parts[i], std::move(next));
  }
  return chain_.back().second;
}

LayerTarget::FolderRef LayerTarget::try_child(const FolderRef& parent, const std::string& name) {
  std::weak_ptr<Folder>& known = parent->children[name];
  if (FolderRef alive = known.lock()) return alive;
  StackName found = sandbox::look_up(parent->dir, name);
  if (found.kind != StackName::Kind::folder) return nullptr;
  auto folder = std::make_shared<Folder>();
  folder->parent = parent;
  folder->name = name;
  folder->path = join_path(parent->path, name);
  folder->dir = std::move(found.dir);
  known = folder;
  return folder;
}

LayerTarget::FolderRef LayerTarget::folder(const std::string& path) {
  FolderRef found = try_folder(path);
  if (!found) fail(ExitCode::app_files, "'/{}' is no folder", printable(path));
  return found;
}

LayerTarget::FolderRef LayerTarget::child(const FolderRef& parent, const std::string& name) {
  FolderRef found = try_child(parent, name);
  if (!found)
    fail(ExitCode::app_files, "'/{}' is no folder", printable(join_path(parent->path, name)));
  return found;
}

std::optional<ViewEntry> LayerTarget::look_up(const std::string& path) {
  struct stat info {};
  if (path.empty()) {
    if (fstat(upper_, &info) != 0) fail_errno("stat the layer");
    return view_entry(info);
  }
  const auto [parent, name] = split_path(path);
  const FolderRef dir = try_folder(parent);
  if (!dir) return std::nullopt;
  const auto found = look_up_in(*dir, name);
  return found ? std::optional(view_entry(*found)) : std::nullopt;
}

std::vector<std::string> LayerTarget::names(const std::string& folder) {
  const FolderRef dir = try_folder(folder);
  return dir ? shown_names(dir->dir) : std::vector<std::string>();
}

std::string LayerTarget::read_link(const std::string& path) {
  const auto [parent, name] = split_path(path);
  const FolderRef dir = folder(parent);
  const StackName found = sandbox::look_up(dir->dir, name);
  return read_link_at(dir->dir.levels.at(found.level).dir.get(), name, path);
}

void LayerTarget::read_digest(const std::string&, const ViewEntry&, Digest*) {
  throw std::logic_error("a target has no digests");
}
std::string LayerTarget::attributes(const std::string&, const ViewEntry&) {
  throw std::logic_error("a target has no digests");
}

Fd LayerTarget::open_file_at(const std::string& path) {
  const auto [parent, name] = split_path(path);
  const FolderRef dir = try_folder(parent);
  return dir ? open_regular(dir->dir, name) : Fd();
}

const std::string& LayerTarget::path(const Folder& folder) const {
  return folder.path;
}
bool LayerTarget::in_layer(const Folder& folder) const {
  return folder.in_layer();
}

std::optional<struct stat> LayerTarget::look_up_in(const Folder& folder, const std::string& name) {
  if (!folder.has_below()) {
    if (!folder.in_layer()) return std::nullopt;
    const int dir = folder.dir.levels[0].dir.get();
    const auto info = stat_at(dir, name);
    return info && !is_whiteout(dir, name, *info) ? info : std::nullopt;
  }
  const StackName found = sandbox::look_up(folder.dir, name);
  if (found.kind == StackName::Kind::folder || found.kind == StackName::Kind::other)
    return found.info;
  return std::nullopt;
}

int LayerTarget::writable(Folder& folder) {
  if (folder.in_layer()) return folder.dir.levels[0].dir.get();
  SLIPWAY_CHECK(folder.parent != nullptr && !folder.dir.levels.empty());
  const int parent = writable(*folder.parent);
  struct stat above {};
  if (fstat(parent, &above) != 0) fail_errno("stat {}", printable(folder.path));
  if (mkdirat(parent, folder.name.c_str(), 0700) != 0)
    fail_errno("create folder {}", printable(folder.path));
  Fd own = open_at(parent, folder.name, folder_flags);
  const int below = folder.dir.levels[0].dir.get();
  struct stat info {};
  if (fstat(below, &info) != 0) fail_errno("stat {}", printable(folder.path));
  if (!single_id_ && fchown(own.get(), info.st_uid, info.st_gid) != 0)
    fail_errno("give {} to {}:{}", printable(folder.path), info.st_uid, info.st_gid);
  copy_attributes_of(below, own.get(), folder.path);
  set_attributes(own.get(),
                 {info.st_uid, info.st_gid, info.st_mode & 07777, nanoseconds(info.st_mtim)}, true,
                 folder.path);
  // To who looks at the merged tree nothing happened in the parent.
  const struct timespec times[2] = {above.st_atim, above.st_mtim};
  if (futimens(parent, times) != 0) fail_errno("set the time of {}", printable(folder.path));
  folder.dir.levels.insert(folder.dir.levels.begin(), {upper_layer, std::move(own)});
  return folder.dir.levels[0].dir.get();
}

LayerTarget::FolderRef LayerTarget::make_folder(const FolderRef& parent, const std::string& name) {
  const int dir = writable(*parent);
  auto made = std::make_shared<Folder>();
  made->parent = parent;
  made->name = name;
  made->path = join_path(parent->path, name);
  // A whiteout hides a folder below: so must the new one.
  bool hides = false;
  if (mkdirat(dir, name.c_str(), 0700) != 0) {
    const int problem = errno;
    const auto info = stat_at(dir, name);
    hides = problem == EEXIST && info && is_whiteout(dir, name, *info);
    if (!hides) fail_errno_text(problem, "create folder " + printable(made->path));
    if (unlinkat(dir, name.c_str(), 0) != 0 || mkdirat(dir, name.c_str(), 0700) != 0)
      fail_errno("create folder {}", printable(made->path));
  }
  made->dir.levels.push_back({upper_layer, open_at(dir, name, folder_flags)});
  made->dir.reaches_below = false;
  if (hides) make_opaque(made->dir.levels[0].dir.get(), made->path);
  parent->children[name] = made;
  return made;
}

void LayerTarget::make_room(const FolderRef& parent, const std::string& name) {
  const int dir = writable(*parent);
  if (unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM)
    fail_errno("remove {}", printable(join_path(parent->path, name)));
  remove_tree_at(dir, name);
  // Folders that were opened in it are gone.
  parent->children.erase(name);
  chain_.resize(1);
}

void LayerTarget::remove(const FolderRef& parent, const std::string& name) {
  make_room(parent, name);
  parent->children.erase(name);
  chain_.resize(1);
  const StackName below = sandbox::look_up(parent->dir, name);
  if (below.kind != StackName::Kind::folder && below.kind != StackName::Kind::other) return;
  make_whiteout(writable(*parent), name, join_path(parent->path, name));
}

void set_attributes(int file, const FileAttributes& attributes, bool single_id,
                    const std::string& path) {
  if (!single_id && fchown(file, attributes.uid, attributes.gid) != 0)
    fail_errno("give {} to {}:{}", printable(path), attributes.uid, attributes.gid);
  if (fchmod(file, attributes.mode & 07777) != 0) fail_errno("set the mode of {}", printable(path));
  if (!attributes.mtime_ns) return;
  const struct timespec times[2] = {to_timespec(*attributes.mtime_ns),
                                    to_timespec(*attributes.mtime_ns)};
  if (futimens(file, times) != 0) fail_errno("set the time of {}", printable(path));
}

void set_attributes_at(int dir, const std::string& name, const FileAttributes& attributes,
                       bool link, bool single_id, const std::string& path) {
  if (!single_id &&
      fchownat(dir, name.c_str(), attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("give {} to {}:{}", printable(path), attributes.uid, attributes.gid);
  if (!link && fchmodat(dir, name.c_str(), attributes.mode & 07777, 0) != 0)
    fail_errno("set the mode of {}", printable(path));
  if (!attributes.mtime_ns) return;
  const struct timespec times[2] = {to_timespec(*attributes.mtime_ns),
                                    to_timespec(*attributes.mtime_ns)};
  if (utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("set the time of {}", printable(path));
}

}  // namespace slipway::sandbox
