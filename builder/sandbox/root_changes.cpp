#include "sandbox/root_changes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <map>
#include <thread>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_attributes.h"

namespace slipway::sandbox {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

void list(int dir, const std::string& folder, size_t depth, std::vector<TreeState::Entry>& out) {
  if (depth > depth_max)
    fail(ExitCode::build_failed, "{}…: more than {} nested folders",
         printable(folder.substr(0, 80)), depth_max);
  for (const std::string& name : list_directory(dir)) {
    const auto info = stat_at(dir, name);
    if (!info) continue;
    const std::string path = join_path(folder, name);
    out.push_back({path, *info});
    if (!S_ISDIR(info->st_mode)) continue;
    const Fd child = open_at(dir, name, folder_flags);
    list(child.get(), path, depth + 1, out);
  }
}

bool same(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_mode == b.st_mode && a.st_uid == b.st_uid &&
         a.st_gid == b.st_gid && a.st_size == b.st_size && a.st_rdev == b.st_rdev &&
         nanoseconds(a.st_mtim) == nanoseconds(b.st_mtim) &&
         nanoseconds(a.st_ctim) == nanoseconds(b.st_ctim);
}

/// A folder's own attributes; its time changes with what it holds.
bool same_folder(const struct stat& a, const struct stat& b) {
  return S_ISDIR(a.st_mode) && S_ISDIR(b.st_mode) && a.st_mode == b.st_mode &&
         a.st_uid == b.st_uid && a.st_gid == b.st_gid;
}

FileAttributes attributes_of(const struct stat& info) {
  return {info.st_uid, info.st_gid, info.st_mode & 07777, nanoseconds(info.st_mtim)};
}

class Changes {
 public:
  Changes(int root, LayerTarget& target) : root_(root), folders_(root_), target_(target) {}

  void gone(const std::string& path) {
    const auto [folder, name] = split_path(path);
    // Removed with a folder above, or hidden by what took that one's place.
    if (!target_.look_up(path)) return;
    target_.remove(target_.folder(folder), name);
  }

  void changed(const TreeState::Entry& entry, bool was_folder) {
    const auto [folder, name] = split_path(entry.path);
    const LayerTarget::FolderRef parent = target_.folder(folder);
    const auto there = target_.look_up_in(*parent, name);
    const bool is_folder = S_ISDIR(entry.info.st_mode);
    if (there && S_ISDIR(there->st_mode) && !(is_folder && was_folder))
      target_.remove(parent, name);
    if (is_folder) {
      const bool merged = there && S_ISDIR(there->st_mode) && was_folder;
      if (there && !merged) target_.make_room(parent, name);
      const auto own = merged ? target_.child(parent, name) : target_.make_folder(parent, name);
      const int target = target_.writable(*own);
      if (!target_.single_id() && fchown(target, entry.info.st_uid, entry.info.st_gid) != 0)
        fail_errno("give {} to its owner", printable(entry.path));
      copy_attributes_of(folders_.open(entry.path), target, entry.path);
      return;
    }
    target_.make_room(parent, name);
    write(entry, target_.writable(*parent), name);
    ++files_;
  }

  // Last, and deepest first: writing into a folder moves its time.
  void finish_folder(const TreeState::Entry& entry) {
    const LayerTarget::FolderRef own = target_.folder(entry.path);
    if (target_.in_layer(*own))
      set_attributes(target_.writable(*own), attributes_of(entry.info), true, entry.path);
  }

  std::pair<uint64_t, uint64_t> written() const { return {files_, bytes_}; }

