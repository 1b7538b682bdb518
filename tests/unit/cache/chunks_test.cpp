#include "cache/store_fixture.h"

using namespace slipway;
using namespace slipway::cache;

namespace {

struct Chunks : StoreFixture {
  Lease lease = store->lease();

  Artifact put_artifact(const std::string& name, const std::vector<std::string>& chunks) {
    PackWriter writer = store->write_pack(lease);
    Artifact artifact{.id = hash_bytes(name), .sha256 = std::string(64, 'a')};
    for (const std::string& chunk : chunks) {
      const Digest key = hash_bytes(chunk);
      writer.put(key, chunk.data(), chunk.size(), 100);
      artifact.chunks.push_back(key);
      artifact.size_bytes += chunk.size();
    }
    writer.commit();
    store->put_artifact(artifact);
    return artifact;
  }

  std::string written(const Artifact& artifact) const {
    const fs::path out = dir.path() / "out";
    const Fd fd = open_file(out.string(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    store->write_artifact(artifact, fd.get());
    return read_file(out);
  }
};

}  // namespace

TEST_CASE_METHOD(StoreFixture, "blobs appear only by commit, under their digest") {
  const std::string sha256 = sha256_hex("hello");
  {
    BlobWriter writer = store->write_blob();
    writer.write("hel", 3);
    writer.write("lo", 2);
    CHECK_FALSE(store->has_blob(sha256));
    CHECK(writer.commit() == sha256);
  }
  CHECK(store->has_blob(sha256));
  CHECK(read_all(store->open_blob(sha256).get()) == "hello");
  CHECK(read_file(root / "blobs/sha256" / sha256) == "hello");
  {
    BlobWriter writer = store->write_blob();
    writer.write("x", 1);
    const Error error = error_of([&] { writer.commit(sha256); });
    CHECK(error.code() == ExitCode::outside);
    CHECK(error.what() == "content has SHA-256 " + sha256_hex("x") + ", expected " + sha256);
  }
  CHECK_FALSE(store->has_blob(sha256_hex("x")));
  {
    BlobWriter abandoned = store->write_blob();
    abandoned.write("y", 1);
  }
  CHECK(fs::is_empty(root / "tmp"));
}

TEST_CASE_METHOD(StoreFixture, "a digest never becomes a path (threat 19)") {
  for (const std::string bad : {"", "../../key", "ABC", "a/b"}) {
    const Error error = error_of([&] { (void)store->has_blob(bad); });
    CHECK(error.code() == ExitCode::outside);
    CHECK(error.what() == "'" + bad + "' is not a SHA-256 digest");
    CHECK_THROWS_AS(store->open_blob(bad), Error);
  }
}

TEST_CASE_METHOD(StoreFixture, "a truncated or missing blob is told") {
  BlobWriter writer = store->write_blob();
  writer.write("hello", 5);
  const std::string sha256 = writer.commit();
  fs::resize_file(root / "blobs/sha256" / sha256, 2);
  const Error cut = error_of([&] { (void)store->open_blob(sha256); });
  CHECK(cut.code() == ExitCode::machine);
  CHECK(cut.what() == "blob sha256:" + sha256 + " is damaged: 2 of 5 bytes");
  CHECK_FALSE(store->has_blob(sha256));
  fs::remove(root / "blobs/sha256" / sha256);
  CHECK(error_of([&] { (void)store->open_blob(sha256); }).what() ==
        "blob sha256:" + sha256 + " is missing from the store");
  // Writing it again heals it.
  BlobWriter again = store->write_blob();
  again.write("hello", 5);
  again.commit(sha256);
  CHECK(read_all(store->open_blob(sha256).get()) == "hello");
}

TEST_CASE_METHOD(Chunks, "chunks and artifacts come back byte by byte") {
  const std::string a = fake_chunk(3'000'000, 'a'), b = fake_chunk(50, 'b');
  const Artifact artifact = put_artifact("slug", {a, b, a});
  CHECK(written(artifact) == a + b + a);
  const auto ref = store->find_chunk(hash_bytes(a));
  REQUIRE(ref);
  CHECK(store->read_chunk(*ref) == a);
  CHECK(ref->raw_size == 100);
  CHECK_FALSE(store->find_chunk(hash_bytes("none")));
  const auto found = store->find_artifact(artifact.id, lease);
  REQUIRE(found);
  CHECK(found->chunks == artifact.chunks);
  CHECK(found->sha256 == artifact.sha256);
  // Known chunks are not stored again.
  const auto usage = [&] { return fs::file_size(root / "packs/1.pack"); };
  const auto before = usage();
  put_artifact("slug 2", {a, b});
  CHECK(usage() == before);
  CHECK_FALSE(fs::exists(root / "packs/2.pack"));
}

TEST_CASE_METHOD(Chunks, "a pack that is not committed leaves nothing") {
  {
    PackWriter writer = store->write_pack(lease);
    const std::string chunk = fake_chunk(100, 'x');
    writer.put(hash_bytes("x"), chunk.data(), chunk.size(), 1);
    CHECK_FALSE(store->find_chunk(hash_bytes("x")));
    CHECK_FALSE(fs::is_empty(root / "packs"));
  }
  CHECK(fs::is_empty(root / "packs"));
  const Error error =
      error_of([&] { store->put_artifact({.id = hash_bytes("x"), .chunks = {hash_bytes("x")}}); });
  CHECK(error.code() == ExitCode::machine);
  CHECK_FALSE(store->find_artifact(hash_bytes("x"), lease));
}

TEST_CASE_METHOD(Chunks, "a damaged pack is told, and the next build compresses anew") {
  const std::string a = fake_chunk(1000, 'a'), b = fake_chunk(1000, 'b');
  const Artifact artifact = put_artifact("slug", {a, b});
  const fs::path pack = root / "packs/1.pack";
  std::string expected;
  SECTION("a bit flipped") {
    flip_byte(pack, 1500);
    expected = "pack 1 in the store is damaged: wrong checksum at 1000";
  }
  SECTION("no gzip member") {
    flip_byte(pack, 1001);
    expected = "pack 1 in the store is damaged: no gzip member at 1000";
  }
  SECTION("truncated") {
    fs::resize_file(pack, 1999);
    expected = "pack 1 in the store is damaged: truncated: 999 of 1000 bytes at 1000";
  }
  const Error error = error_of([&] { (void)written(artifact); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(error.what() == expected);
  CHECK(store->find_chunk(hash_bytes(a)));
  CHECK_FALSE(store->find_chunk(hash_bytes(b)));
  CHECK_FALSE(store->find_artifact(artifact.id, lease));
  CHECK(written(put_artifact("slug", {a, b})) == a + b);
}

TEST_CASE_METHOD(Chunks, "a chunk read by its place is checked as well") {
  const std::string a = fake_chunk(1000, 'a');
  put_artifact("slug", {a});
  const auto ref = store->find_chunk(hash_bytes(a));
  REQUIRE(ref);
  flip_byte(root / "packs/1.pack", 500);
  CHECK(error_of([&] { (void)store->read_chunk(*ref); }).what() ==
        std::string("pack 1 in the store is damaged: wrong checksum at 0"));
  CHECK_FALSE(store->find_chunk(hash_bytes(a)));
}

TEST_CASE_METHOD(Chunks, "a lost pack makes its chunks miss") {
  const Artifact artifact = put_artifact("slug", {fake_chunk(1000, 'a')});
  fs::remove(root / "packs/1.pack");
  CHECK(error_of([&] { (void)written(artifact); }).what() ==
        std::string("pack 1 in the store is damaged: missing"));
  CHECK_FALSE(store->find_chunk(artifact.chunks[0]));
}
