// What is remembered of a source directory between scans: for every file who it was (size, mtime,
// ctime, inode) and the digest its content had. One file a source root, read and written as a
// whole: 20,000 rows of SQL would take longer than hashing many of the files.
//
//   cache  = "slipway-stat 1\n" "\0" crc32:u32 root_size:u32 count:u64 root:bytes record*
//   record = path_size:u32 flags:u32 size:u64 mtime_ns:i64 ctime_ns:i64 inode:u64
//            digest:32 bytes path:bytes
//
// Numbers are in the machine's order; crc32 covers what follows it; records are sorted by path. A
// file that does not read well is no cache: everything is hashed again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace slipway::cache {

/// Who a file is: when none of this changed, its content did not (but see `trusted`).
struct FileIdentity {
  uint64_t size = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;
  uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

struct StatRecord {
  std::string_view path;
  FileIdentity identity;
  Digest digest;
  /// False for a file touched so shortly before the scan that a later change may carry the same
  /// times: it is read again next time, like git's racy entries.
  bool trusted = false;
};

/// Immutable; may be shared among threads.
class StatCache {
 public:
  /// nullptr when the bytes are not a cache of this root.
  static std::shared_ptr<const StatCache> parse(std::string bytes, const std::string& root_path);
  size_t size() const { return offsets_.size(); }
  StatRecord at(size_t index) const;
  /// nullopt when absent.
  std::optional<StatRecord> find(std::string_view path) const;
  const std::string& bytes() const { return bytes_; }

 private:
  StatCache() = default;
  std::string bytes_;
  std::vector<size_t> offsets_;
};

/// Records are added in the order of their paths.
class StatCacheBuilder {
 public:
  explicit StatCacheBuilder(const std::string& root_path);
  void reserve(size_t records, size_t path_bytes);
  void add(const StatRecord& record);
  std::shared_ptr<const StatCache> finish();

 private:
  std::string root_path_;
  std::string bytes_;
  uint64_t count_ = 0;
};

}  // namespace slipway::cache
