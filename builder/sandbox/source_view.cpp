#include "sandbox/source_view.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_attributes.h"
#include "sandbox/path_match.h"

namespace slipway::sandbox {
namespace {

constexpr int links_max = 255;

}  // namespace

std::pair<std::string, std::string> split_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

ViewEntry view_entry(const struct stat& info) {
  return {info.st_mode, info.st_uid, info.st_gid, static_cast<uint64_t>(info.st_size),
          nanoseconds(info.st_mtim)};
}

Fd open_regular(const StackDir& dir, const std::string& name) {
  const StackName found = look_up(dir, name);
  if (found.kind != StackName::Kind::other || !S_ISREG(found.info.st_mode)) return {};
  return open_at(dir.levels[found.level].dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

std::vector<std::string> shown_names(const StackDir& dir) {
  std::vector<std::string> shown;
  for (auto& [name, level] : list_names(dir)) {
    // The first level that has the name decides.
    const int own = dir.levels[level].dir.get();
    const auto info = stat_at(own, name);
    if (info && !is_whiteout(own, name, *info)) shown.push_back(std::move(name));
  }
  return shown;
}

// --- a stack of layers ---

StackView::StackView(const std::vector<int>& layers, const std::string& path)
    : root_(open_stack(layers)) {
  for (const std::string& part : layer_components(path)) {
    StackName found = sandbox::look_up(root_, part);
    // A prefix that holds nothing is an empty tree.
    root_ = found.kind == StackName::Kind::folder ? std::move(found.dir) : StackDir();
  }
}

const StackDir* StackView::open(const std::string& folder) {
  const std::vector<std::string> parts = layer_components(folder);
  size_t shared = 0;
  while (shared < parts.size() && shared < chain_.size() && chain_[shared].first == parts[shared])
    ++shared;
  chain_.resize(shared);
  for (size_t i = shared; i < parts.size(); ++i) {
    StackName found = sandbox::look_up(chain_.empty() ? root_ : chain_.back().second, parts[i]);
    if (found.kind != StackName::Kind::folder) return nullptr;
    chain_.emplace_back(parts[i], std::move(found.dir));
  }
  return chain_.empty() ? &root_ : &chain_.back().second;
}

Fd StackView::open_file_at(const std::string& path) {
  const auto [parent, name] = split_path(path);
  const StackDir* dir = open(parent);
  return dir == nullptr ? Fd() : open_regular(*dir, name);
}

StackName StackView::find(const std::string& path) {
  const auto [parent, name] = split_path(path);
  const StackDir* dir = open(parent);
  return dir == nullptr ? StackName() : sandbox::look_up(*dir, name);
}

std::optional<ViewEntry> StackView::look_up(const std::string& path) {
  if (path.empty()) {
    ViewEntry entry;
    entry.mode = S_IFDIR | 0755;
    struct stat info {};
    if (!root_.levels.empty() && fstat(root_.levels[0].dir.get(), &info) == 0)
      entry = view_entry(info);
    return entry;
  }
  const StackName found = find(path);
  if (found.kind != StackName::Kind::folder && found.kind != StackName::Kind::other)
    return std::nullopt;
  return view_entry(found.info);
}

std::vector<std::string> StackView::names(const std::string& folder) {
  const StackDir* dir = open(folder);
  return dir == nullptr ? std::vector<std::string>() : shown_names(*dir);
}

std::string StackView::read_link(const std::string& path) {
  const auto [parent, name] = split_path(path);
  const StackDir* dir = open(parent);
  SLIPWAY_CHECK(dir != nullptr);
  const StackName found = sandbox::look_up(*dir, name);
  return read_link_at(dir->levels.at(found.level).dir.get(), name, path);
}

void StackView::read_digest(const std::string& path, const ViewEntry& entry, Digest* digest) {
  Fd file = open_file_at(path);
  SLIPWAY_CHECK(static_cast<bool>(file));
  if (!pool_) pool_ = std::make_unique<HashPool>();
  pool_->add(std::move(file), entry.size, path, digest);
}

std::string StackView::attributes(const std::string& path, const ViewEntry& entry) {
  if (!S_ISREG(entry.mode) && !entry.folder()) return {};
  if (entry.folder()) {
    const StackDir* dir = open(path);
    if (dir == nullptr || dir->levels.empty()) return {};
    return attributes_text(dir->levels[0].dir.get(), path);
  }
  const Fd file = open_file_at(path);
  SLIPWAY_CHECK(static_cast<bool>(file));
  return attributes_text(file.get(), path);
}

void StackView::finish() {
  if (pool_) pool_->finish();
  pool_.reset();
}

// --- a listing ---

const archive::TreeEntry* ListView::find(const std::string& path) {
  for (size_t i = next_ == 0 ? 0 : next_ - 1; i < std::min(next_ + 1, tree_.entries.size()); ++i) {
    if (tree_.entries[i].path != path) continue;
    next_ = i + 1;
    return &tree_.entries[i];
  }
  const archive::TreeEntry* entry = tree_.find(path);
  if (entry != nullptr) next_ = static_cast<size_t>(entry - tree_.entries.data()) + 1;
  return entry;
}

std::optional<ViewEntry> ListView::look_up(const std::string& path) {
  ViewEntry found;
  found.mode = S_IFDIR | 0755;
  if (path.empty()) return found;
  const archive::TreeEntry* entry = find(path);
  if (entry == nullptr) return std::nullopt;
  constexpr mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK};
  found.mode = types[static_cast<int>(entry->type)] | entry->mode;
  found.uid = entry->uid;
  found.gid = entry->gid;
  found.size = entry->size;
  found.mtime_ns = entry->mtime_ns;
  return found;
}

std::vector<std::string> ListView::names(const std::string& folder) {
  const std::string prefix = folder.empty() ? "" : folder + "/";
  const auto& entries = tree_.entries;
  const auto position = [&](const std::string& path) {
    return std::lower_bound(
        entries.begin(), entries.end(), path,
        [](const archive::TreeEntry& entry, const std::string& p) { return entry.path < p; });
  };
  std::vector<std::string> names;
  for (auto at = position(prefix); at != entries.end() && starts_with(at->path, prefix);) {
    const std::string_view rest = std::string_view(at->path).substr(prefix.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) {
      names.emplace_back(rest);
      ++at;
    } else {
      // Below a child that was listed before: past all of that.
      at = position(prefix + std::string(rest.substr(0, slash)) + "0");
    }
  }
  return names;
}

std::string ListView::read_link(const std::string& path) {
  const archive::TreeEntry* entry = find(path);
  SLIPWAY_CHECK(entry != nullptr);
  return entry->link;
}

void ListView::read_digest(const std::string& path, const ViewEntry&, Digest* digest) {
  const archive::TreeEntry* entry = find(path);
  SLIPWAY_CHECK(entry != nullptr);
  *digest = entry->digest;
}

// --- links ---

Resolved resolve_in_root(SourceView& view, const std::string& path, bool follow_last) {
  std::deque<std::string> rest;
  for (std::string& part : split(path, '/')) rest.push_back(std::move(part));
  std::vector<std::string> done;
  std::optional<ViewEntry> entry = view.look_up("");
  for (int links = 0; !rest.empty();) {
    const std::string part = std::move(rest.front());
    rest.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      entry = view.look_up(join(done, "/"));
      continue;
    }
    done.push_back(part);
    const std::string here = join(done, "/");
    entry = view.look_up(here);
    const bool last = std::all_of(rest.begin(), rest.end(), [](const std::string& left) {
      return left.empty() || left == ".";
    });
    if (!entry || !entry->link() || (last && !follow_last)) continue;
    if (++links > links_max)
      fail(ExitCode::app_files, "'/{}': too many levels of symbolic links", printable(path));
    const std::string target = view.read_link(here);
    done.pop_back();
    if (starts_with(target, "/")) done.clear();
    std::vector<std::string> parts = split(target, '/');
    rest.insert(rest.begin(), parts.begin(), parts.end());
    entry = view.look_up(join(done, "/"));
  }
  return {join(done, "/"), entry};
}

}  // namespace slipway::sandbox
