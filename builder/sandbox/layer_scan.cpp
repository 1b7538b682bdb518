// scan_layers(): the listing of a stack from a walk of its fresh layers and the known listing of
// what lies below them.
#include <time.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_hash.h"
#include "sandbox/layer_stack.h"
#include "sandbox/layer_state.h"
#include "sandbox/layers.h"

namespace slipway::sandbox {
namespace {

using archive::EntryType;
using archive::Tree;
using archive::TreeEntry;

// Kernels stamp files with a clock of up to 10 ms a tick.
constexpr int64_t clock_tick_ns = 20'000'000;

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

const char* special_name(mode_t mode) {
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// An entry found in a fresh layer.
struct FreshEntry {
  TreeEntry entry;
  SeenEntry seen;
  const SeenEntry* before = nullptr;  ///< what the last scan saw under that path
  size_t layer = 0;
  bool several_names = false;
};

class Scan {
 public:
  explicit Scan(const std::string& previous_state) : previous_(parse_state(previous_state)) {
    struct timespec now {};
    clock_gettime(CLOCK_REALTIME, &now);
    state_.trusted_before_ns = nanoseconds(now) - clock_tick_ns;
  }

  void walk(const StackDir& dir, const std::string& folder, size_t depth);
  ScanResult finish(const Tree& lower);

 private:
  void add(const StackDir& parent, const StackName& found, const std::string& name,
           std::string path);
  Tree merge(const Tree& lower, const std::vector<FreshEntry*>& fresh_in_order) const;

  ScanState previous_, state_;
  // A deque: the hashing threads write into elements while more are added.
  std::deque<FreshEntry> fresh_;
  std::vector<std::string> hidden_;   ///< the lower entry of that path is gone
  std::vector<std::string> emptied_;  ///< and these hide what lies below them
  std::vector<std::string> warnings_;
  HashPool pool_;
};

void Scan::walk(const StackDir& dir, const std::string& folder, size_t depth) {
  if (depth > depth_max)
    fail(ExitCode::app_files, "{}…: more than {} nested folders", printable(folder.substr(0, 80)),
         depth_max);
  for (auto& [name, level] : list_names(dir)) {
    const StackName found = look_up(dir, name, level);
    std::string path = join_path(folder, name);
    if (found.kind == StackName::Kind::absent) continue;  // removed since it was listed
    if (!found.dir.reaches_below && dir.reaches_below) emptied_.push_back(path);
    if (found.kind == StackName::Kind::hidden) {
      hidden_.push_back(std::move(path));
      continue;
    }
    add(dir, found, name, path);
    if (found.kind == StackName::Kind::folder) walk(found.dir, path, depth + 1);
  }
}

void Scan::add(const StackDir& parent, const StackName& found, const std::string& name,
               std::string path) {
  const struct stat& info = found.info;
  const StackDir::Level& level = parent.levels[found.level];
  if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) {
    warnings_.push_back(
        fmt::format("{} is {} and is left out", printable(path), special_name(info.st_mode)));
    hidden_.push_back(std::move(path));
    return;
  }
  FreshEntry& fresh = fresh_.emplace_back();
  fresh.layer = level.layer;
  fresh.before = previous_.find(path);
  TreeEntry& entry = fresh.entry;
  entry.path = std::move(path);
  entry.mode = info.st_mode & 07777;
  entry.uid = info.st_uid;
  entry.gid = info.st_gid;
  entry.mtime_ns = nanoseconds(info.st_mtim);
  SeenEntry& seen = fresh.seen;
  seen.inode = info.st_ino;
  seen.mode = entry.mode;
  seen.uid = entry.uid;
  seen.gid = entry.gid;
  seen.mtime_ns = entry.mtime_ns;
  seen.ctime_ns = nanoseconds(info.st_ctim);
  if (S_ISDIR(info.st_mode)) {
    entry.type = EntryType::directory;
    return;
  }
  seen.size = static_cast<uint64_t>(info.st_size);
  if (S_ISLNK(info.st_mode)) {
    entry.type = EntryType::symlink;
    entry.link = read_link(level.dir.get(), name, entry.path);
    return;
  }
  entry.size = seen.size;
  fresh.several_names = info.st_nlink > 1;
  const SeenEntry* known = fresh.before;
  if (known != nullptr && known->type == EntryType::file && known->inode == seen.inode &&
      known->size == seen.size && known->mtime_ns == seen.mtime_ns &&
      known->ctime_ns == seen.ctime_ns && seen.ctime_ns < previous_.trusted_before_ns) {
    entry.digest = known->digest;
    return;
  }
  try {
    pool_.add(open_at(level.dir.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), entry.size,
              entry.path, &entry.digest);
  } catch (Error& error) {
    throw error.add_context(printable(entry.path));
  }
}

Tree Scan::merge(const Tree& lower, const std::vector<FreshEntry*>& fresh_in_order) const {
  // Sorted paths keep what lies below a folder together: [folder + '/', folder + '0').
  const auto& below = lower.entries;
  std::vector<bool> gone(below.size(), false);
  const auto position = [&](const std::string& path) {
    return std::lower_bound(
        below.begin(), below.end(), path,
        [](const TreeEntry& entry, const std::string& wanted) { return entry.path < wanted; });
  };
  for (const std::string& path : hidden_) {
    const auto at = position(path);
    if (at != below.end() && at->path == path) gone[static_cast<size_t>(at - below.begin())] = true;
  }
  for (const std::string& path : emptied_)
    std::fill(gone.begin() + (position(path + '/') - below.begin()),
              gone.begin() + (position(path + '0') - below.begin()), true);

  Tree tree;
  tree.entries.reserve(below.size() + fresh_.size());
  size_t at = 0;
  const auto keep_until = [&](const std::string* path) {
    for (; at < below.size() && (path == nullptr || below[at].path < *path); ++at)
      if (!gone[at]) tree.entries.push_back(below[at]);
    if (path != nullptr && at < below.size() && below[at].path == *path) ++at;
  };
  // Names that share a file: lower groups by their number, fresh ones by layer and inode.
  std::map<std::pair<uint64_t, uint64_t>, std::vector<size_t>> groups;
  for (FreshEntry* fresh : fresh_in_order) {
    keep_until(&fresh->entry.path);
    if (fresh->several_names)
      groups[{fresh->layer + 1, fresh->seen.inode}].push_back(tree.entries.size());
    tree.entries.push_back(std::move(fresh->entry));
  }
  keep_until(nullptr);
  for (size_t i = 0; i < tree.entries.size(); ++i)
    if (tree.entries[i].hard_link_group != 0)
      groups[{0, tree.entries[i].hard_link_group}].push_back(i);
  // Numbered from 1 in the order of their first names.
  std::vector<const std::vector<size_t>*> in_order;
  for (const auto& [key, names] : groups) {
    for (const size_t i : names) tree.entries[i].hard_link_group = 0;
    if (names.size() > 1) in_order.push_back(&names);
  }
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->front() < b->front(); });
  for (size_t number = 0; number < in_order.size(); ++number)
    for (const size_t i : *in_order[number]) tree.entries[i].hard_link_group = number + 1;
  return tree;
}

