#include "cache/source_scan.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "cache/source_walk.h"
#include "cache/stat_cache.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

using archive::EntryType;
using archive::TreeEntry;

// Filesystem clocks tick in up to 2 s (FAT); a file changed within that of the scan could change
// again and keep its times.
constexpr int64_t racy_window_ns = 2'000'000'000;
// Two changes within one tick of the kernel's clock (10 ms at most) leave one ctime; a file is read
// only when its last change is further back, so that any later one shows.
constexpr int64_t tick_ns = 20'000'000;
constexpr int read_tries = 5, walk_tries = 3;
constexpr int retry_pause_ms = 20;
constexpr size_t read_buffer = 256 << 10;
// Fewer bytes are hashed sooner than threads are started.
constexpr uint64_t threads_from_bytes = 1 << 20;
constexpr unsigned threads_max = 8;

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

[[noreturn]] void fail_changed(const std::string& path) {
  throw Error(ExitCode::app_files,
              fmt::format("file '{}' changed while it was read", printable(path)))
      .set_hint("build again when nothing writes to the directory");
}

// Empty when it is gone. O_NONBLOCK: what was a file may be a FIFO by now, and opening that would
// wait for a writer.
Fd open_source_file(int root, const std::string& path) {
  Fd file = open_beneath_long(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (file || errno == ENOENT) return file;
  if (errno == ENOTDIR || errno == ELOOP || errno == EXDEV || errno == ENXIO)
    throw SourceChanged{path};
  Error error(ExitCode::app_files,
              fmt::format("cannot read '{}': {}", printable(path), std::strerror(errno)));
  throw error.set_hint("make it readable, or leave it out with .slugignore");
}

struct stat stat_file(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) fail_errno("stat {}", printable(path));
  if (!S_ISREG(info.st_mode)) throw SourceChanged{path};
  return info;
}

class SourceHasher {
 public:
  SourceHasher(int root, const ScanOptions& options, WalkedSource& source)
      : root_(root), options_(options), source_(source), vanished_(source.entries.size(), 0) {}

  /// Hashes the entries, and takes out those that are gone. The first failure is thrown when all
  /// threads have ended.
  void run(const std::vector<size_t>& indexes);
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  void work(const std::vector<size_t>& indexes);
  void hash(size_t index, std::string& buffer);
  uint64_t read_content(int fd, const std::string& path, uint64_t size, std::string& buffer,
                        Digest& digest);

