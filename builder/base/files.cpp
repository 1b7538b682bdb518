#include "base/files.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/digest.h"
#include "base/error.h"

namespace slipway {
namespace {

struct DirCloser {
  void operator()(DIR* dir) const { closedir(dir); }
};

std::string random_suffix() {
  return to_hex(random_bytes(8));
}

void sync_directory(const fs::path& directory) {
  const Fd fd = open_file(directory.empty() ? "." : directory.string(), O_RDONLY | O_DIRECTORY);
  if (fsync(fd.get()) != 0) fail_errno("fsync {}", directory.string());
}

// Unlinks everything below an open directory; depth is bounded by the descriptors we may hold, so
// deep trees are walked with one descriptor per level and no recursion limit of our own.
void remove_contents(int dir, dev_t device) {
  struct stat own {};
  if (fstat(dir, &own) != 0) fail_errno("stat");
  // Go's module cache is 0555; a directory must be writable before its entries can go.
  if ((own.st_mode & 0700) != 0700) (void)fchmod(dir, (own.st_mode & 07777) | 0700);
  for (const std::string& name : list_directory(dir)) {
    if (unlinkat(dir, name.c_str(), 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) {
      if (errno == ENOENT) continue;
      fail_errno("remove {}", name);
    }
    const auto info = stat_at(dir, name);
    if (!info) continue;
    if (!S_ISDIR(info->st_mode)) {
      errno = EPERM;
      fail_errno("remove {}", name);
    }
    if (info->st_dev != device) fail(ExitCode::machine, "remove {}: is a mount point", name);
    if ((info->st_mode & 0700) != 0700)
      (void)fchmodat(dir, name.c_str(), (info->st_mode & 07777) | 0700, 0);
    {
      const Fd child = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      remove_contents(child.get(), device);
    }
    if (unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      fail_errno("remove {}", name);
  }
}

}  // namespace

std::string read_file(const fs::path& path, size_t limit_bytes) {
  const Fd fd = open_file(path.string(), O_RDONLY);
  try {
    return read_all(fd.get(), limit_bytes);
  } catch (Error& error) {
    throw error.add_context(path.string());
  }
}

std::optional<std::string> read_file_if_exists(const fs::path& path, size_t limit_bytes) {
  const Fd fd = open_at_if_exists(AT_FDCWD, path.string(), O_RDONLY);
  if (!fd) return std::nullopt;
  try {
    return read_all(fd.get(), limit_bytes);
  } catch (Error& error) {
    throw error.add_context(path.string());
  }
}

void write_file_atomic(const fs::path& path, std::string_view data, mode_t mode) {
  AtomicFile file(path, mode);
  write_all(file.fd(), data);
  file.commit();
}

void make_directories(const fs::path& path, mode_t mode) {
  fs::path done;
  for (const fs::path& part : path) {
    done /= part;
    if (mkdir(done.c_str(), mode) != 0 && errno != EEXIST) {
      if (errno == EROFS || errno == EACCES) {
        const int saved = errno;
        if (access(done.c_str(), F_OK) == 0) continue;
        fail_errno_text(saved, "create directory " + done.string());
      }
      fail_errno("create directory {}", done.string());
    }
  }
}

AtomicFile::AtomicFile(fs::path target, mode_t mode)
    : target_(std::move(target)),
      temporary_(target_.parent_path() / fmt::format(".{}.{}.tmp",
                                                     target_.filename().string().substr(0, 80),
                                                     random_suffix())) {
  fd_ = open_file(temporary_.string(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

AtomicFile::~AtomicFile() {
  if (fd_) ::unlink(temporary_.c_str());
}

void AtomicFile::commit() {
  if (fsync(fd_.get()) != 0) fail_errno("write {}", target_.string());
  if (rename(temporary_.c_str(), target_.c_str()) != 0) fail_errno("write {}", target_.string());
  fd_.reset();
  sync_directory(target_.parent_path());
}

TempDir TempDir::create(const std::string& prefix, const fs::path& parent) {
  fs::path base = parent;
  if (base.empty()) {
    const char* variable = std::getenv("TMPDIR");
    base = variable != nullptr && *variable != '\0' ? variable : "/tmp";
  }
  for (;;) {
    fs::path path = base / fmt::format("{}-{}", prefix, random_suffix());
    if (mkdir(path.c_str(), 0700) != 0) {
      if (errno != EEXIST) fail_errno("create a temporary directory in {}", base.string());
      continue;
    }
    // Only a parent of the caller's is swept; elsewhere the folder's own lock is for its users.
    if (parent.empty()) return {std::move(path), Fd()};
    Fd lock(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // A sweep of the parent may have come before the lock.
    if (!lock) continue;
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
    struct stat held {
    }, named{};
    if (fstat(lock.get(), &held) != 0) fail_errno("stat {}", path.string());
    if (stat(path.c_str(), &named) != 0 || named.st_ino != held.st_ino) continue;
    return {std::move(path), std::move(lock)};
  }
}

TempDir::~TempDir() {
  if (path_.empty()) return;
  try {
    remove_tree(path_);
  } catch (const std::exception&) {
    // Nothing is lost: the name is recognisable and swept later.
  }
}

std::vector<std::string> list_directory(int dir) {
  // A descriptor of its own: readdir moves the offset of the shared description.
  Fd own = open_at(dir, ".", O_RDONLY | O_DIRECTORY);
  std::unique_ptr<DIR, DirCloser> stream(fdopendir(own.get()));
  if (!stream) fail_errno("list a directory");
  (void)own.release();
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) fail_errno("list a directory");
      break;
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<struct stat> stat_at(int dir, const std::string& name) {
  struct stat info {};
  if (fstatat(dir, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) return info;
  if (errno != ENOENT && errno != ENOTDIR) fail_errno("stat {}", name);
  return std::nullopt;
}

void remove_tree_at(int dir, const std::string& name) {
  const auto info = stat_at(dir, name);
  if (!info) return;
  if (S_ISDIR(info->st_mode)) {
    if ((info->st_mode & 0700) != 0700) (void)fchmodat(dir, name.c_str(), 0700, 0);
    const Fd child = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    remove_contents(child.get(), info->st_dev);
    if (unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      fail_errno("remove {}", name);
  } else if (unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT) {
    fail_errno("remove {}", name);
  }
}

void remove_tree(const fs::path& path) {
  remove_tree_at(AT_FDCWD, path.string());
}

}  // namespace slipway
