#include <libdeflate.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "base/files.h"
#include "cache/chunks.h"
#include "cache/state.h"

// packs/<n>.pack is the compressed chunks, back to back, nothing between: chunks.position and
// chunks.size say where each lies, so that an artifact is copied out in runs, and chunks.crc32
// (over the compressed bytes) that it is still what was written.
namespace slipway::cache {
namespace {

// Enough to write in large pieces; the slug writer hands over about 4 MiB at a time anyway.
constexpr size_t buffer_max = 1 << 20;

struct StoredChunk {
  Digest key;
  ChunkRef ref;
};

ChunkRef ref_from(const Query& row) {
  return {.pack = row.number(0),
          .offset = row.number(1),
          .compressed_size = static_cast<uint32_t>(row.integer(2)),
          .raw_size = static_cast<uint32_t>(row.integer(3)),
          .crc32 = static_cast<uint32_t>(row.integer(4))};
}

std::optional<ChunkRef> select_chunk(Database& database, const Digest& key) {
  Query row =
      database.query("SELECT pack, position, size, raw_size, crc32 FROM chunks WHERE key = ?", key);
  if (!row.next()) return std::nullopt;
  return ref_from(row);
}

// A gzip member, a zstd frame, or bytes as they are. What is damaged seldom still has the form, and
// looking at it costs nothing beside the checksum.
bool has_form(std::string_view data, const ChunkRef& ref) {
  constexpr std::string_view gzip_magic("\x1f\x8b"), zstd_magic("\x28\xb5\x2f\xfd");
  return (data.size() >= 18 && data.substr(0, gzip_magic.size()) == gzip_magic) ||
         data.substr(0, zstd_magic.size()) == zstd_magic || ref.raw_size == ref.compressed_size;
}

// The pack's directory entry must be there before rows that name it; its bytes are synced apart.
void sync_directory(int directory) {
  if (fsync(directory) != 0) fail_errno("sync the packs");
}

}  // namespace

std::string pack_name(uint64_t pack) {
  return fmt::format("{}.pack", pack);
}

std::string check_chunk(int pack, const ChunkRef& ref, std::string& data) {
  data.resize(ref.compressed_size);
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t count =
        pread(pack, data.data() + done, data.size() - done, static_cast<off_t>(ref.offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno("read pack {}", ref.pack);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  if (done < data.size())
    return fmt::format("truncated: {} of {} bytes at {}", done, data.size(), ref.offset);
  if (!has_form(data, ref)) return fmt::format("no gzip member at {}", ref.offset);
  if (libdeflate_crc32(0, data.data(), data.size()) != ref.crc32)
    return fmt::format("wrong checksum at {}", ref.offset);
  return {};
}

void drop_chunk(Database& database, const Digest& key) {
  std::vector<Digest> artifacts;
  {
    Query rows =
        database.query("SELECT DISTINCT artifact FROM artifact_chunks WHERE chunk = ?", key);
    while (rows.next()) artifacts.push_back(rows.digest(0));
  }
  for (const Digest& id : artifacts) drop_artifact(database, id);
  database.run("DELETE FROM chunks WHERE key = ?", key);
}

void drop_artifact(Database& database, const Digest& id) {
  database.run("DELETE FROM artifact_chunks WHERE artifact = ?", id);
  database.run("DELETE FROM artifacts WHERE id = ?", id);
}

namespace {

// Reads chunks one after the other; neighbours mostly lie in one pack.
class PackReader {
 public:
  explicit PackReader(Store::State& state) : state_(state) {}
  /// What is wrong with the chunk; empty = nothing.
  std::string check(const ChunkRef& ref) {
    if (ref.pack != pack_) {
      file_ = open_at_if_exists(state_.packs.get(), pack_name(ref.pack), O_RDONLY | O_NOFOLLOW);
      pack_ = ref.pack;
    }
    return file_ ? check_chunk(file_.get(), ref, data_) : "missing";
  }
  /// The pack of the chunk checked last.
  const Fd& file() const { return file_; }

 private:
  Store::State& state_;
  Fd file_;
  uint64_t pack_ = 0;
  std::string data_;
};

// Damage seldom comes alone, and each artifact that cannot be written costs its user a command: all
// that is wrong is dropped at once.
void drop_damaged(Store::State& state, std::span<const StoredChunk> chunks) {
  PackReader reader(state);
  std::vector<Digest> damaged;
  for (const auto& [key, ref] : chunks)
    if (!reader.check(ref).empty()) damaged.push_back(key);
  const Session index(state);
  Transaction transaction(*index);
  for (const Digest& key : damaged) drop_chunk(*index, key);
  transaction.commit();
}

}  // namespace

struct PackWriter::State {
  Store::State* store = nullptr;
  LeaseFile* lease = nullptr;
  uint64_t pack = 0;  ///< 0 = nothing new was put yet
  Fd file;
  uint64_t size_bytes = 0;
  std::string buffer;
  std::vector<StoredChunk> chunks;
  std::set<Digest> keys;

  void create() {
    const Session index(*store);
    for (;;) {
      Transaction transaction(*index);
      index->run("INSERT INTO packs(committed) VALUES(0)");
      pack = index->last_id();
      transaction.commit();
      lease->add(LeaseItem::pack, std::to_string(pack));
      const int fd = openat(store->packs.get(), pack_name(pack).c_str(),
                            O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
      if (fd >= 0) {
        file = Fd(fd);
        if (fchmod(fd, 0600) != 0) fail_errno("chmod pack {}", pack);
        return;
      }
      // Left behind by a lost index; gc removes it together with this row.
      if (errno != EEXIST) fail_errno("create pack {}", pack);
    }
  }
  void flush() {
    try {
      write_all(file.get(), buffer);
    } catch (Error& error) {
      throw error.add_context(fmt::format("writing pack {}", pack));
    }
    buffer.clear();
  }
};

PackWriter::PackWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
PackWriter::PackWriter(PackWriter&&) noexcept = default;

PackWriter::~PackWriter() {
  if (!state_ || state_->pack == 0) return;
  try {
    const Session index(*state_->store);
    (void)unlinkat(state_->store->packs.get(), pack_name(state_->pack).c_str(), 0);
    Transaction transaction(*index);
    index->run("DELETE FROM packs WHERE id = ?", state_->pack);
    transaction.commit();
  } catch (const std::exception&) {
    // Swept at the next open, like that of a killed process.
  }
}

void PackWriter::put(const Digest& key, const void* compressed, size_t size, uint32_t raw_size) {
  SLIPWAY_CHECK(state_ && key && size <= UINT32_MAX);
  State& state = *state_;
  if (state.keys.contains(key)) return;
  {
    Session index(*state.store);
    index.own_lease().add(LeaseItem::chunk, key.hex());
    if (select_chunk(*index, key)) return;
  }
  if (state.pack == 0) state.create();
  const ChunkRef ref{.pack = state.pack,
                     .offset = state.size_bytes,
                     .compressed_size = static_cast<uint32_t>(size),
                     .raw_size = raw_size,
                     .crc32 = libdeflate_crc32(0, compressed, size)};
  state.buffer.append(static_cast<const char*>(compressed), size);
  if (state.buffer.size() >= buffer_max) state.flush();
  state.size_bytes += size;
  state.chunks.push_back({key, ref});
  state.keys.insert(key);
}

void PackWriter::commit() {
  SLIPWAY_CHECK(state_);
  State& state = *state_;
  if (state.pack != 0) {
    state.flush();
    if (fdatasync(state.file.get()) != 0) fail_errno("write pack {}", state.pack);
    sync_directory(state.store->packs.get());
    const Session index(*state.store);
    Transaction transaction(*index);
    for (const auto& [key, ref] : state.chunks)
      index->run(
          "INSERT OR IGNORE INTO chunks(key, pack, position, size, raw_size, crc32) "
          "VALUES(?, ?, ?, ?, ?, ?)",
          key, ref.pack, ref.offset, ref.compressed_size, ref.raw_size, ref.crc32);
    const int changed = index->run("UPDATE packs SET committed = 1, size = ? WHERE id = ?",
                                   state.size_bytes, state.pack);
    SLIPWAY_CHECK(changed == 1);
    transaction.commit();
  }
  state_.reset();
}

PackWriter Store::write_pack(Lease& lease) {
  auto state = std::make_unique<PackWriter::State>();
  state->store = state_.get();
  state->lease = &lease.state_->file;
  return PackWriter(std::move(state));
}

std::optional<ChunkRef> Store::find_chunk(const Digest& key) const {
  Session index(*state_);
  auto ref = select_chunk(*index, key);
  if (!ref) return std::nullopt;
  const auto info = stat_at(state_->packs.get(), pack_name(ref->pack));
  if (info && static_cast<uint64_t>(info->st_size) >= ref->offset + ref->compressed_size) {
    // Found means usable until this store object is closed; the gate keeps gc out meanwhile.
    index.own_lease().add(LeaseItem::chunk, key.hex());
    return ref;
  }
  Transaction transaction(*index);
  drop_chunk(*index, key);
  transaction.commit();
  return std::nullopt;
}

std::string Store::read_chunk(const ChunkRef& ref) const {
  const Fd pack =
      open_at_if_exists(state_->packs.get(), pack_name(ref.pack), O_RDONLY | O_NOFOLLOW);
  std::string data;
  const std::string problem = pack ? check_chunk(pack.get(), ref, data) : "missing";
  if (!problem.empty()) {
    {
      const Session index(*state_);
      Transaction transaction(*index);
      Digest key;
      {
        Query row = index->query("SELECT key FROM chunks WHERE pack = ? AND position = ?", ref.pack,
                                 ref.offset);
        if (row.next()) key = row.digest(0);
      }
      if (key) drop_chunk(*index, key);
      transaction.commit();
    }
    throw Error(ExitCode::machine,
                fmt::format("pack {} in the store is damaged: {}", ref.pack, problem))
        .set_hint("run the command again: the damaged part is compressed anew");
  }
  return data;
}

void Store::put_artifact(const Artifact& artifact) {
  SLIPWAY_CHECK(artifact.id);
  const Session index(*state_);
  Transaction transaction(*index);
  drop_artifact(*index, artifact.id);
  index->run("INSERT INTO artifacts(id, sha256, size, raw_size, last_use) VALUES(?, ?, ?, ?, ?)",
             artifact.id, artifact.sha256, artifact.size_bytes, artifact.raw_size_bytes,
             now_seconds());
  for (size_t i = 0; i < artifact.chunks.size(); ++i) {
    if (!select_chunk(*index, artifact.chunks[i]))
      fail(ExitCode::machine, "artifact {} needs chunk {}, which the store does not have",
           artifact.id.short_hex(), artifact.chunks[i].short_hex());
    index->run("INSERT INTO artifact_chunks(artifact, position, chunk) VALUES(?, ?, ?)",
               artifact.id, i, artifact.chunks[i]);
  }
  transaction.commit();
}

std::optional<Artifact> Store::find_artifact(const Digest& id, Lease& lease) const {
  const Session index(*state_);
  lease.protect_artifact(id);
  Artifact artifact;
  int64_t last_use = 0;
  {
    Query row =
        index->query("SELECT sha256, size, raw_size, last_use FROM artifacts WHERE id = ?", id);
    if (!row.next()) return std::nullopt;
    artifact = {.id = id,
                .sha256 = row.text(0),
                .size_bytes = row.number(1),
                .raw_size_bytes = row.number(2)};
    last_use = row.integer(3);
  }
  uint64_t size_bytes = 0;
  bool whole = true;
  {
    Query rows = index->query(
        "SELECT a.chunk, c.size FROM artifact_chunks a LEFT JOIN chunks c ON c.key = a.chunk "
        "WHERE a.artifact = ? ORDER BY a.position",
        id);
    while (rows.next()) {
      artifact.chunks.push_back(rows.digest(0));
      whole = whole && rows.number(1) != 0;
      size_bytes += rows.number(1);
    }
  }
  if (!whole || size_bytes != artifact.size_bytes) {
    Transaction transaction(*index);
    drop_artifact(*index, id);
    transaction.commit();
    return std::nullopt;
  }
  if (last_use + touch_interval_s < now_seconds()) state_->touched_artifacts.insert(id);
  return artifact;
}

void Store::write_artifact(const Artifact& artifact, int fd) const {
  std::vector<StoredChunk> chunks;
  {
    const Session index(*state_);
    for (const Digest& key : artifact.chunks) {
      const auto ref = select_chunk(*index, key);
      if (!ref)
        throw Error(ExitCode::machine, fmt::format("artifact {} lacks chunk {}",
                                                   artifact.id.short_hex(), key.short_hex()))
            .set_hint("run the build again: what is missing is compressed anew");
      chunks.push_back({key, *ref});
    }
  }
  PackReader reader(*state_);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const ChunkRef& ref = chunks[i].ref;
    // Checked before it is copied: a flipped bit must not leave the store inside a slug.
    const std::string problem = reader.check(ref);
    if (!problem.empty()) {
      drop_damaged(*state_, std::span(chunks).subspan(i));
      throw Error(ExitCode::machine,
                  fmt::format("pack {} in the store is damaged: {}", ref.pack, problem))
          .set_hint("run the build again: the damaged part is compressed anew");
    }
    const Fd& pack = reader.file();
    if (lseek(pack.get(), static_cast<off_t>(ref.offset), SEEK_SET) < 0)
      fail_errno("seek in pack {}", ref.pack);
    if (copy_bytes(pack.get(), fd, ref.compressed_size) != ref.compressed_size)
      fail(ExitCode::machine, "pack {} ended early", ref.pack);
  }
}

}  // namespace slipway::cache
