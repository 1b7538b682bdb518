#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/files.h"
#include "cache/chunks.h"
#include "cache/gc.h"

namespace slipway::cache {
namespace {

// A pack is rewritten when less than this share of it lives; stricter while over the limit.
constexpr double pack_share_min = 0.5, pack_share_min_over_limit = 0.9;
// Rewriting holds the gate; more than this waits for the next collect().
constexpr uint64_t rewrite_max_bytes = 1ULL << 30;

uint64_t pack_number(const std::string& name) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && std::string_view(end) == ".pack" ? number : 0;
}

struct LiveChunk {
  Digest key;
  ChunkRef ref;
};

// Copies what lives into a pack of its own and gives up the old one; returns the bytes written.
uint64_t rewrite_pack(const Store::State& state, Database& database, uint64_t pack) {
  std::vector<LiveChunk> chunks;
  {
    Query rows = database.query(
        "SELECT key, position, size, raw_size, crc32 FROM chunks WHERE pack = ? ORDER BY position",
        pack);
    while (rows.next())
      chunks.push_back({rows.digest(0),
                        {.pack = pack,
                         .offset = rows.number(1),
                         .compressed_size = static_cast<uint32_t>(rows.integer(2)),
                         .raw_size = static_cast<uint32_t>(rows.integer(3)),
                         .crc32 = static_cast<uint32_t>(rows.integer(4))}});
  }
  const Fd from = open_at_if_exists(state.packs.get(), pack_name(pack), O_RDONLY | O_NOFOLLOW);
  TempFile to(state.tmp.get());
  Transaction transaction(database);
  database.run("INSERT INTO packs(committed) VALUES(1)");
  const uint64_t fresh = database.last_id();
  uint64_t offset = 0;
  std::string data;
  for (const auto& [key, ref] : chunks) {
    if (!from || !check_chunk(from.get(), ref, data).empty()) {
      drop_chunk(database, key);
      continue;
    }
    write_all(to.fd(), data);
    database.run("UPDATE chunks SET pack = ?, position = ? WHERE key = ?", fresh, offset, key);
    offset += ref.compressed_size;
  }
  database.run("UPDATE packs SET size = ? WHERE id = ?", offset, fresh);
  database.run("DELETE FROM packs WHERE id = ?", pack);
  if (fdatasync(to.fd()) != 0) fail_errno("write pack {}", fresh);
  to.publish(state.packs.get(), pack_name(fresh));
  if (fsync(state.packs.get()) != 0) fail_errno("sync the packs");
  transaction.commit();
  (void)unlinkat(state.packs.get(), pack_name(pack).c_str(), 0);
  return offset;
}

}  // namespace

void remove_unfinished_packs(const Store::State& state, Database& database, const Leased& leased) {
  std::vector<uint64_t> unfinished;
  {
    Query rows = database.query("SELECT id FROM packs WHERE committed = 0");
    while (rows.next())
      if (!leased.packs.contains(rows.number(0))) unfinished.push_back(rows.number(0));
  }
  for (const uint64_t pack : unfinished) {
    (void)unlinkat(state.packs.get(), pack_name(pack).c_str(), 0);
    database.run("DELETE FROM packs WHERE id = ?", pack);
  }
}

void remove_dead_packs(const Store::State& state, Database& database, const Leased& leased) {
  for (const std::string& name : list_directory(state.packs.get())) {
    const uint64_t pack = pack_number(name);
    if (leased.packs.contains(pack)) continue;
    if (database.query("SELECT 1 FROM chunks WHERE pack = ? LIMIT 1", pack).next()) continue;
    (void)unlinkat(state.packs.get(), name.c_str(), 0);
    database.run("DELETE FROM packs WHERE id = ?", pack);
  }
}

void rewrite_poor_packs(const Store::State& state, Database& database, const Leased& leased,
                        bool over_limit) {
  const double share_min = over_limit ? pack_share_min_over_limit : pack_share_min;
  struct Poor {
    uint64_t pack, live_bytes;
  };
  std::vector<Poor> poor;
  {
    Query rows = database.query(
        "SELECT p.id, p.size, total(c.size) FROM packs p JOIN chunks c ON c.pack = p.id "
        "WHERE p.committed = 1 GROUP BY p.id");
    while (rows.next())
      if (static_cast<double>(rows.number(2)) < share_min * static_cast<double>(rows.number(1)))
        poor.push_back({rows.number(0), rows.number(2)});
  }
  uint64_t written = 0;
  for (const Poor& pack : poor) {
    if (leased.packs.contains(pack.pack) || written + pack.live_bytes > rewrite_max_bytes) continue;
    written += rewrite_pack(state, database, pack.pack);
  }
}

}  // namespace slipway::cache
