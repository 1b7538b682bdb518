#include "cache/source_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "base/text.h"

namespace slipway::cache {
namespace {

using archive::EntryType;
using archive::TreeEntry;

constexpr size_t listing_buffer = 256 << 10;
// Helpers start when so many folders wait; below that they cost more than they save.
constexpr size_t helpers_from_folders = 16;
constexpr size_t threads_max = 4;
constexpr size_t path_piece_max = 4000;  // PATH_MAX without its end
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

/// A folder and what stands directly in it. Folders are opened by their path from the root, so
/// that neither the depth nor the number of waiting folders is bounded by descriptors.
struct Folder {
  explicit Folder(std::string where) : path(std::move(where)) {}
  std::string path;  ///< "" = the root
  std::vector<TreeEntry> entries;
  std::vector<FileIdentity> identities;
  std::vector<std::string> warnings;
  struct Child {
    size_t position;  ///< it stands before entries[position]
    Folder* folder;
  };
  std::vector<Child> children;
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
  Walker(int root, const ScanOptions& options, const LeaveOut& store)
      : root_(root), options_(options), store_(store) {}
  WalkedSource run();

 private:
  Folder* new_folder(std::string path);
  void work(bool may_start_helpers);
  void start_helpers();
  void walk(Folder& folder, std::string& buffer);
  std::vector<Item> read_names(int directory, const std::string& prefix, std::string& buffer);
  void add(Folder& folder, int directory, const std::string& prefix, const std::string& name);
  std::string read_link(int directory, const std::string& path, const std::string& name,
                        uint64_t size);
  WalkedSource flatten(Folder* root);

  const int root_;
  const ScanOptions& options_;
  const LeaveOut store_;
  std::mutex ignored_mutex_;  ///< the caller's function is called by one thread at a time

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Folder> folders_;    ///< all; addresses stay
  std::vector<Folder*> waiting_;  ///< last in, first out: memory stays near one branch's
  size_t under_way_ = 0;
  std::exception_ptr failure_;
  std::vector<std::jthread> helpers_;
};

WalkedSource Walker::run() {
  Folder* root = new_folder("");
  work(true);
  helpers_.clear();
  if (failure_) std::rethrow_exception(failure_);
  return flatten(root);
}

Folder* Walker::new_folder(std::string path) {
  const std::lock_guard guard(mutex_);
  Folder* folder = &folders_.emplace_back(std::move(path));
  waiting_.push_back(folder);
  changed_.notify_one();
  return folder;
}

// The caller holds the lock. A machine without threads to spare walks with one.
void Walker::start_helpers() {
  const size_t threads = std::min<size_t>(std::thread::hardware_concurrency(), threads_max);
  try {
    for (size_t i = 1; i < threads; ++i) helpers_.emplace_back([this] { work(false); });
  } catch (const std::system_error&) {
    return;
  }
}

void Walker::work(bool may_start_helpers) {
  std::string buffer(listing_buffer, '\0');
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return failure_ || !waiting_.empty() || under_way_ == 0; });
    if (failure_ || waiting_.empty()) break;
    if (may_start_helpers && waiting_.size() >= helpers_from_folders) {
      may_start_helpers = false;
      start_helpers();
    }
    Folder* folder = waiting_.back();
    waiting_.pop_back();
    ++under_way_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      walk(*folder, buffer);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    --under_way_;
    if (failure && !failure_) failure_ = failure;
  }
  changed_.notify_all();
}

void Walker::walk(Folder& folder, std::string& buffer) {
  if (options_.cancel != nullptr) options_.cancel->check();
  const Fd directory = folder.path.empty() ? open_at(root_, ".", O_RDONLY | O_DIRECTORY)
                                           : open_beneath_long(root_, folder.path,
                                                               O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) {
    const int error_number = errno;
    if (has_vanished(error_number)) throw SourceChanged{folder.path};
    fail_reading(error_number, folder.path);
  }
  struct stat info {};
  if (fstat(directory.get(), &info) != 0) fail_errno("stat {}", printable(folder.path));
  if (info.st_ino == store_.inode && info.st_dev == store_.device) return;
  const std::string prefix = folder.path.empty() ? "" : folder.path + '/';
  const std::vector<Item> items = read_names(directory.get(), prefix, buffer);
  folder.entries.reserve(items.size());
  folder.identities.reserve(items.size());
  for (const Item& item : items) {
    if (item.enter)
      folder.children.push_back(
          {folder.entries.size(), new_folder(prefix + item.name.substr(0, item.name.size() - 1))});
    else
      add(folder, directory.get(), prefix, item.name);
  }
}

