#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "cache/chunks.h"
#include "cache/gc.h"

// Files are read outside sessions (it takes long); what is found wrong is dropped in a short one.
namespace slipway::cache {
namespace {

class Verifier {
 public:
  explicit Verifier(Store::State& state) : state_(state) {}
  std::vector<VerifyProblem> run();

 private:
  void verify_index();
  void verify_blobs();
  void verify_packs();
  void verify_trees();
  void verify_snapshots();
  void report(std::string what, std::string problem) {
    problems_.push_back({std::move(what), std::move(problem), true});
  }

  Store::State& state_;
  std::vector<VerifyProblem> problems_;
};

std::vector<VerifyProblem> Verifier::run() {
  verify_index();
  verify_blobs();
  verify_packs();
  verify_trees();
  verify_snapshots();
  return std::move(problems_);
}

void Verifier::verify_index() {
  const Session index(state_);
  std::string problem;
  {
    Query rows = index->query("PRAGMA integrity_check(1)");
    if (rows.next() && rows.text(0) != "ok") problem = rows.text(0);
  }
  if (problem.empty()) return;
  const fs::path mark = Database::damage_mark(state_.layout.root / "index.sqlite");
  write_private_file(mark, "");
  report("index", problem + "; it is started anew at the next command");
}

void Verifier::verify_blobs() {
  std::vector<std::pair<std::string, uint64_t>> blobs;
  {
    const Session index(state_);
    Query rows = index->query("SELECT sha256, size FROM blobs ORDER BY sha256");
    while (rows.next())
      if (is_sha256(rows.text(0))) blobs.emplace_back(rows.text(0), rows.number(1));
  }
  std::string buffer(1 << 20, '\0');
  for (const auto& [sha256, size_bytes] : blobs) {
    std::string problem;
    const Fd file = open_at_if_exists(state_.blobs.get(), sha256, O_RDONLY | O_NOFOLLOW);
    if (!file) {
      problem = "missing";
    } else {
      Sha256 hasher;
      uint64_t total = 0;
      while (const size_t count = read_some(file.get(), buffer.data(), buffer.size())) {
        hasher.update(buffer.data(), count);
        total += count;
      }
      if (total < size_bytes)
        problem = fmt::format("truncated: {} of {} bytes", total, size_bytes);
      else if (hasher.finish_hex() != sha256)
        problem = "content has another digest";
    }
    if (problem.empty()) continue;
    const Session index(state_);
    Transaction transaction(*index);
    // Collected meanwhile is no problem.
    if (index->run("DELETE FROM blobs WHERE sha256 = ?", sha256) == 0) continue;
    transaction.commit();
    (void)unlinkat(state_.blobs.get(), sha256.c_str(), 0);
    report("blob sha256:" + sha256, problem);
  }
}

void Verifier::verify_packs() {
  struct Stored {
    Digest key;
    ChunkRef ref;
  };
  std::vector<Stored> chunks;
  {
    Session index(state_);
    Query rows = index->query(
        "SELECT key, pack, position, size, raw_size, crc32 FROM chunks ORDER BY pack, position");
    while (rows.next()) {
      chunks.push_back({rows.digest(0),
                        {.pack = rows.number(1),
                         .offset = rows.number(2),
                         .compressed_size = static_cast<uint32_t>(rows.integer(3)),
                         .raw_size = static_cast<uint32_t>(rows.integer(4)),
                         .crc32 = static_cast<uint32_t>(rows.integer(5))}});
    }
    // Keeps gc from moving them while they are read.
    if (!chunks.empty()) (void)index.own_lease();
  }
  Fd pack;
  uint64_t pack_id = 0;
  std::string data;
  for (const auto& [key, ref] : chunks) {
    if (ref.pack != pack_id)
      pack = open_at_if_exists(state_.packs.get(), pack_name(ref.pack), O_RDONLY | O_NOFOLLOW);
    pack_id = ref.pack;
    const std::string problem = pack ? check_chunk(pack.get(), ref, data) : "missing";
    if (problem.empty()) continue;
    const Session index(state_);
    Transaction transaction(*index);
    if (!index->query("SELECT 1 FROM chunks WHERE key = ?", key).next()) continue;
    drop_chunk(*index, key);
    transaction.commit();
    report(fmt::format("pack {}", ref.pack), problem);
  }
}

void Verifier::verify_trees() {
  for (const std::string& folder : list_directory(state_.trees.get())) {
    const Fd directory = open_at(state_.trees.get(), folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const std::string& name : list_directory(directory.get())) {
      const Fd file = open_at_if_exists(directory.get(), name, O_RDONLY | O_NOFOLLOW);
      if (!file) continue;
      std::string problem;
      const std::string data = read_all(file.get());
      if (hash_bytes(data).hex() != name) {
        problem = "content has another digest";
      } else {
        try {
          (void)archive::parse_tree(data);
        } catch (const Error& error) {
          problem = error.cause();
        }
      }
      if (problem.empty()) continue;
      (void)unlinkat(directory.get(), name.c_str(), 0);
      report("listing " + name, problem);
    }
  }
}

void Verifier::verify_snapshots() {
  Session index(state_, Gate::exclusive);
  std::vector<uint64_t> missing;
  {
    Query rows = index->query("SELECT id, parent FROM snapshots WHERE state = 1 ORDER BY id");
    while (rows.next()) {
      const auto info = stat_at(state_.snapshots.get(), std::to_string(rows.number(0)));
      if (!info || !S_ISDIR(info->st_mode)) missing.push_back(rows.number(0));
    }
  }
  Transaction transaction(*index);
  for (const uint64_t id : missing) {
    drop_snapshot(*index, id);
    report(fmt::format("snapshot {}", id), "its directory is missing");
  }
  transaction.commit();
}

}  // namespace

std::vector<VerifyProblem> Store::verify() {
  return Verifier(*state_).run();
}

}  // namespace slipway::cache
