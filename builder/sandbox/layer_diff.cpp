#include "sandbox/layer_diff.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_hash.h"
#include "sandbox/layer_stack.h"

namespace slipway::sandbox {
namespace {

using archive::LayerEntry;
using archive::LayerEntryType;
using archive::TreeEntry;

// The only extended attribute that other builders put into images (O6).
constexpr const char* capability = "security.capability";

std::string read_link(int dir, const std::string& name, const std::string& path) {
  std::string text(256, '\0');
  for (;;) {
    const ssize_t size = readlinkat(dir, name.c_str(), text.data(), text.size());
    if (size < 0) fail_errno("read the link {}", printable(path));
    if (static_cast<size_t>(size) < text.size()) {
      text.resize(static_cast<size_t>(size));
      return text;
    }
    text.resize(text.size() * 2);
  }
}

// Empty = it has none. Opening the file for it would cost three calls instead of one.
std::string read_capability(int dir, const std::string& name, const std::string& path) {
  char value[64];  // the kernel's form has 24 bytes at most
  const std::string place = fmt::format("/proc/self/fd/{}/{}", dir, name);
  ssize_t size = lgetxattr(place.c_str(), capability, value, sizeof value);
  if (size < 0 && errno == ENOENT) {
    const Fd file = open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    size = fgetxattr(file.get(), capability, value, sizeof value);
  }
  if (size < 0 && errno != ENODATA && errno != ENOTSUP)
    fail_errno("read the capabilities of {}", printable(path));
  return size < 0 ? std::string() : std::string(value, static_cast<size_t>(size));
}

bool equal_content(int left_dir, int right_dir, const std::string& name) {
  constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  const Fd left = open_at(left_dir, name, flags), right = open_at(right_dir, name, flags);
  constexpr size_t block_bytes = 64 << 10;
  const auto buffer = std::make_unique<char[]>(2 * block_bytes);
  const auto fill = [&](int file, char* out) {
    size_t done = 0;
    while (done < block_bytes) {
      const size_t count = read_some(file, out + done, block_bytes - done);
      if (count == 0) break;
      done += count;
    }
    return done;
  };
  for (;;) {
    const size_t count = fill(left.get(), buffer.get());
    if (fill(right.get(), buffer.get() + block_bytes) != count ||
        std::memcmp(buffer.get(), buffer.get() + block_bytes, count) != 0)
      return false;
    if (count < block_bytes) return true;
  }
}

bool same_time(const struct stat& left, const struct stat& right) {
  return left.st_mtim.tv_sec == right.st_mtim.tv_sec &&
         left.st_mtim.tv_nsec == right.st_mtim.tv_nsec;
}

class Diff {
 public:
  Diff(const archive::Tree& known, const LayerDiffOptions& options)
      : known_(known), options_(options) {}

  /// `rest` is null where the rest has no such folder. True when something below was listed.
  bool walk(const StackDir& own, const StackDir* rest, const std::string& folder, size_t depth);
  LayerResult finish();

 private:
  struct Found {
    LayerEntry entry;
    /// Of a file with several names: its layer and number.
    std::optional<std::pair<size_t, ino_t>> file;
  };

  bool visit(const StackDir& own, const StackName& found, const StackDir* rest,
             const std::string& name, const std::string& path, size_t depth);
  bool is_same(const StackDir& own, const StackName& found, const StackDir& rest,
               const StackName& before, const std::string& name, const std::string& path);
  bool same_attributes(const struct stat& now, const struct stat& before) const;
  void add(const StackDir& own, const StackName& found, const std::string& name,
           const std::string& path);
  void add_file(Found& listed, const StackDir::Level& level, const struct stat& info,
                const std::string& name);
  void hide(const std::string& path);
  void link_names();