  const int root_;
  const ScanOptions& options_;
  WalkedSource& source_;
  std::vector<char> vanished_;  ///< by entry; each written by one thread at most
  std::atomic<size_t> next_{0};
  std::atomic<uint64_t> bytes_read_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

void SourceHasher::run(const std::vector<size_t>& indexes) {
  uint64_t bytes = 0;
  for (const size_t index : indexes) bytes += source_.entries[index].size;
  // Opening a small file costs as much as reading 16 KiB of a large one.
  const bool parallel = bytes + indexes.size() * (16 << 10) > threads_from_bytes;
  const unsigned processors = std::clamp(std::thread::hardware_concurrency(), 1U, threads_max);
  const size_t threads = parallel ? std::min<size_t>(processors, indexes.size()) : 1;
  {
    std::vector<std::jthread> helpers;
    try {
      for (size_t i = 1; i < threads; ++i) helpers.emplace_back([&] { work(indexes); });
    } catch (const std::system_error&) {
      // No threads to spare on this machine: those that started do, or this one alone.
    }
    work(indexes);
  }
  if (failure_) std::rethrow_exception(failure_);
  if (std::find(vanished_.begin(), vanished_.end(), 1) == vanished_.end()) return;
  size_t kept = 0;
  for (size_t i = 0; i < source_.entries.size(); ++i) {
    if (vanished_[i] != 0) continue;
    if (kept != i) {
      source_.entries[kept] = std::move(source_.entries[i]);
      source_.identities[kept] = source_.identities[i];
    }
    ++kept;
  }
  source_.entries.resize(kept);
  source_.identities.resize(kept);
}

void SourceHasher::work(const std::vector<size_t>& indexes) {
  try {
    std::string buffer(read_buffer, '\0');
    for (size_t i = next_++; i < indexes.size() && !failed_; i = next_++) {
      if (options_.cancel != nullptr) options_.cancel->check();
      hash(indexes[i], buffer);
    }
  } catch (...) {
    const std::lock_guard guard(mutex_);
    if (!failure_) failure_ = std::current_exception();
    failed_ = true;
  }
}

uint64_t SourceHasher::read_content(int fd, const std::string& path, uint64_t size,
                                    std::string& buffer, Digest& digest) {
  Hasher hasher;
  uint64_t total = 0;
  // One byte more than the size is asked for, so that growth shows; an endless file ends here too.
  while (total <= size) {
    if (options_.cancel != nullptr) options_.cancel->check();
    const ssize_t count = read(fd, buffer.data(), buffer.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      fail(ExitCode::app_files, "cannot read '{}': {}", printable(path), std::strerror(errno));
    }
    if (count == 0) break;
    hasher.update(buffer.data(), static_cast<size_t>(count));
    total += static_cast<uint64_t>(count);
    if (total == size && static_cast<size_t>(count) < buffer.size()) break;
  }
  digest = hasher.finish();
  bytes_read_ += total;
  return total;
}

void SourceHasher::hash(size_t index, std::string& buffer) {
  TreeEntry& entry = source_.entries[index];
  for (int attempt = 0; attempt < read_tries; ++attempt) {
    if (attempt > 0) (void)poll(nullptr, 0, retry_pause_ms << attempt);
    const Fd file = open_source_file(root_, entry.path);
    if (!file) {
      // Gone since it was listed, like an editor's scratch file: left out.
      vanished_[index] = 1;
      return;
    }
    const struct stat before = stat_file(file.get(), entry.path);
    const int64_t age_ns = now_ns() - identity_of(before).ctime_ns;
    if (age_ns >= 0 && age_ns < tick_ns) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(tick_ns - age_ns));
      if (identity_of(stat_file(file.get(), entry.path)) != identity_of(before)) continue;
    }
    const auto size = static_cast<uint64_t>(before.st_size);
    Digest digest;
    const uint64_t total = read_content(file.get(), entry.path, size, buffer, digest);
    const FileIdentity after = identity_of(stat_file(file.get(), entry.path));
    if (total != size || after != identity_of(before)) continue;
    // What was read is what is described, also when it is newer than what the walk saw.
    entry.size = size;
    entry.mtime_ns = after.mtime_ns;
    entry.digest = digest;
    if (options_.normalise_modes)
      entry.mode = normalised_mode(EntryType::file, before.st_mode);
    else
      entry.mode = before.st_mode & 07777;
    source_.identities[index] = after;
    return;
  }
  fail_changed(entry.path);
}

std::string cache_name(const std::string& root_path) {
  return hash_bytes(root_path).hex();
}

std::shared_ptr<const StatCache> load_cache(Store::State& state, const std::string& root_path) {
  {
    const std::lock_guard guard(state.scans_mutex);
    const auto known = state.scans.find(root_path);
    if (known != state.scans.end()) return known->second;
  }
  const Fd file =
      open_at_if_exists(state.stats.get(), cache_name(root_path), O_RDONLY | O_NOFOLLOW);
  if (!file) return nullptr;
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat a stat cache");
  // gc goes by the file's age, and an unchanged source never writes it.
  if (info.st_mtime + 24 * 3600 < now_seconds()) (void)futimens(file.get(), nullptr);
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  read_exact(file.get(), bytes.data(), bytes.size());
  return StatCache::parse(std::move(bytes), root_path);
}

// Not synced: after a power cut its checksum tells, and everything is hashed once more.
void save_cache(Store::State& state, const std::string& root_path, const StatCache& cache) {
  TempFile file(state.tmp.get());
  write_all(file.fd(), cache.bytes());
  file.publish(state.stats.get(), cache_name(root_path));
}

// ctime cannot be set back by anybody, mtime can (so a time in the future is believed).
bool is_settled(const FileIdentity& identity, int64_t started_ns) {
  const int64_t apart = identity.mtime_ns - started_ns;
  const bool mtime_near = apart > -racy_window_ns && apart < racy_window_ns;
  return !mtime_near && identity.ctime_ns < started_ns - racy_window_ns;
}

