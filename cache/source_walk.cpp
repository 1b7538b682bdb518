#include "cache/source_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace slipway::cache {
namespace {

using archive::EntryType;
using archive::TreeEntry;

// Of a deep tree only the lowest levels keep their descriptors; a level above is opened again
// through ".." and must still be the directory it was. An ordinary user has 1024 descriptors.
constexpr size_t open_levels_max = 100;
constexpr size_t listing_buffer = 256 << 10;
constexpr unsigned stat_mask =
    STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_MTIME | STATX_CTIME | STATX_INO;

// linux/dirent.h is not for programs; getdents64(2) gives the layout.
struct KernelDirent {
  uint64_t d_ino;
  int64_t d_off;
  uint16_t d_reclen;
  uint8_t d_type;
  char d_name[1];
};

/// A name of a directory, or "name/" for going into it: so sorted, the walk meets whole paths in
/// bytewise order ("a", "a-b", "a/x").
struct Item {
  std::string name;
  bool enter = false;
};

struct Level {
  Fd directory;
  dev_t device = 0;
  ino_t inode = 0;
  size_t prefix_size = 0;  ///< of path_, "" or ending in '/'
  std::vector<Item> items;
  size_t next = 0;
};

[[noreturn]] void fail_reading(int error_number, const std::string& path) {
  Error error(ExitCode::app_files,
              fmt::format("cannot read '{}': {}", printable(path), std::strerror(error_number)));
  if (error_number == EACCES || error_number == EPERM)
    error.set_hint("make it readable, or leave it out with .slugignore");
  throw error;
}

bool has_vanished(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR || error_number == ELOOP;
}

int64_t nanoseconds(const statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

const char* special_kind(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFIFO:
      return "FIFO";
    case S_IFSOCK:
      return "socket";
    default:
      return "device";
  }
}

class Walker {
 public:
  Walker(const ScanOptions& options, const LeaveOut& store)
      : options_(options), store_(store), buffer_(listing_buffer, '\0') {}
  WalkedSource run(int root);

 private:
  void enter(Fd directory);
  void leave();
  void read_names(Level& level);
  void add(Level& level, const std::string& name);
  std::string read_link(int directory, const std::string& name, uint64_t size);

  const ScanOptions& options_;
  const LeaveOut store_;
  WalkedSource found_;
  std::vector<Level> levels_;
  std::string path_;  ///< prefix of the current level
  std::string buffer_;
};

WalkedSource Walker::run(int root) {
  const int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_reading(errno, ".");
  enter(Fd(fd));
  while (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.next == level.items.size()) {
      leave();
      continue;
    }
    const Item& item = level.items[level.next++];
    path_.resize(level.prefix_size);
    if (!item.enter) {
      add(level, item.name);
      continue;
    }
    path_ += item.name;
    const std::string name = item.name.substr(0, item.name.size() - 1);
    const int child = openat(level.directory.get(), name.c_str(),
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0) {
      const int error_number = errno;
      const std::string path = path_.substr(0, path_.size() - 1);
      if (has_vanished(error_number)) throw SourceChanged{path};
      fail_reading(error_number, path);
    }
    enter(Fd(child));
  }
  return std::move(found_);
}

void Walker::enter(Fd directory) {
  if (options_.cancel != nullptr) options_.cancel->check();
  struct stat info {};
  if (fstat(directory.get(), &info) != 0) fail_errno("stat {}", printable(path_));
  if (info.st_ino == store_.inode && info.st_dev == store_.device) return;
  Level level;
  level.directory = std::move(directory);
  level.device = info.st_dev;
  level.inode = info.st_ino;
  level.prefix_size = path_.size();
  read_names(level);
  levels_.push_back(std::move(level));
  if (levels_.size() > open_levels_max)
    levels_[levels_.size() - 1 - open_levels_max].directory.reset();
}