 private:
  void write(const TreeState::Entry& entry, int to, const std::string& name) {
    const auto [from, from_name] = folders_.open_parent(entry.path);
    const struct stat& info = entry.info;
    if (info.st_nlink > 1) {
      const auto [first, is_first] = linked_.try_emplace(info.st_ino, entry.path);
      if (!is_first) {
        const auto [folder, first_name] = split_path(first->second);
        const LayerTarget::FolderRef parent = target_.folder(folder);
        if (linkat(target_.writable(*parent), first_name.c_str(), to, name.c_str(), 0) != 0)
          fail_errno("link {}", printable(entry.path));
        return;
      }
    }
    const FileAttributes attributes = attributes_of(info);
    if (S_ISLNK(info.st_mode)) {
      const std::string text = read_link_at(from, from_name, entry.path);
      if (symlinkat(text.c_str(), to, name.c_str()) != 0)
        fail_errno("create link {}", printable(entry.path));
      set_attributes_at(to, name, attributes, true, target_.single_id(), entry.path);
      return;
    }
    if (!S_ISREG(info.st_mode)) {
      if (mknodat(to, name.c_str(), (info.st_mode & S_IFMT) | 0600, info.st_rdev) != 0)
        fail_errno("create {}", printable(entry.path));
      set_attributes_at(to, name, attributes, false, target_.single_id(), entry.path);
      return;
    }
    const Fd source = open_at(from, from_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const Fd made = open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    const auto size = static_cast<uint64_t>(info.st_size);
    if (copy_bytes(source.get(), made.get(), size) != size)
      fail(ExitCode::machine, "{} became shorter while it was read", printable(entry.path));
    if (!target_.single_id() && fchown(made.get(), info.st_uid, info.st_gid) != 0)
      fail_errno("give {} to its owner", printable(entry.path));
    copy_attributes_of(source.get(), made.get(), entry.path);
    set_attributes(made.get(), attributes, true, entry.path);
    bytes_ += size;
  }

  int root_;
  FolderCache folders_;
  LayerTarget& target_;
  std::map<ino_t, std::string> linked_;
  uint64_t files_ = 0, bytes_ = 0;
};

}  // namespace

TreeState TreeState::of(int root) {
  TreeState state;
  list(root, "", 0, state.entries_);
  std::sort(state.entries_.begin(), state.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.path < b.path; });
  return state;
}

// The kernel stamps files with a clock that moves in steps of some milliseconds.
void TreeState::settle() const {
  int64_t newest = 0;
  for (const Entry& entry : entries_) newest = std::max(newest, nanoseconds(entry.info.st_ctim));
  // A file server's clock may be ahead.
  constexpr int tries_max = 50;
  for (int i = 0; i < tries_max; ++i) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (nanoseconds(now) > newest) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool separate_names(int root, const TreeState& state) {
  std::set<ino_t> known;
  FolderCache folders(root);
  bool any = false;
  for (const TreeState::Entry& entry : state.entries()) {
    const struct stat& info = entry.info;
    if (!S_ISREG(info.st_mode) || info.st_nlink < 2 || known.insert(info.st_ino).second) continue;
    any = true;
    const auto [folder, name] = folders.open_parent(entry.path);
    const std::string fresh = name.substr(0, 200) + ".slipway-" + to_hex(random_bytes(4));
    struct stat above {};
    if (fstat(folder, &above) != 0) fail_errno("stat {}", printable(entry.path));
    {
      const Fd source = open_at(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const Fd made = open_at(folder, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      const auto size = static_cast<uint64_t>(info.st_size);
      if (copy_bytes(source.get(), made.get(), size) != size)
        fail(ExitCode::machine, "{} became shorter while it was read", printable(entry.path));
      if (fchown(made.get(), info.st_uid, info.st_gid) != 0)
        fail_errno("give {} to its owner", printable(entry.path));
      copy_attributes_of(source.get(), made.get(), entry.path);
      set_attributes(made.get(), attributes_of(info), true, entry.path);
    }
    if (renameat(folder, fresh.c_str(), folder, name.c_str()) != 0)
      fail_errno("rename {}", printable(entry.path));
    const timespec times[2] = {above.st_atim, above.st_mtim};
    if (futimens(folder, times) != 0) fail_errno("set the time of {}", printable(entry.path));
  }
  return any;
}

std::pair<uint64_t, uint64_t> store_changes(int root, const TreeState& before, LayerTarget& target,
                                            const std::set<std::string>& held) {
  const TreeState now = TreeState::of(root);
  Changes changes(root, target);
  size_t old = 0;
  std::vector<const TreeState::Entry*> folders;
  for (const TreeState::Entry& entry : now.entries()) {
    for (; old < before.entries().size() && before.entries()[old].path < entry.path; ++old)
      changes.gone(before.entries()[old].path);
    const TreeState::Entry* was = nullptr;
    if (old < before.entries().size() && before.entries()[old].path == entry.path)
      was = &before.entries()[old++];
    if (S_ISDIR(entry.info.st_mode)) folders.push_back(&entry);
    if (S_ISSOCK(entry.info.st_mode)) {
      // Nobody listens any more; what it replaced is gone.
      if (was != nullptr) changes.gone(entry.path);
      continue;
    }
    const bool kept_away =
        was != nullptr && was->info.st_ino == entry.info.st_ino && held.contains(entry.path);
    const bool untouched = was != nullptr && (kept_away || same(was->info, entry.info) ||
                                              same_folder(was->info, entry.info));
    // A folder may be another one of the same kind: what it lost shows in its own entries.
    if (!untouched) changes.changed(entry, was != nullptr && S_ISDIR(was->info.st_mode));
  }
  for (; old < before.entries().size(); ++old) changes.gone(before.entries()[old].path);
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
    changes.finish_folder(**folder);
  return changes.written();
}

}  // namespace slipway::sandbox