  const archive::Tree& known_;
  const LayerDiffOptions& options_;
  // A deque: the hashing threads write into elements while more are added.
  std::deque<Found> found_;
  // Which element has the digest of a file with several names.
  std::map<std::pair<size_t, ino_t>, const LayerEntry*> hashed_;
  std::vector<std::string> warnings_;
  uint64_t files_read_ = 0;
  HashPool pool_;
};

bool Diff::walk(const StackDir& own, const StackDir* rest, const std::string& folder,
                size_t depth) {
  if (depth > depth_max)
    fail(ExitCode::build_failed, "{}…: more than {} nested folders",
         printable(folder.substr(0, 80)), depth_max);
  bool listed = false;
  const auto names = list_names(own);
  for (const auto& [name, level] : names) {
    const StackName found = look_up(own, name, level);
    const std::string path = join_path(folder, name);
    if (found.kind == StackName::Kind::absent) continue;
    if (found.kind != StackName::Kind::hidden) {
      listed |= visit(own, found, rest, name, path, depth);
      continue;
    }
    const auto before = rest != nullptr ? look_up(*rest, name).kind : StackName::Kind::absent;
    if (before != StackName::Kind::other && before != StackName::Kind::folder) continue;
    hide(path);
    listed = true;
  }
  if (own.reaches_below || rest == nullptr) return listed;
  for (const auto& [name, level] : list_names(*rest)) {
    const auto at = std::lower_bound(
        names.begin(), names.end(), name,
        [](const auto& one, const std::string& wanted) { return one.first < wanted; });
    if (at != names.end() && at->first == name) continue;
    const auto before = look_up(*rest, name, level).kind;
    if (before != StackName::Kind::other && before != StackName::Kind::folder) continue;
    hide(join_path(folder, name));
    listed = true;
  }
  return listed;
}

bool Diff::visit(const StackDir& own, const StackName& found, const StackDir* rest,
                 const std::string& name, const std::string& path, size_t depth) {
  if (starts_with(name, archive::whiteout_prefix))
    throw Error(ExitCode::build_failed,
                fmt::format("{} cannot be part of an image: a name that begins with '{}' hides "
                            "another there",
                            printable(path), archive::whiteout_prefix))
        .set_hint("remove the file in the step that made it");
  StackName before;
  if (rest != nullptr) before = look_up(*rest, name);
  if (found.kind == StackName::Kind::folder) {
    const bool merges = before.kind == StackName::Kind::folder;
    const bool below = walk(found.dir, merges ? &before.dir : nullptr, path, depth + 1);
    if (!below && merges && same_attributes(found.info, before.info)) return false;
    add(own, found, name, path);
    return true;
  }
  if (before.kind == StackName::Kind::other && is_same(own, found, *rest, before, name, path))
    return false;
  if (S_ISSOCK(found.info.st_mode)) {
    warnings_.push_back(fmt::format("{} is a socket and is left out", printable(path)));
    if (before.kind != StackName::Kind::other && before.kind != StackName::Kind::folder)
      return false;
    hide(path);
    return true;
  }
  add(own, found, name, path);
  return true;
}

bool Diff::same_attributes(const struct stat& now, const struct stat& before) const {
  if (now.st_mode != before.st_mode || now.st_rdev != before.st_rdev) return false;
  return options_.root_owns_all || (now.st_uid == before.st_uid && now.st_gid == before.st_gid);
}

bool Diff::is_same(const StackDir& own, const StackName& found, const StackDir& rest,
                   const StackName& before, const std::string& name, const std::string& path) {
  const struct stat& now = found.info;
  if (!same_attributes(now, before.info) || now.st_size != before.info.st_size ||
      !same_time(now, before.info))
    return false;
  const int own_dir = own.levels[found.level].dir.get();
  const int rest_dir = rest.levels[before.level].dir.get();
  if (S_ISLNK(now.st_mode))
    return read_link(own_dir, name, path) == read_link(rest_dir, name, path);
  if (!S_ISREG(now.st_mode)) return true;
  if (read_capability(own_dir, name, path) != read_capability(rest_dir, name, path)) return false;
  // A time from a tar says nothing about who wrote last.
  const bool exact = now.st_mtim.tv_nsec != 0;
  return exact || now.st_size == 0 || equal_content(own_dir, rest_dir, name);
}

void Diff::hide(const std::string& path) {
  LayerEntry& entry = found_.emplace_back().entry;
  entry.path = archive::whiteout_path(path);
  entry.type = LayerEntryType::whiteout;
}

void Diff::add(const StackDir& own, const StackName& found, const std::string& name,
               const std::string& path) {
  const struct stat& info = found.info;
  Found& listed = found_.emplace_back();
  LayerEntry& entry = listed.entry;
  entry.path = path;
  entry.mode = info.st_mode & 07777;
  if (!options_.root_owns_all) {
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
  }
  entry.mtime = info.st_mtim.tv_sec;
  // A folder was found in several levels; its attributes are the topmost's.
  const StackDir::Level& level = own.levels[found.level];
  switch (info.st_mode & S_IFMT) {
    case S_IFDIR:
      entry.type = LayerEntryType::directory;
      return;
    case S_IFLNK:
      entry.type = LayerEntryType::symlink;
      entry.mode = 0777;
      entry.link = read_link(level.dir.get(), name, path);
      return;
    case S_IFREG:
      add_file(listed, level, info, name);
      return;
    case S_IFIFO:
      entry.type = LayerEntryType::fifo;
      return;
    default:
      entry.type =
          S_ISBLK(info.st_mode) ? LayerEntryType::block_device : LayerEntryType::character_device;
      entry.device_major = major(info.st_rdev);
      entry.device_minor = minor(info.st_rdev);
  }
}

void Diff::add_file(Found& listed, const StackDir::Level& level, const struct stat& info,
                    const std::string& name) {
  LayerEntry& entry = listed.entry;
  entry.size = static_cast<uint64_t>(info.st_size);
  const std::string value = read_capability(level.dir.get(), name, entry.path);
  if (!value.empty()) entry.attributes.emplace_back(capability, value);
  if (info.st_nlink > 1) {
    listed.file.emplace(level.layer, info.st_ino);
    if (!hashed_.emplace(*listed.file, &entry).second) return;
  }
  if (entry.size == 0 || !options_.digests) return;
  const TreeEntry* known = known_.find(entry.path);
  if (known != nullptr && known->type == archive::EntryType::file && known->digest &&
      known->size == entry.size &&
      (known->mtime_ns == 0 || known->mtime_ns == nanoseconds(info.st_mtim))) {
    entry.digest = known->digest;
    return;
  }
  ++files_read_;
  try {
    pool_.add(open_at(level.dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), entry.size,
              entry.path, &entry.digest);
  } catch (Error& error) {
    throw error.add_context(printable(entry.path));
  }
}

// Of the names of one file the first is the file, the others are links to it (O5).
void Diff::link_names() {
  std::map<std::pair<size_t, ino_t>, const LayerEntry*> first;
  for (Found& listed : found_) {
    if (!listed.file) continue;
    LayerEntry& entry = listed.entry;
    const auto [at, is_first] = first.emplace(*listed.file, &entry);
    if (is_first) continue;
    entry.type = LayerEntryType::hard_link;
    entry.link = at->second->path;
    entry.size = 0;
    entry.digest = {};
    entry.attributes.clear();
  }
}

LayerResult Diff::finish() {
  pool_.finish();
  for (Found& listed : found_)
    if (listed.file) listed.entry.digest = hashed_.at(*listed.file)->digest;
  std::sort(found_.begin(), found_.end(),
            [](const Found& a, const Found& b) { return a.entry.path < b.entry.path; });
  link_names();
  LayerResult result;
  result.listing.entries.reserve(found_.size());
  for (Found& listed : found_) result.listing.entries.push_back(std::move(listed.entry));
  std::sort(warnings_.begin(), warnings_.end());
  result.warnings = std::move(warnings_);
  result.files_read = files_read_;
  return result;
}

}  // namespace

LayerResult diff_layers(const std::vector<int>& own, const std::vector<int>& rest,
                        const archive::Tree& known, const LayerDiffOptions& options) {
  Diff diff(known, options);
  StackDir top = open_stack(own);
  if (options.own_is_whole) top.reaches_below = false;
  const StackDir below = open_stack(rest);
  diff.walk(top, &below, "", 0);
  return diff.finish();
}

}  // namespace slipway::sandbox
