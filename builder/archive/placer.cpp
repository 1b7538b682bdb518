#include "archive/placer.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <tuple>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::archive {
namespace {

constexpr size_t path_max_bytes = 4000;  // PATH_MAX less the NUL and room for a parent
constexpr int links_max = 40;            // as the kernel's own limit

std::string join_path(const std::string& parent, const std::string& name) {
  return parent.empty() ? name : parent + '/' + name;
}

// Errors that the archive's own names cause are the archive's fault, not the machine's.
[[noreturn]] void fail_create(const std::string& path) {
  const int error = errno;
  if (error == ENAMETOOLONG || error == EINVAL || error == EILSEQ)
    fail(ExitCode::outside, "'{}' cannot be a file name here: {}", printable(path),
         std::generic_category().message(error));
  fail_errno_text(error, "create " + printable(path));
}

std::string read_link_at(int dir, const std::string& name, bool& is_link) {
  char text[4097];
  const ssize_t size = readlinkat(dir, name.c_str(), text, sizeof text);
  is_link = size >= 0;
  return is_link ? std::string(text, static_cast<size_t>(size)) : std::string();
}

constexpr int parent_flags = O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC;
constexpr const char* opaque_attribute = "user.overlay.opaque";

// `path_dir` may be a descriptor that is only a place (O_PATH).
bool is_opaque(int path_dir) {
  const Fd dir = open_at(path_dir, ".", O_RDONLY | O_DIRECTORY);
  char value[2];
  return fgetxattr(dir.get(), opaque_attribute, value, sizeof value) == 1 && value[0] == 'y';
}

bool is_whiteout(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

timespec to_timespec(int64_t time_ns) {
  constexpr int64_t second_ns = 1'000'000'000;
  int64_t seconds = time_ns / second_ns;
  int64_t rest = time_ns % second_ns;
  if (rest < 0) {
    rest += second_ns;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

}  // namespace

NameParts split_name(std::string_view name) {
  if (name.size() > path_max_bytes)
    fail(ExitCode::outside, "a name of {} bytes (at most {} are allowed): {}…", name.size(),
         path_max_bytes, printable(name.substr(0, 60)));
  NameParts parts;
  while (!name.empty()) {
    const size_t slash = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, slash);
    name.remove_prefix(std::min(slash + 1, name.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") fail(ExitCode::outside, "the name has a '..', which could leave the target");
    parts.emplace_back(part);
  }
  return parts;
}

// The way from the root to the directory reached so far.
struct Placer::Walk {
  int root;
  std::vector<Fd> dirs;
  std::vector<std::string> names;
  int current() const { return dirs.empty() ? root : dirs.back().get(); }
  std::string path() const { return join(names, "/"); }
  void restart() {
    dirs.clear();
    names.clear();
  }
  void up() {
    if (dirs.empty()) return;  // ".." of the root is the root
    dirs.pop_back();
    names.pop_back();
  }
};

Placer::Place Placer::locate(const NameParts& parts) {
  SLIPWAY_CHECK(!parts.empty());
  const NameParts parents(parts.begin(), parts.end() - 1);
  if (parents.empty()) return {root_, parts.back(), parts.back()};
  if (!cached_dir_ || cached_parts_ != parents) {
    cached_dir_.reset();
    cached_through_below_ = false;
    Walk walk{root_, {}, {}};
    std::deque<std::string> rest(parents.begin(), parents.end());
    int links = 0;
    while (!rest.empty()) {
      const std::string name = std::move(rest.front());
      rest.pop_front();
      if (name.empty() || name == ".") continue;
      if (name == "..") {
        walk.up();
        continue;
      }
      Fd dir(openat(walk.current(), name.c_str(), parent_flags));
      bool is_link = false, is_free = false;
      std::string text;
      if (!dir) {
        is_free = errno == ENOENT;
        if (!is_free && errno != ENOTDIR && errno != ELOOP)
          fail_create(join_path(walk.path(), name));
        if (!is_free) text = read_link_at(walk.current(), name, is_link);
      }
      if (is_free) {
        LowerTree::Found below = look_below(walk, name);
        is_link = below.kind == LowerTree::Found::Kind::link;
        is_free = is_link || below.kind == LowerTree::Found::Kind::absent ||
                  below.kind == LowerTree::Found::Kind::directory;
        cached_through_below_ = cached_through_below_ || is_link;
        if (is_link)
          text = std::move(below.link);
        else if (is_free)
          dir = make_parent(walk, name, below.fd, false);
      } else if (!dir && !is_link) {
        // Only the layers below lost it: a folder of this layer takes the whiteout's place.
        const auto info = stat_at(walk.current(), name);
        if (info && is_whiteout(*info)) {
          if (unlinkat(walk.current(), name.c_str(), 0) != 0)
            fail_create(join_path(walk.path(), name));
          dir = make_parent(walk, name, {}, true);
        }
      }
      if (dir) {
        walk.dirs.push_back(std::move(dir));
        walk.names.push_back(name);
        continue;
      }
      if (!is_link)
        fail(ExitCode::outside, "'{}' is no directory, yet entries are placed below it",
             printable(join_path(walk.path(), name)));
      if (++links > links_max)
        fail(ExitCode::outside, "too many links on the way to '{}'", printable(join(parts, "/")));
      if (starts_with(text, "/")) walk.restart();
      const std::vector<std::string> steps = split(text, '/');
      rest.insert(rest.begin(), steps.begin(), steps.end());
    }
    cached_path_ = walk.path();
    // A chain of links may lead back to the root, which has no descriptor of its own here.
    cached_dir_ =
        walk.dirs.empty() ? open_at(root_, ".", O_PATH | O_DIRECTORY) : std::move(walk.dirs.back());
    cached_parts_ = parents;
  }
  Place place{cached_dir_.get(), parts.back(), join_path(cached_path_, parts.back())};
  if (place.path.size() > path_max_bytes)
    fail(ExitCode::outside, "links make a path longer than {} bytes: {}…", path_max_bytes,
         printable(std::string_view(place.path).substr(0, 60)));
  return place;
}

Fd Placer::make_parent(const Walk& walk, const std::string& name, const Fd& below, bool opaque) {
  const std::string path = join_path(walk.path(), name);
  if (mkdirat(walk.current(), name.c_str(), 0700) != 0) fail_create(path);
  if (opaque) {
    const Fd dir = open_at(walk.current(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    make_opaque(dir.get(), path);
  }
  note_implied_directory(path, below);
  Fd dir(openat(walk.current(), name.c_str(), parent_flags));
  if (!dir) fail_create(path);
  return dir;
}

LowerTree::Found Placer::look_below(const Walk& walk, const std::string& name) {
  if (lower_ == nullptr) return {};
  if (is_opaque(root_)) return {};
  for (const Fd& dir : walk.dirs)
    if (is_opaque(dir.get())) return {};
  return lower_->find(join_path(walk.path(), name));
}

LowerTree::Found Placer::look_below(const Place& place) {
  if (lower_ == nullptr) return {};
  Walk walk{root_, {}, {}};
  NameParts parts = split_name(place.path);
  const std::string name = std::move(parts.back());
  parts.pop_back();
  for (std::string& part : parts) {
    Fd dir(openat(walk.current(), part.c_str(), parent_flags));
    if (!dir) return {};
    walk.dirs.push_back(std::move(dir));
    walk.names.push_back(std::move(part));
  }
  // What stands here, be it a whiteout, hides what is below.
  if (stat_at(walk.current(), name)) return {};
  return look_below(walk, name);
}

// A new entry may stand where a link of the layers below led on.
void Placer::forget_links_below() {
  if (cached_through_below_) cached_parts_.clear();
}

void Placer::note_implied_directory(const std::string& path, const Fd& below) {
  Item item;
  item.entry.path = path;
  item.entry.type = EntryType::directory;
  item.entry.mode = 0755;
  item.entry.mtime_ns = implied_mtime_ns;
  const Owner self(geteuid(), getegid());
  Owner owner = owner_.value_or(self);
  if (below) {
    struct stat info {};
    if (fstat(below.get(), &info) != 0) fail_errno("stat {}", printable(path));
    item.entry.mode = info.st_mode & 07777;
    item.entry.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (!owner_) owner = {info.st_uid, info.st_gid};
  }
  item.given_owner = owner != self;
  std::tie(item.entry.uid, item.entry.gid) = owner;
  items_[path] = std::move(item);
}

void Placer::forget_below(const std::string& path) {
  const std::string prefix = path + '/';
  auto first = items_.lower_bound(prefix);
  auto last = first;
  while (last != items_.end() && starts_with(last->first, prefix)) ++last;
  items_.erase(first, last);
}

void make_opaque(int dir, const std::string& path) {
  if (fsetxattr(dir, opaque_attribute, "y", 1, 0) != 0)
    fail_errno("make {} opaque", printable(path));
}

void Placer::create_whiteout(const Place& place) {
  if (mknodat(place.dir, place.name.c_str(), S_IFCHR, makedev(0, 0)) != 0)
    fail_errno("create the whiteout of {}", printable(place.path));
}

void Placer::clear(const Place& place) {
  if (unlinkat(place.dir, place.name.c_str(), 0) == 0) {
    items_.erase(place.path);
    cached_parts_.clear();
    return;
  }
  if (errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) fail_create(place.path);
  remove_tree_at(place.dir, place.name);
  forget_below(place.path);
  items_.erase(place.path);
  cached_parts_.clear();
}

Fd Placer::create_file(const Place& place) {
  forget_links_below();
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat(place.dir, place.name.c_str(), flags, 0600);
  if (fd < 0 && errno == EEXIST) {
    clear(place);
    fd = openat(place.dir, place.name.c_str(), flags, 0600);
  }
  if (fd < 0) fail_create(place.path);
  return Fd(fd);
}

bool Placer::create_directory(const Place& place) {
  forget_links_below();
  if (mkdirat(place.dir, place.name.c_str(), 0700) == 0) return false;
  if (errno != EEXIST) fail_create(place.path);
  const auto info = stat_at(place.dir, place.name);
  if (info && S_ISDIR(info->st_mode)) {
    // One that was there before us may be read-only.
    if ((info->st_mode & 0700) != 0700 && fchmodat(place.dir, place.name.c_str(), 0700, 0) != 0)
      fail_create(place.path);
    return false;
  }
  const bool over_whiteout = info && is_whiteout(*info);
  clear(place);
  if (mkdirat(place.dir, place.name.c_str(), 0700) != 0) fail_create(place.path);
  return over_whiteout;
}

void Placer::create_link(const Place& place, const std::string& text) {
  forget_links_below();
  if (text.empty()) fail(ExitCode::outside, "'{}' is a link to nothing", printable(place.path));
  if (symlinkat(text.c_str(), place.dir, place.name.c_str()) == 0) return;
  if (errno != EEXIST) fail_create(place.path);
  clear(place);
  if (symlinkat(text.c_str(), place.dir, place.name.c_str()) != 0) fail_create(place.path);
}

void Placer::create_hard_link(const Place& place, const std::string& existing) {
  forget_links_below();
  const size_t slash = existing.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : existing.substr(0, slash);
  const std::string name = slash == std::string::npos ? existing : existing.substr(slash + 1);
  const Fd from = open(parent, O_PATH | O_DIRECTORY);
  const auto link = [&] {
    return linkat(from.get(), name.c_str(), place.dir, place.name.c_str(), 0);
  };
  if (link() == 0) return;
  if (errno != EEXIST) fail_create(place.path);
  clear(place);
  if (link() != 0) fail_create(place.path);
}

Fd Placer::open(const std::string& path, int flags) const {
  Fd fd = try_open_beneath(root_, path, flags | O_NOFOLLOW);
  if (!fd) fail_errno("open {}", printable(path));
  return fd;
}

void Placer::descend_into(const std::string& folder) {
  cached_parts_.clear();
  cached_dir_.reset();
  // Renamed first: the folder may hold an entry of its own name.
  const std::string aside = ".slipway-" + to_hex(random_bytes(8));
  if (renameat(root_, folder.c_str(), root_, aside.c_str()) != 0) fail_create(folder);
  for (const std::string& name : list_directory(root_))
    if (name != aside) remove_tree_at(root_, name);
  {
    const Fd inner = open(aside, O_RDONLY | O_DIRECTORY);
    for (const std::string& name : list_directory(inner.get()))
      if (renameat(inner.get(), name.c_str(), root_, name.c_str()) != 0) fail_create(name);
  }
  if (unlinkat(root_, aside.c_str(), AT_REMOVEDIR) != 0) fail_errno("remove {}", aside);
  Items kept;
  const std::string prefix = folder + '/';
  for (auto at = items_.lower_bound(prefix); at != items_.end() && starts_with(at->first, prefix);
       ++at) {
    std::string path = at->first.substr(prefix.size());
    at->second.entry.path = path;
    kept.emplace_hint(kept.end(), std::move(path), std::move(at->second));
  }
  items_ = std::move(kept);
}

void Placer::finish_directories() {
  cached_dir_.reset();
  for (auto at = items_.rbegin(); at != items_.rend(); ++at) {
    const Item& item = at->second;
    if (item.entry.type != EntryType::directory || !item.listed) continue;
    const Fd dir = open(at->first, O_RDONLY | O_DIRECTORY);
    apply_metadata(dir.get(), item.entry, item.given_owner);
  }
}

void apply_metadata(int fd, const TreeEntry& entry, bool give_owner) {
  if (give_owner && fchown(fd, entry.uid, entry.gid) != 0)
    fail_errno("give {} to user {}, group {}", printable(entry.path), entry.uid, entry.gid);
  // After the owner: chown takes set-user-id away.
  if (fchmod(fd, entry.mode & 07777) != 0) fail_errno("set the mode of {}", printable(entry.path));
  const timespec times[2] = {to_timespec(entry.mtime_ns), to_timespec(entry.mtime_ns)};
  if (futimens(fd, times) != 0) fail_errno("set the time of {}", printable(entry.path));
}

}  // namespace slipway::archive