void Walker::leave() {
  const Level done = std::move(levels_.back());
  levels_.pop_back();
  if (levels_.empty() || levels_.back().directory) return;
  Level& above = levels_.back();
  const int fd = openat(done.directory.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info {};
  const std::string path = path_.substr(0, above.prefix_size);
  if (fd < 0) throw SourceChanged{path};
  above.directory = Fd(fd);
  // A directory that was moved away meanwhile would lead us somewhere else.
  if (fstat(fd, &info) != 0 || info.st_dev != above.device || info.st_ino != above.inode)
    throw SourceChanged{path};
}

void Walker::read_names(Level& level) {
  for (;;) {
    const long count =
        syscall(SYS_getdents64, level.directory.get(), buffer_.data(), buffer_.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_reading(errno, path_.empty() ? "." : path_);
    }
    if (count == 0) break;
    for (long at = 0; at < count;) {
      const auto* entry = reinterpret_cast<const KernelDirent*>(buffer_.data() + at);
      at += entry->d_reclen;
      const char* name = entry->d_name;
      if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) continue;
      bool is_directory = entry->d_type == DT_DIR;
      if (entry->d_type == DT_UNKNOWN) {
        struct stat info {};
        if (fstatat(level.directory.get(), name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
          if (has_vanished(errno)) continue;
          fail_reading(errno, path_ + name);
        }
        is_directory = S_ISDIR(info.st_mode);
      }
      if (options_.ignored && options_.ignored(path_ + name, is_directory)) continue;
      level.items.push_back({name, false});
      if (is_directory) level.items.push_back({std::string(name) + '/', true});
    }
  }
  std::sort(level.items.begin(), level.items.end(),
            [](const Item& left, const Item& right) { return left.name < right.name; });
}

std::string Walker::read_link(int directory, const std::string& name, uint64_t size) {
  // Some filesystems tell 0 for a link's size; one byte more shows that it was not cut.
  std::string text(std::max<uint64_t>(size + 1, 256), '\0');
  for (;;) {
    const ssize_t count = readlinkat(directory, name.c_str(), text.data(), text.size());
    if (count < 0) {
      // EINVAL: it is no link any more.
      if (has_vanished(errno) || errno == EINVAL) throw SourceChanged{path_ + name};
      fail_reading(errno, path_ + name);
    }
    if (static_cast<size_t>(count) < text.size()) {
      text.resize(static_cast<size_t>(count));
      return text;
    }
    text.resize(text.size() * 2);
  }
}

void Walker::add(Level& level, const std::string& name) {
  struct statx info {};
  if (statx(level.directory.get(), name.c_str(), AT_SYMLINK_NOFOLLOW, stat_mask, &info) != 0) {
    const int error_number = errno;
    if (error_number == ENOENT) {
      // Gone since it was listed. A directory would still be entered: then everything is looked
      // at once more.
      return;
    }
    fail_reading(error_number, path_ + name);
  }
  TreeEntry entry;
  switch (info.stx_mode & S_IFMT) {
    case S_IFREG:
      entry.type = EntryType::file;
      entry.size = info.stx_size;
      break;
    case S_IFDIR:
      if (info.stx_ino == store_.inode &&
          makedev(info.stx_dev_major, info.stx_dev_minor) == store_.device) {
        found_.warnings.push_back(
            fmt::format("{}: Slipway's own store, left out", printable(path_ + name)));
        return;
      }
      entry.type = EntryType::directory;
      break;
    case S_IFLNK:
      entry.type = EntryType::symlink;
      entry.link = read_link(level.directory.get(), name, info.stx_size);
      break;
    default:
      found_.warnings.push_back(
          fmt::format("{}: {}, left out", printable(path_ + name), special_kind(info.stx_mode)));
      return;
  }
  entry.path.reserve(path_.size() + name.size());
  entry.path = path_;
  entry.path += name;
  entry.mode =
      options_.normalise_modes ? normalised_mode(entry.type, info.stx_mode) : info.stx_mode & 07777;
  entry.mtime_ns = nanoseconds(info.stx_mtime);
  found_.identities.push_back({.size = info.stx_size,
                               .mtime_ns = entry.mtime_ns,
                               .ctime_ns = nanoseconds(info.stx_ctime),
                               .inode = info.stx_ino});
  found_.entries.push_back(std::move(entry));
}

}  // namespace

uint32_t normalised_mode(EntryType type, uint32_t mode) {
  switch (type) {
    case EntryType::directory:
      return 0755;
    case EntryType::symlink:
      return 0777;
    case EntryType::file:
      return (mode & 0100) != 0 ? 0755 : 0644;
  }
  return mode;
}

FileIdentity identity_of(const struct stat& info) {
  return {.size = static_cast<uint64_t>(info.st_size),
          .mtime_ns = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec,
          .ctime_ns = info.st_ctim.tv_sec * 1'000'000'000 + info.st_ctim.tv_nsec,
          .inode = info.st_ino};
}

WalkedSource walk_source(int root, const ScanOptions& options, const LeaveOut& store) {
  return Walker(options, store).run(root);
}

}  // namespace slipway::cache
