#include "cache/store_fixture.h"

using namespace slipway;
using namespace slipway::cache;

namespace {

struct Verify : StoreFixture {
  std::vector<std::string> problems() const {
    std::vector<std::string> all;
    for (const VerifyProblem& problem : store->verify()) {
      CHECK(problem.repaired);
      all.push_back(problem.what + ": " + problem.problem);
    }
    return all;
  }
  using Problems = std::vector<std::string>;
};

}  // namespace

TEST_CASE_METHOD(Verify, "verify: a whole store has no problems") {
  Lease lease = store->lease();
  put("k", make_snapshot(lease));
  (void)store->put_tree({});
  BlobWriter writer = store->write_blob();
  writer.write("x", 1);
  writer.commit();
  CHECK(problems().empty());
  CHECK(has_result("k"));
}

TEST_CASE_METHOD(Verify, "verify: damaged blobs are dropped") {
  std::vector<std::string> blobs;
  for (const std::string content : {"flipped", "cut", "gone", "good"}) {
    BlobWriter writer = store->write_blob();
    writer.write(content.data(), content.size());
    blobs.push_back(writer.commit());
  }
  const fs::path folder = root / "blobs/sha256";
  flip_byte(folder / blobs[0], 3);
  fs::resize_file(folder / blobs[1], 1);
  fs::remove(folder / blobs[2]);
  Problems expected = {"blob sha256:" + blobs[0] + ": content has another digest",
                       "blob sha256:" + blobs[1] + ": truncated: 1 of 3 bytes",
                       "blob sha256:" + blobs[2] + ": missing"};
  std::sort(expected.begin(), expected.end());
  CHECK(problems() == expected);
  CHECK(problems().empty());
  CHECK_FALSE(store->has_blob(blobs[0]));
  CHECK_FALSE(fs::exists(folder / blobs[0]));
  CHECK(store->has_blob(blobs[3]));
}

TEST_CASE_METHOD(Verify, "verify: damaged chunks are dropped with their artifacts") {
  Lease lease = store->lease();
  PackWriter writer = store->write_pack(lease);
  const std::string a = fake_chunk(100, 'a'), b = fake_chunk(100, 'b');
  writer.put(hash_bytes(a), a.data(), a.size(), 1);
  writer.put(hash_bytes(b), b.data(), b.size(), 1);
  writer.commit();
  store->put_artifact({.id = hash_bytes("x"), .size_bytes = 100, .chunks = {hash_bytes(a)}});
  store->put_artifact({.id = hash_bytes("y"), .size_bytes = 100, .chunks = {hash_bytes(b)}});
  flip_byte(root / "packs/1.pack", 150);
  CHECK(problems() == Problems{"pack 1: wrong checksum at 100"});
  CHECK(store->find_artifact(hash_bytes("x"), lease));
  CHECK_FALSE(store->find_artifact(hash_bytes("y"), lease));
  fs::remove(root / "packs/1.pack");
  CHECK(problems() == Problems{"pack 1: missing"});
  CHECK(problems().empty());
}

TEST_CASE_METHOD(Verify, "verify: damaged listings and missing layers are dropped") {
  archive::Tree tree;
  tree.entries.push_back({.path = "x", .type = archive::EntryType::directory, .mode = 0755});
  const Digest listing = store->put_tree(tree);
  Lease lease = store->lease();
  const SnapshotId base = make_snapshot(lease);
  const SnapshotId top = make_snapshot(lease, base);
  put("base", base);
  put("top", top);
  store->put_result({hash_bytes("listed")}, {.trees = {listing}}, "s", {});
  flip_byte(root / "trees" / listing.hex().substr(0, 2) / listing.hex(), 20);
  remove_tree(store->snapshots_dir() / std::to_string(base));
  CHECK(problems() == Problems{"listing " + listing.hex() + ": content has another digest",
                               fmt::format("snapshot {}: its directory is missing", base)});
  CHECK_FALSE(has_result("base"));
  CHECK_FALSE(has_result("top"));
  CHECK_FALSE(has_result("listed"));
  CHECK(problems().empty());
}
