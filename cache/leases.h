// Files that only a living process holds. Their lock (flock) ends with the process, so what a
// killed one left behind is told apart from work in progress without clocks or pids.
//
//   leases/<process>-<n>   one item a line: "<kind> <item>\n"; written by single appends, so a
//                          reader sees whole lines and leaves out an unfinished last one
//   tmp/<random>           a file on its way to its name
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/fd.h"

namespace slipway::cache {

enum class LeaseItem : char {
  snapshot = 's',  ///< number; its chain is protected with it
  artifact = 'a',
  blob = 'b',  ///< SHA-256
  tree = 't',
  chunk = 'c',
  pack = 'p',  ///< number; a pack being written
};

/// One lease; removed when it goes out of scope. Thread-safe.
class LeaseFile {
 public:
  /// `directory` is leases/, `process` the token of this store object.
  LeaseFile(int directory, const std::string& process);
  LeaseFile(const LeaseFile&) = delete;
  LeaseFile& operator=(const LeaseFile&) = delete;
  ~LeaseFile();
  /// Does nothing when the item is in it already.
  void add(LeaseItem kind, std::string_view item);

 private:
  Fd directory_;
  std::string name_;
  Fd file_;
  std::mutex mutex_;
  std::set<std::string> items_;
};

/// What all living leases hold.
struct Leased {
  std::set<uint64_t> snapshots, packs;
  std::set<Digest> artifacts, trees, chunks;
  std::set<std::string> blobs;
  bool other_processes = false;  ///< some lease is not of `process`
};
/// Reads leases/ and removes those whose process is gone. The caller holds the gate exclusively
/// when it is going to act on the answer.
Leased read_leases(int directory, const std::string& process);

/// A new file in tmp/, locked; removed unless it was published.
class TempFile {
 public:
  explicit TempFile(int directory);
  TempFile(TempFile&&) noexcept = default;
  TempFile& operator=(TempFile&&) = delete;
  ~TempFile();
  int fd() const { return file_.get(); }
  /// Renames over `name` in `directory`; syncs nothing.
  void publish(int directory, const std::string& name);

 private:
  Fd directory_;
  std::string name_;
  Fd file_;
};

/// Removes the files and folders of `directory` that nobody holds locked.
void sweep_unlocked(int directory);

/// Opens (creates) `name` and locks it, or returns an empty Fd when another holds it. The file
/// locked is the one that has the name, even while sweep_unlocked() runs.
Fd try_lock_file(int directory, const std::string& name);

}  // namespace slipway::cache