// A folder changes whenever a name in it does: only its own attributes count as written. A file
// whose ctime alone moved (another name was linked to it) was not written either.
bool written(const SeenEntry* before, const SeenEntry& now) {
  if (before == nullptr || before->type != now.type || before->inode != now.inode ||
      before->mode != now.mode || before->uid != now.uid || before->gid != now.gid)
    return true;
  return now.type != EntryType::directory &&
         (before->size != now.size || before->mtime_ns != now.mtime_ns ||
          before->digest != now.digest);
}

ScanResult Scan::finish(const Tree& lower) {
  pool_.finish();
  std::vector<FreshEntry*> in_order;
  in_order.reserve(fresh_.size());
  for (FreshEntry& fresh : fresh_) in_order.push_back(&fresh);
  std::sort(in_order.begin(), in_order.end(),
            [](const FreshEntry* a, const FreshEntry* b) { return a->entry.path < b->entry.path; });
  ScanResult result;
  state_.entries.reserve(fresh_.size());
  for (FreshEntry* fresh : in_order) {
    fresh->seen.path = fresh->entry.path;
    fresh->seen.type = fresh->entry.type;
    fresh->seen.digest = fresh->entry.digest;
    if (written(fresh->before, fresh->seen)) result.changed.push_back(fresh->seen.path);
    state_.entries.push_back(fresh->seen);
  }
  result.state = serialize_state(state_);
  result.tree = merge(lower, in_order);
  std::sort(warnings_.begin(), warnings_.end());
  result.warnings = std::move(warnings_);
  return result;
}

}  // namespace

ScanResult scan_layers(const std::vector<int>& layers, int fresh_layers, const std::string& path,
                       const Tree& lower, const std::string& previous_state) {
  SLIPWAY_CHECK(fresh_layers >= 0 && static_cast<size_t>(fresh_layers) <= layers.size());
  Scan scan(previous_state);
  StackDir dir = open_stack({layers.begin(), layers.begin() + fresh_layers});
  for (const std::string& name : layer_components(path)) {
    StackName found = look_up(dir, name);
    if (found.kind == StackName::Kind::other)
      fail(ExitCode::build_failed, "{} is no folder any more", printable(path));
    // Absent here: the layers below may have it; hidden: nothing has.
    dir = std::move(found.dir);
  }
  const bool lower_shows = dir.reaches_below;
  scan.walk(dir, "", 0);
  return scan.finish(lower_shows ? lower : Tree());
}

}  // namespace slipway::sandbox