/// Fills in the digests that the cache knows; returns the entries it does not.
struct Matched {
  std::vector<size_t> unknown;
  bool same = true;  ///< the cache says exactly what a new one would
};
Matched match(WalkedSource& source, const StatCache* cache) {
  Matched matched;
  size_t place = 0, used = 0;
  const size_t count = cache != nullptr ? cache->size() : 0;
  for (size_t i = 0; i < source.entries.size(); ++i) {
    TreeEntry& entry = source.entries[i];
    // A socket stands for an empty file: there is nothing to read.
    if (entry.type != EntryType::file || entry.digest) continue;
    bool known = false;
    for (; place < count; ++place) {
      const StatRecord record = cache->at(place);
      const int order = record.path.compare(entry.path);
      if (order > 0) break;
      if (order < 0) continue;
      known = record.trusted && record.identity == source.identities[i];
      if (known) entry.digest = record.digest;
      ++used;
      ++place;
      break;
    }
    if (!known) matched.unknown.push_back(i);
  }
  matched.same = matched.unknown.empty() && used == count && cache != nullptr;
  return matched;
}

std::shared_ptr<const StatCache> build_cache(const std::string& root_path,
                                             const WalkedSource& source, int64_t started_ns) {
  StatCacheBuilder builder(root_path);
  size_t path_bytes = 0;
  for (const TreeEntry& entry : source.entries) path_bytes += entry.path.size();
  builder.reserve(source.entries.size(), path_bytes);
  for (size_t i = 0; i < source.entries.size(); ++i) {
    const TreeEntry& entry = source.entries[i];
    if (entry.type != EntryType::file) continue;
    builder.add({.path = entry.path,
                 .identity = source.identities[i],
                 .digest = entry.digest,
                 .trusted = is_settled(source.identities[i], started_ns)});
  }
  return builder.finish();
}

ScannedSource scan_once(Store::State& state, const std::string& root_path, int root,
                        const ScanOptions& options) {
  struct stat store {};
  if (fstat(state.layout.fd.get(), &store) != 0) fail_errno("stat the store");
  // Before anything is looked at: what changes from here on has a later ctime.
  const int64_t started_ns = now_ns();
  WalkedSource source = walk_source(root, options, {.device = store.st_dev, .inode = store.st_ino});
  std::shared_ptr<const StatCache> cache = load_cache(state, root_path);
  const Matched matched = match(source, cache.get());
  SourceHasher hasher(root, options, source);
  hasher.run(matched.unknown);
  ScannedSource scanned;
  if (!matched.same) {
    cache = build_cache(root_path, source, started_ns);
    try {
      save_cache(state, root_path, *cache);
    } catch (const Error& error) {
      // The build goes on; the next one hashes again.
      source.warnings.push_back(fmt::format("the stat cache was not written: {}", error.what()));
    }
  }
  {
    const std::lock_guard guard(state.scans_mutex);
    state.scans[root_path] = cache;
  }
  scanned.tree.entries = std::move(source.entries);
  scanned.warnings = std::move(source.warnings);
  scanned.bytes_read = hasher.bytes_read();
  return scanned;
}

}  // namespace

ScannedSource scan_source(Store& store, const std::string& root_path, int root,
                          const ScanOptions& options) {
  for (int attempt = 1;; ++attempt) {
    try {
      return scan_once(store.state(), root_path, root, options);
    } catch (const SourceChanged& changed) {
      if (attempt == walk_tries) fail_changed(changed.path);
    }
    (void)poll(nullptr, 0, retry_pause_ms);
  }
}

Fd open_scanned(Store& store, const std::string& root_path, int root, const TreeEntry& entry) {
  SLIPWAY_CHECK(entry.type == EntryType::file);
  const auto cache = load_cache(store.state(), root_path);
  const auto record = cache ? cache->find(entry.path) : std::nullopt;
  try {
    Fd file = open_source_file(root, entry.path);
    if (!file) fail_changed(entry.path);
    const FileIdentity identity = identity_of(stat_file(file.get(), entry.path));
    // Another scan of this root (with other ignore rules) may have taken the record's place; the
    // listing itself then says when the file was written.
    const bool same = record && record->digest == entry.digest
                          ? record->identity == identity
                          : identity.size == entry.size && identity.mtime_ns == entry.mtime_ns;
    if (!same) fail_changed(entry.path);
    return file;
  } catch (const SourceChanged&) {
    fail_changed(entry.path);
  }
}

}  // namespace slipway::cache
