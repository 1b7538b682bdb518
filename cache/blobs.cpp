#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "cache/state.h"

namespace slipway::cache {

struct BlobWriter::State {
  explicit State(Store::State& owner) : store(&owner), file(owner.tmp.get()) {}
  Store::State* store;
  TempFile file;
  Sha256 hasher;
  uint64_t size_bytes = 0;
};

BlobWriter::BlobWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter::~BlobWriter() = default;

void BlobWriter::write(const void* data, size_t size) {
  SLIPWAY_CHECK(state_);
  try {
    write_all(state_->file.fd(), data, size);
  } catch (Error& error) {
    throw error.add_context("writing a blob");
  }
  state_->hasher.update(data, size);
  state_->size_bytes += size;
}

std::string BlobWriter::commit(const std::string& expected_sha256) {
  SLIPWAY_CHECK(state_);
  const std::unique_ptr<State> state = std::move(state_);
  const std::string sha256 = state->hasher.finish_hex();
  if (!expected_sha256.empty() && sha256 != expected_sha256)
    fail(ExitCode::outside, "content has SHA-256 {}, expected {}", sha256, expected_sha256);
  // Before the session: syncing may take long, and the bytes must be there before the name is.
  if (fsync(state->file.fd()) != 0) fail_errno("write blob {}", sha256);
  Session index(*state->store);
  index.own_lease().add(LeaseItem::blob, sha256);
  state->file.publish(state->store->blobs.get(), sha256);
  if (fsync(state->store->blobs.get()) != 0) fail_errno("write blob {}", sha256);
  Transaction transaction(*index);
  index->run("INSERT OR REPLACE INTO blobs(sha256, size, last_use) VALUES(?, ?, ?)", sha256,
             state->size_bytes, now_seconds());
  transaction.commit();
  return sha256;
}

BlobWriter Store::write_blob() {
  return BlobWriter(std::make_unique<BlobWriter::State>(*state_));
}

bool Store::has_blob(const std::string& sha256) const {
  check_sha256(sha256);
  const Session index(*state_);
  Query row = index->query("SELECT size FROM blobs WHERE sha256 = ?", sha256);
  if (!row.next()) return false;
  const auto info = stat_at(state_->blobs.get(), sha256);
  return info && static_cast<uint64_t>(info->st_size) == row.number(0);
}

Fd Store::open_blob(const std::string& sha256) const {
  check_sha256(sha256);
  const Session index(*state_);
  Query row = index->query("SELECT size, last_use FROM blobs WHERE sha256 = ?", sha256);
  if (!row.next()) fail(ExitCode::machine, "blob sha256:{} is not in the store", sha256);
  Fd file = open_at_if_exists(state_->blobs.get(), sha256, O_RDONLY | O_NOFOLLOW);
  if (!file) fail(ExitCode::machine, "blob sha256:{} is missing from the store", sha256);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat blob {}", sha256);
  if (static_cast<uint64_t>(info.st_size) != row.number(0))
    throw Error(ExitCode::machine, fmt::format("blob sha256:{} is damaged: {} of {} bytes", sha256,
                                               info.st_size, row.number(0)))
        .set_hint("`slipway cache verify` drops what is damaged");
  if (row.integer(1) + touch_interval_s < now_seconds()) state_->touched_blobs.insert(sha256);
  return file;
}

}  // namespace slipway::cache
