#include "cache/leases.h"

#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>

#include "base/cancel.h"
#include "base/error.h"
#include "base/files.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

// Longest pause between two tries for a lock; short enough not to be felt, and no thread has to
// sleep in flock() where no cancel reaches it.
constexpr int lock_poll_ms_max = 50;

bool take_lock(int fd, bool wait) {
  for (;;) {
    if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) fail_errno("lock a file of the store");
  }
}

// A sweep may have unlinked the file between our open and our lock.
bool still_named(int directory, const std::string& name, int fd) {
  struct stat mine {};
  if (fstat(fd, &mine) != 0) fail_errno("stat {}", name);
  const auto named = stat_at(directory, name);
  return named && named->st_ino == mine.st_ino && named->st_dev == mine.st_dev;
}

Fd duplicate(int fd) {
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) fail_errno("duplicate a descriptor");
  return Fd(copy);
}

std::pair<std::string, Fd> create_locked(int directory, const std::function<std::string()>& name) {
  for (;;) {
    std::string candidate = name();
    const int fd = openat(directory, candidate.c_str(),
                          O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_APPEND, 0600);
    if (fd < 0) {
      if (errno == EEXIST) continue;
      fail_errno("create a file in the store");
    }
    Fd file(fd);
    if (fchmod(fd, 0600) != 0) fail_errno("chmod a file of the store");
    take_lock(fd, true);
    if (still_named(directory, candidate, fd)) return {std::move(candidate), std::move(file)};
  }
}

uint64_t parse_number(std::string_view text) {
  uint64_t value = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void add_line(Leased& leased, std::string_view line) {
  if (line.size() < 3 || line[1] != ' ') return;
  const std::string_view item = line.substr(2);
  switch (static_cast<LeaseItem>(line[0])) {
    case LeaseItem::snapshot:
      leased.snapshots.insert(parse_number(item));
      break;
    case LeaseItem::pack:
      leased.packs.insert(parse_number(item));
      break;
    case LeaseItem::artifact:
      leased.artifacts.insert(Digest::from_hex(item));
      break;
    case LeaseItem::tree:
      leased.trees.insert(Digest::from_hex(item));
      break;
    case LeaseItem::chunk:
      leased.chunks.insert(Digest::from_hex(item));
      break;
    case LeaseItem::blob:
      leased.blobs.emplace(item);
      break;
  }
}

}  // namespace

LeaseFile::LeaseFile(int directory, const std::string& process) : directory_(duplicate(directory)) {
  static std::atomic<uint64_t> counter{0};
  std::tie(name_, file_) =
      create_locked(directory, [&] { return fmt::format("{}-{}", process, ++counter); });
}

LeaseFile::~LeaseFile() {
  (void)unlinkat(directory_.get(), name_.c_str(), 0);
}

void LeaseFile::add(LeaseItem kind, std::string_view item) {
  std::string line;
  line += static_cast<char>(kind);
  line += ' ';
  line += item;
  line += '\n';
  const std::lock_guard guard(mutex_);
  const auto [position, added] = items_.insert(line);
  if (!added) return;
  try {
    write_all(file_.get(), line);
  } catch (...) {
    items_.erase(position);
    throw;
  }
}

Leased read_leases(int directory, const std::string& process) {
  Leased leased;
  for (const std::string& name : list_directory(directory)) {
    const Fd file = open_at_if_exists(directory, name, O_RDWR | O_NOFOLLOW);
    if (!file) continue;
    if (take_lock(file.get(), false)) {
      if (still_named(directory, name, file.get())) (void)unlinkat(directory, name.c_str(), 0);
      continue;
    }
    if (name.compare(0, process.size(), process) != 0) leased.other_processes = true;
    const std::string text = read_all(file.get());
    for (size_t start = 0;;) {
      const size_t end = text.find('\n', start);
      if (end == std::string::npos) break;
      add_line(leased, std::string_view(text).substr(start, end - start));
      start = end + 1;
    }
  }
  return leased;
}

TempFile::TempFile(int directory) : directory_(duplicate(directory)) {
  std::tie(name_, file_) = create_locked(directory, [] { return to_hex(random_bytes(8)); });
}

TempFile::~TempFile() {
  if (file_ && !name_.empty()) (void)unlinkat(directory_.get(), name_.c_str(), 0);
}

void TempFile::publish(int directory, const std::string& name) {
  if (renameat(directory_.get(), name_.c_str(), directory, name.c_str()) != 0)
    fail_errno("publish {}", name);
  name_.clear();
}

void sweep_unlocked(int directory) {
  for (const std::string& name : list_directory(directory)) {
    const Fd file = open_at_if_exists(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file || !take_lock(file.get(), false)) continue;
    if (still_named(directory, name, file.get())) remove_tree_at(directory, name);
  }
}

Fd try_lock_file(int directory, const std::string& name) {
  for (;;) {
    Fd file = open_at(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (!take_lock(file.get(), false)) return Fd();
    if (still_named(directory, name, file.get())) return file;
  }
}

Lease::Lease(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&&) noexcept = default;
Lease::~Lease() = default;
void Lease::protect_snapshot(SnapshotId id) {
  if (id != 0) state_->file.add(LeaseItem::snapshot, std::to_string(id));
}
void Lease::protect_artifact(const Digest& id) {
  state_->file.add(LeaseItem::artifact, id.hex());
}
void Lease::protect_blob(const std::string& sha256) {
  check_sha256(sha256);
  state_->file.add(LeaseItem::blob, sha256);
}

Lease Store::lease() {
  return Lease(std::make_unique<Lease::State>(state_->leases.get(), state_->process));
}

std::optional<Lock> Store::try_lock(const std::string& name) {
  // Names hold what users typed (cache ids, apps): hashed, they are neither paths nor too long.
  Fd file = try_lock_file(state_->locks.get(), hash_bytes(name).hex());
  if (!file) return std::nullopt;
  return Lock(std::move(file));
}

Lock Store::lock(const std::string& name, Cancel* cancel, const std::function<void()>& on_wait) {
  for (int pause_ms = 1, tries = 0;; ++tries) {
    if (cancel != nullptr) cancel->check();
    if (auto lock = try_lock(name)) return std::move(*lock);
    if (tries == 0 && on_wait) on_wait();
    pollfd event{cancel != nullptr ? cancel->fd() : -1, POLLIN, 0};
    if (poll(&event, 1, pause_ms) < 0 && errno != EINTR) fail_errno("wait for a lock");
    pause_ms = std::min(pause_ms * 2, lock_poll_ms_max);
  }
}

}  // namespace slipway::cache
