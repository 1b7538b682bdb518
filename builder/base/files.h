// Whole-file helpers for Slipway's own files: atomic publishing, temporary directories, trees.
// Untrusted trees are walked by descriptor only, links are never followed.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace slipway {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path, size_t limit_bytes = SIZE_MAX);
/// Empty when the file (or its folder) does not exist.
std::optional<std::string> read_file_if_exists(const fs::path& path, size_t limit_bytes = SIZE_MAX);
/// Write beside, fsync, rename: readers see the old file or the new one.
void write_file_atomic(const fs::path& path, std::string_view data, mode_t mode = 0644);
void make_directories(const fs::path& path, mode_t mode = 0755);

/// A file that appears under its name only by commit(); otherwise it is removed.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path target, mode_t mode = 0644);
  AtomicFile(AtomicFile&&) noexcept = default;
  ~AtomicFile();
  int fd() const { return fd_.get(); }
  const fs::path& target() const { return target_; }
  /// Flushes and renames over the target.
  void commit();

 private:
  fs::path target_;
  fs::path temporary_;
  Fd fd_;
};

/// A directory (0700) that is removed with all it holds, unless keep() was called. Below a
/// given parent it is locked (flock) while it lives, so that who tidies the parent can tell it from
/// a killed process's.
class TempDir {
 public:
  /// Below `parent`, else below $TMPDIR or /tmp.
  static TempDir create(const std::string& prefix, const fs::path& parent = {});
  TempDir(TempDir&& other) noexcept
      : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  TempDir& operator=(TempDir&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(lock_, other.lock_);
    return *this;
  }
  ~TempDir();
  const fs::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  TempDir(fs::path path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  fs::path path_;
  Fd lock_;
};

/// Names in an open directory, without "." and "..", sorted bytewise.
std::vector<std::string> list_directory(int dir);
/// Removes name below dir with all it holds; makes read-only directories writable first (CACHE-5),
/// never follows a link, never leaves the filesystem. Missing = done.
void remove_tree_at(int dir, const std::string& name);
void remove_tree(const fs::path& path);

/// fstatat without following links; empty when it does not exist.
std::optional<struct stat> stat_at(int dir, const std::string& name);

}  // namespace slipway