std::vector<Item> Walker::read_names(int directory, const std::string& prefix,
                                     std::string& buffer) {
  std::vector<Item> items;
  for (;;) {
    const long count = syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail_reading(errno, prefix.empty() ? "." : prefix);
    }
    if (count == 0) break;
    for (long at = 0; at < count;) {
      const auto* entry = reinterpret_cast<const KernelDirent*>(buffer.data() + at);
      at += entry->d_reclen;
      const char* name = entry->d_name;
      if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'))) continue;
      bool is_directory = entry->d_type == DT_DIR;
      if (entry->d_type == DT_UNKNOWN) {
        struct stat info {};
        if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
          if (has_vanished(errno)) continue;
          fail_reading(errno, prefix + name);
        }
        is_directory = S_ISDIR(info.st_mode);
      }
      items.push_back({name, is_directory});
    }
  }
  if (options_.ignored) {
    const std::lock_guard guard(ignored_mutex_);
    std::erase_if(
        items, [&](const Item& item) { return options_.ignored(prefix + item.name, item.enter); });
  }
  const size_t names = items.size();
  for (size_t i = 0; i < names; ++i) {
    if (!items[i].enter) continue;
    items[i].enter = false;
    items.push_back({items[i].name + '/', true});
  }
  std::sort(items.begin(), items.end(),
            [](const Item& left, const Item& right) { return left.name < right.name; });
  return items;
}

// Depth first without recursion: a hostile tree may be deeper than our stack.
WalkedSource Walker::flatten(Folder* root) {
  WalkedSource all;
  size_t count = 0;
  for (const Folder& folder : folders_) count += folder.entries.size();
  all.entries.reserve(count);
  all.identities.reserve(count);
  struct Place {
    Folder* folder;
    size_t entry = 0, child = 0;
  };
  std::vector<Place> stack = {{root}};
  while (!stack.empty()) {
    Place& place = stack.back();
    Folder& folder = *place.folder;
    const bool more = place.child < folder.children.size();
    const size_t end = more ? folder.children[place.child].position : folder.entries.size();
    for (; place.entry < end; ++place.entry) {
      all.entries.push_back(std::move(folder.entries[place.entry]));
      all.identities.push_back(folder.identities[place.entry]);
    }
    if (more) {
      stack.push_back({folder.children[place.child++].folder});
    } else {
      for (std::string& warning : folder.warnings) all.warnings.push_back(std::move(warning));
      stack.pop_back();
    }
  }
  std::sort(all.warnings.begin(), all.warnings.end());
  return all;
}

std::string Walker::read_link(int directory, const std::string& path, const std::string& name,
                              uint64_t size) {
  // Some filesystems tell 0 for a link's size; one byte more shows that it was not cut.
  std::string text(std::max<uint64_t>(size + 1, 256), '\0');
  for (;;) {
    const ssize_t count = readlinkat(directory, name.c_str(), text.data(), text.size());
    if (count < 0) {
      // EINVAL: it is no link any more.
      if (has_vanished(errno) || errno == EINVAL) throw SourceChanged{path};
      fail_reading(errno, path);
    }
    if (static_cast<size_t>(count) < text.size()) {
      text.resize(static_cast<size_t>(count));
      return text;
    }
    text.resize(text.size() * 2);
  }
}

void Walker::add(Folder& folder, int directory, const std::string& prefix,
                 const std::string& name) {
  struct statx info {};
  if (statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW, stat_mask, &info) != 0) {
    const int error_number = errno;
    if (error_number == ENOENT) {
      // Gone since it was listed. A directory would still be entered: then everything is looked
      // at once more.
      return;
    }
    fail_reading(error_number, prefix + name);
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
        folder.warnings.push_back(
            fmt::format("{}: Slipway's own store, left out", printable(prefix + name)));
        return;
      }
      entry.type = EntryType::directory;
      break;
    case S_IFLNK:
      entry.type = EntryType::symlink;
      entry.link = read_link(directory, prefix + name, name, info.stx_size);
      break;
    default:
      if (options_.sockets_as_files && S_ISSOCK(info.stx_mode)) {
        entry.type = EntryType::file;
        entry.digest = hash_bytes("");
        break;
      }
      folder.warnings.push_back(
          fmt::format("{}: {}, left out", printable(prefix + name), special_kind(info.stx_mode)));
      return;
  }
  entry.path.reserve(prefix.size() + name.size());
  entry.path = prefix;
  entry.path += name;
  entry.mode =
      options_.normalise_modes ? normalised_mode(entry.type, info.stx_mode) : info.stx_mode & 07777;
  entry.mtime_ns = nanoseconds(info.stx_mtime);
  folder.identities.push_back({.size = info.stx_size,
                               .mtime_ns = entry.mtime_ns,
                               .ctime_ns = nanoseconds(info.stx_ctime),
                               .inode = info.stx_ino});
  folder.entries.push_back(std::move(entry));
}

}  // namespace

Fd open_beneath_long(int root, const std::string& path, int flags) {
  Fd directory;
  size_t start = 0;
  while (path.size() - start > path_piece_max) {
    const size_t end = path.rfind('/', start + path_piece_max);
    if (end == std::string::npos || end <= start) {
      errno = ENAMETOOLONG;
      return Fd();
    }
    directory =
        try_open_beneath(directory ? directory.get() : root, path.substr(start, end - start),
                         O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!directory) return Fd();
    start = end + 1;
  }
  return try_open_beneath(directory ? directory.get() : root, path.substr(start),
                          flags | O_NOFOLLOW);
}

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
  return Walker(root, options, store).run();
}

}  // namespace slipway::cache
