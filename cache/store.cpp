#include "cache/store.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/files.h"
#include "cache/gc.h"
#include "cache/schema.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

// Without /proc a restart cannot be told from none: a token of its own makes every open treat
// what was not synced as lost, which is slow and safe.
std::string read_boot_id() {
  const auto id = read_file_if_exists("/proc/sys/kernel/random/boot_id", 100);
  return id && !id->empty() ? *id : to_hex(random_bytes(16));
}

Fd open_directory(const Store::State& state, const char* name) {
  return open_at(state.layout.fd.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

void open_directories(Store::State& state) {
  state.gate = open_at(state.layout.fd.get(), "gate", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
  state.leases = open_directory(state, "leases");
  state.locks = open_directory(state, "locks");
  state.tmp = open_directory(state, "tmp");
  state.trees = open_directory(state, "trees");
  state.packs = open_directory(state, "packs");
  state.blobs = open_directory(state, "blobs/sha256");
  state.snapshots = open_directory(state, "snapshots");
  state.stats = open_directory(state, "stat");
}

struct ReserveFile {
  const char* name;
  off_t size_bytes;
};
// What opening the index takes (its shared memory and the head of its log), and what gc does.
constexpr ReserveFile reserve_files[] = {{"reserve.open", 128 << 10}, {"reserve.gc", 1 << 20}};
constexpr off_t reserve_bytes_min = 64 << 10;
constexpr uint64_t full_below_bytes = 512 << 10;

void sweep(Store::State& state) {
  sweep_unlocked(state.tmp.get());
  {
    const Session index(state);
    if (!index->query("SELECT 1 FROM packs WHERE committed = 0 LIMIT 1").next()) return;
  }
  const Session index(state, Gate::exclusive);
  Transaction transaction(*index);
  remove_unfinished_packs(state, *index, read_leases(state.leases.get(), state.process));
  transaction.commit();
}

}  // namespace

bool is_disk_full(const Store::State& state) {
  struct statvfs info {};
  return fstatvfs(state.layout.fd.get(), &info) == 0 &&
         static_cast<uint64_t>(info.f_bavail) * info.f_frsize < full_below_bytes;
}

bool release_reserve(const Store::State& state, Reserve reserve) {
  const char* name = reserve_files[static_cast<size_t>(reserve)].name;
  return unlinkat(state.layout.fd.get(), name, 0) == 0;
}

void ensure_reserves(const Store::State& state) {
  const int root = state.layout.fd.get();
  for (const auto& [name, size_bytes] : reserve_files) {
    if (stat_at(root, name)) continue;
    const int fd = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) continue;
    const Fd file(fd);
    // On a nearly full disk a smaller one is better than none.
    off_t size = fchmod(fd, 0600) == 0 ? size_bytes : 0;
    while (size >= reserve_bytes_min && posix_fallocate(fd, 0, size) != 0) size /= 2;
    if (size < reserve_bytes_min) (void)unlinkat(root, name, 0);
  }
}

int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void check_sha256(std::string_view sha256) {
  if (!is_sha256(sha256))
    fail(ExitCode::outside, "'{}' is not a SHA-256 digest", sha256.substr(0, 80));
}

Session::Session(Store::State& state, Gate gate) : state_(state), lock_(state.mutex) {
  while (flock(state_.gate.get(), gate == Gate::exclusive ? LOCK_EX : LOCK_SH) != 0)
    if (errno != EINTR) fail_errno("lock the store");
}

Session::~Session() {
  (void)flock(state_.gate.get(), LOCK_UN);
}

LeaseFile& Session::own_lease() {
  if (!state_.own) state_.own = std::make_unique<LeaseFile>(state_.leases.get(), state_.process);
  return *state_.own;
}

void Session::write_touched() {
  const int64_t now = now_seconds();
  Database& database = *state_.database;
  for (const uint64_t id : state_.touched_results)
    database.run("UPDATE results SET last_use = ? WHERE id = ?", now, id);
  for (const Digest& id : state_.touched_artifacts)
    database.run("UPDATE artifacts SET last_use = ? WHERE id = ?", now, id);
  for (const std::string& sha256 : state_.touched_blobs)
    database.run("UPDATE blobs SET last_use = ? WHERE sha256 = ?", now, sha256);
  state_.touched_results.clear();
  state_.touched_artifacts.clear();
  state_.touched_blobs.clear();
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}

Store::~Store() {
  try {
    Session index(*state_);
    if (state_->touched_results.empty() && state_->touched_artifacts.empty() &&
        state_->touched_blobs.empty())
      return;
    Transaction transaction(*index);
    index.write_touched();
    transaction.commit();
  } catch (const std::exception&) {
    // Only last-use times are lost: gc takes these for older than they are.
  }
}

std::unique_ptr<Store> Store::open(const fs::path& root) {
  auto state = std::make_unique<State>();
  state->layout = open_layout(root);
  state->warnings = state->layout.warnings;
  state->process = to_hex(random_bytes(8));
  state->boot = read_boot_id();
  try {
    open_directories(*state);
    try {
      open_index(*state);
    } catch (const Error&) {
      if (!is_disk_full(*state) || !release_reserve(*state, Reserve::open)) throw;
      open_index(*state);
    }
    seal_layout(state->layout);
    discard_unsynced(*state);
    sweep(*state);
    ensure_reserves(*state);
  } catch (Error& error) {
    throw error.add_context(fmt::format("opening the store {}", state->layout.root.string()));
  }
  return std::unique_ptr<Store>(new Store(std::move(state)));
}

const fs::path& Store::root() const {
  return state_->layout.root;
}
const std::vector<std::string>& Store::warnings() const {
  return state_->warnings;
}
uint32_t Store::id_base() const {
  return state_->layout.id_base;
}
const std::string& Store::secret_key() const {
  return state_->layout.key;
}
uint64_t Store::limit_bytes() const {
  return state_->limit_bytes;
}
void Store::set_limit_bytes(uint64_t limit_bytes) {
  state_->limit_bytes = limit_bytes;
}
fs::path Store::snapshots_dir() const {
  return state_->layout.root / "snapshots";
}
fs::path Store::caches_dir() const {
  return state_->layout.root / "caches";
}

fs::path Store::default_root() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (const std::string home = variable("SLIPWAY_HOME"); !home.empty()) return home;
  // The XDG base directory specification: relative values are to be ignored.
  if (const fs::path data = variable("XDG_DATA_HOME"); data.is_absolute()) return data / "slipway";
  const fs::path home = variable("HOME");
  if (!home.is_absolute())
    throw Error(ExitCode::machine, "HOME is not set, so there is no place for the store")
        .set_hint("set SLIPWAY_HOME to a directory");
  return home / ".local/share/slipway";
}

}  // namespace slipway::cache
