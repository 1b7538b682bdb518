#include "sandbox/layer_stack.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr char opaque_name[] = "user.overlay.opaque";
constexpr char whiteout_name[] = "user.overlay.whiteout";
constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

}  // namespace

std::vector<std::string> layer_components(std::string_view path) {
  if (path.empty()) return {};
  std::vector<std::string> parts = split(path, '/');
  const bool good = std::none_of(parts.begin(), parts.end(), [](const std::string& part) {
    return part.empty() || part == "." || part == ".." || part.find('\0') != std::string::npos;
  });
  if (!good) fail(ExitCode::machine, "'{}' is not a plain path inside a snapshot", printable(path));
  if (parts.size() > depth_max)
    fail(ExitCode::machine, "{}…: more than {} nested folders", printable(path.substr(0, 80)),
         depth_max);
  return parts;
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path;
  path.reserve(folder.size() + name.size() + 1);
  path = folder;
  if (!path.empty() && !name.empty()) path += '/';
  path += name;
  return path;
}

bool is_whiteout(int dir, const std::string& name, const struct stat& info) {
  if (S_ISCHR(info.st_mode)) return info.st_rdev == makedev(0, 0);
  if (!S_ISREG(info.st_mode) || info.st_size != 0) return false;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", dir, name);
  return lgetxattr(path.c_str(), whiteout_name, nullptr, 0) >= 0;
}

void make_whiteout(int dir, const std::string& name, const std::string& path) {
  if (mknodat(dir, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) return;
  if (errno != EPERM) fail_errno("hide {}", printable(path));
  const Fd file = open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (fsetxattr(file.get(), whiteout_name, "y", 1, 0) != 0) fail_errno("hide {}", printable(path));
}

bool is_opaque(int dir) {
  char value[2];
  const ssize_t size = fgetxattr(dir, opaque_name, value, sizeof value);
  if (size < 0 && errno != ENODATA && errno != ENOTSUP && errno != ERANGE)
    fail_errno("read the overlay mark of a folder");
  return size == 1 && value[0] == 'y';
}

void make_opaque(int dir, const std::string& path) {
  if (fsetxattr(dir, opaque_name, "y", 1, 0) != 0) fail_errno("mark {} opaque", printable(path));
}

int64_t nanoseconds(const struct timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct timespec to_timespec(int64_t nanoseconds) {
  int64_t seconds = nanoseconds / 1'000'000'000;
  int64_t rest = nanoseconds % 1'000'000'000;
  // Before 1970 the nanoseconds still count upwards.
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  struct timespec time {};
  time.tv_sec = seconds;
  time.tv_nsec = rest;
  return time;
}

StackDir open_stack(const std::vector<int>& layers) {
  StackDir dir;
  for (size_t i = 0; i < layers.size(); ++i) {
    dir.levels.push_back({i, open_at(layers[i], ".", folder_flags)});
    if (is_opaque(dir.levels.back().dir.get())) {
      dir.reaches_below = false;
      break;
    }
  }
  return dir;
}

StackName look_up(const StackDir& parent, const std::string& name, size_t first_level) {
  StackName found;
  found.dir.reaches_below = parent.reaches_below;
  const auto stop = [&] { found.dir.reaches_below = false; };
  for (size_t i = first_level; i < parent.levels.size(); ++i) {
    const StackDir::Level& level = parent.levels[i];
    const auto info = stat_at(level.dir.get(), name);
    if (!info) continue;
    const bool first = found.kind == StackName::Kind::absent;
    if (first) {
      found.info = *info;
      found.level = i;
    }
    if (!S_ISDIR(info->st_mode)) {
      if (first)
        found.kind = is_whiteout(level.dir.get(), name, *info) ? StackName::Kind::hidden
                                                               : StackName::Kind::other;
      stop();
      break;
    }
    found.kind = StackName::Kind::folder;
    found.dir.levels.push_back({level.layer, open_at(level.dir.get(), name, folder_flags)});
    if (is_opaque(found.dir.levels.back().dir.get())) {
      stop();
      break;
    }
  }
  return found;
}

std::vector<std::pair<std::string, size_t>> list_names(const StackDir& dir) {
  std::vector<std::pair<std::string, size_t>> names;
  for (size_t i = 0; i < dir.levels.size(); ++i)
    for (std::string& name : list_directory(dir.levels[i].dir.get()))
      names.emplace_back(std::move(name), i);
  if (dir.levels.size() < 2) return names;
  std::sort(names.begin(), names.end());
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  names.erase(std::unique(names.begin(), names.end(), same), names.end());
  return names;
}

int FolderCache::open(std::string_view folder) {
  const std::vector<std::string> parts = layer_components(folder);
  size_t shared = 0;
  while (shared < parts.size() && shared < chain_.size() && chain_[shared].first == parts[shared])
    ++shared;
  chain_.resize(shared);
  for (size_t i = shared; i < parts.size(); ++i) {
    const int above = chain_.empty() ? root_ : chain_.back().second.get();
    try {
      chain_.emplace_back(parts[i], open_at(above, parts[i], folder_flags));
    } catch (Error& error) {
      throw error.add_context(printable(folder));
    }
  }
  return chain_.empty() ? root_ : chain_.back().second.get();
}

std::pair<int, std::string> FolderCache::open_parent(std::string_view path) {
  const std::vector<std::string> parts = layer_components(path);
  if (parts.empty()) fail(ExitCode::machine, "the snapshot itself has no name inside it");
  const std::string_view name = parts.back();
  const size_t folder_size = parts.size() == 1 ? 0 : path.size() - name.size() - 1;
  return {open(path.substr(0, folder_size)), std::string(name)};
}

}  // namespace slipway::sandbox
