#include "image/layers.h"

#include <random>
#include <set>

#include "base/error.h"
#include "base/process.h"
#include "image/hash_states.h"
#include "image/trees_fixture.h"

using namespace slipway;
using namespace slipway::image;
using Catch::Matchers::Contains;
using slipway::image::testing::Images;

namespace {

std::string random_text(size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random() % 16);
  return text;
}

std::string decompressed(const Images& images, const std::string& bytes, const char* program) {
  const fs::path file = images.dir.path() / "packed";
  write_file_atomic(file, bytes);
  RunOptions options;
  options.argv = {program, "-dc", file.string()};
  return run_ok(options).out;
}

// About 30 MiB in some ten chunks.
std::map<std::string, std::string> large_tree() {
  std::map<std::string, std::string> files;
  for (unsigned i = 0; i < 60; ++i) files[fmt::format("dir/f{:02}", i)] = random_text(500'000, i);
  return files;
}

void check_digests(Images& images, const Layer& layer) {
  const std::string bytes = images.bytes_of(layer);
  CHECK(layer.blob.size_bytes == bytes.size());
  CHECK(layer.blob.digest == "sha256:" + sha256_hex(bytes));
  const std::string raw = decompressed(images, bytes, "gzip");
  CHECK(layer.raw_bytes == raw.size());
  CHECK(layer.diff_id == "sha256:" + sha256_hex(raw));
}

}  // namespace

TEST_CASE("a layer's digests are those of its raw and its compressed bytes") {
  Images images;
  const Layer layer = images.write(images.add({{"a", "hello"}, {"b", ""}, {"c", "world"}}));
  CHECK(layer.blob.media_type == "application/vnd.oci.image.layer.v1.tar+gzip");
  check_digests(images, layer);
  // RFC 1952: no time, unknown system, so that the bytes depend on the content only (O10).
  const std::string bytes = images.bytes_of(layer);
  CHECK(bytes.substr(4, 4) == std::string(4, '\0'));
  CHECK(bytes[9] == '\xff');
}

TEST_CASE("the empty layer has the diff id everybody knows (O8)") {
  Images images;
  const Layer layer = images.write(images.add({}));
  CHECK(layer.diff_id == "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
  CHECK(images.opened.empty());
  check_digests(images, layer);
}

TEST_CASE("zstd and plain layers have the same diff id and their own media types") {
  Images images;
  const cache::SnapshotId id = images.add({{"a", random_text(100'000, 1)}});
  const Layer gzip = images.write(id);
  const Layer zstd = images.write(id, archive::Codec::zstd);
  const Layer plain = images.write(id, archive::Codec::stored);
  CHECK(zstd.diff_id == gzip.diff_id);
  CHECK(plain.diff_id == gzip.diff_id);
  CHECK(plain.blob.digest == plain.diff_id);
  CHECK(plain.blob.media_type == "application/vnd.oci.image.layer.v1.tar");
  CHECK(zstd.blob.media_type == "application/vnd.oci.image.layer.v1.tar+zstd");
  CHECK("sha256:" + sha256_hex(images.bytes_of(plain)) == plain.diff_id);
  if (find_program("zstd").empty())
    WARN("skipped: zstd is not installed");
  else
    CHECK("sha256:" + sha256_hex(decompressed(images, images.bytes_of(zstd), "zstd")) ==
          zstd.diff_id);
}

TEST_CASE("an unchanged layer is found by its snapshots: nothing is listed, opened or compressed") {
  Images images;
  const cache::SnapshotId id = images.add({{"a", "hello"}});
  const Layer first = images.write(id);
  images.listed = 0;
  images.opened.clear();
  images.reopen();
  const Layer again = images.write(id);
  CHECK(images.listed == 0);
  CHECK(images.opened.empty());
  CHECK(again.diff_id == first.diff_id);
  CHECK(again.blob.digest == first.blob.digest);
  CHECK(again.artifact == first.artifact);
  CHECK(again.blob.size_bytes == first.blob.size_bytes);
  CHECK(again.raw_bytes == first.raw_bytes);
}

TEST_CASE("a snapshot made anew with the same content is found by its listing") {
  Images images;
  const Layer first = images.write(images.add({{"a", "hello"}}));
  images.opened.clear();
  const Layer again = images.write(images.add({{"a", "hello"}}));
  CHECK(images.opened.empty());
  CHECK(again.artifact == first.artifact);
}

TEST_CASE("a time, a mode, an owner or an attribute makes another layer") {
  Images images;
  const cache::SnapshotId id = images.add({{"a", "hello"}});
  std::set<std::string> digests = {images.write(id).diff_id};
  size_t changes = 0;
  const auto change = [&](const std::function<void(archive::LayerEntry&)>& apply) {
    const cache::SnapshotId other = images.add({{"a", "hello"}});
    apply(images.snapshots[other].listing.entries[0]);
    digests.insert(images.write(other).diff_id);
    ++changes;
    CHECK(digests.size() == changes + 1);
  };
  change([](archive::LayerEntry& entry) { entry.mtime += 1; });
  change([](archive::LayerEntry& entry) { entry.mode = 0600; });
  change([](archive::LayerEntry& entry) { entry.uid = 1; });
  change([](archive::LayerEntry& entry) { entry.gid = 1; });
  change([](archive::LayerEntry& entry) {
    entry.path = "b";
    entry.size = 0;
    entry.digest = {};
  });
  change([](archive::LayerEntry& entry) { entry.attributes = {{"security.capability", "x"}}; });
}

TEST_CASE("times newer than asked for are set to it, older stay (O9)") {
  Images images;
  const cache::SnapshotId id = images.add({{"new", "x"}, {"old", "x"}}, 0, 1'600'000'000);
  images.snapshots[id].listing.entries[1].mtime = 1'000;
  const Layer layer = images.write(id, archive::Codec::stored, 1'500'000'000);
  const std::string tar = images.bytes_of(layer);
  CHECK(tar.substr(136, 12) == std::string("13132027400\0", 12));
  CHECK(tar.substr(1024 + 136, 12) == std::string("00000001750\0", 12));
  CHECK(images.write(id, archive::Codec::stored).diff_id != layer.diff_id);
}

TEST_CASE("after a small change only its chunk is read for compression, digests stay right") {
  Images images;
  auto files = large_tree();
  const Layer first = images.write(images.add(files));
  check_digests(images, first);
  const auto artifact = images.store->find_artifact(first.artifact, *images.lease);
  REQUIRE(artifact->chunks.size() > 6);

  const std::string changed = GENERATE("dir/f00", "dir/f30", "dir/f59");
  INFO(changed);
  files[changed] = random_text(500'000, 1000);
  images.opened.clear();
  const Layer second = images.write(images.add(files));
  CHECK(second.diff_id != first.diff_id);
  check_digests(images, second);
  // What lies before the change is not even read; what follows is, for the digest alone.
  const auto at = static_cast<size_t>(std::stoi(changed.substr(5)));
  CHECK(images.opened.size() <= files.size() - at + 16);
  const auto after = images.store->find_artifact(second.artifact, *images.lease);
  REQUIRE(after->chunks.size() == artifact->chunks.size());
  size_t others = 0;
  for (size_t i = 0; i < after->chunks.size(); ++i)
    others += after->chunks[i] != artifact->chunks[i] ? 1 : 0;
  CHECK(others == 1);

  // Back to the first tree: nothing at all is read.
  files = large_tree();
  images.opened.clear();
  CHECK(images.write(images.add(files)).blob.digest == first.blob.digest);
  CHECK(images.opened.empty());
}

TEST_CASE("files added at the end go on from the kept states") {
  Images images;
  auto files = large_tree();
  (void)images.write(images.add(files));
  images.opened.clear();
  files["z"] = random_text(700'000, 99);
  const Layer layer = images.write(images.add(files));
  check_digests(images, layer);
  CHECK(images.opened.size() < 25);
}

TEST_CASE("lost facts are made again from the kept chunks") {
  Images images;
  const auto files = large_tree();
  const Layer first = images.write(images.add(files));
  // As gc does, under pressure.
  images.lease.reset();
  images.store.reset();
  images.store = cache::Store::open(images.dir.path() / "store");
  (void)images.store->collect(0);
  images.reopen();
  const Layer again = images.write(images.add(files));
  CHECK(again.diff_id == first.diff_id);
  CHECK(again.blob.digest == first.blob.digest);
  check_digests(images, again);
}

TEST_CASE("a damaged chunk in the store stops the digest, and the next try heals it") {
  Images images;
  auto files = large_tree();
  (void)images.write(images.add(files));
  const fs::path pack = images.dir.path() / "store/packs/1.pack";
  std::string bytes = read_file(pack);
  bytes[bytes.size() - 100'000] = static_cast<char>(bytes[bytes.size() - 100'000] ^ 1);
  write_file_atomic(pack, bytes);
  files["dir/f00"] = "changed";
  const cache::SnapshotId id = images.add(files);
  CHECK_THROWS_WITH(images.write(id), Contains("is damaged: wrong checksum"));
  check_digests(images, images.write(id));
}

TEST_CASE("several layers at once come in order, each with its own bytes") {
  Images images;
  std::vector<LayerInput> inputs;
  for (int i = 0; i < 5; ++i) {
    LayerInput input;
    input.stack = {images.add({{fmt::format("f{}", i % 3), std::string(1000, 'x')}})};
    inputs.push_back(input);
  }
  const std::vector<Layer> layers =
      write_layers(*images.store, *images.lease, images.trees(), inputs);
  REQUIRE(layers.size() == 5);
  CHECK(layers[0].artifact == layers[3].artifact);
  CHECK(layers[0].artifact != layers[1].artifact);
  for (const Layer& layer : layers) check_digests(images, layer);
}

TEST_CASE("warnings of the listing are passed on, cancelling stops") {
  Images images;
  Trees trees = images.trees();
  const cache::SnapshotId id = images.add({{"a", "x"}});
  trees.list = [list = trees.list](const Trees::Request& request) {
    Trees::Listed listed = list(request);
    listed.warnings = {"s is a socket and is left out"};
    return listed;
  };
  LayerInput input;
  input.stack = {id};
  std::vector<std::string> warnings;
  LayerOptions options;
  options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
  options.cancel = &images.cancel;
  images.cancel.request();
  CHECK_THROWS_AS(write_layers(*images.store, *images.lease, trees, {input}, options), Interrupted);
  CHECK(warnings == std::vector<std::string>{"s is a socket and is left out"});
}

TEST_CASE("kept states are refused when malformed") {
  HashState state;
  state.chunk = 3;
  state.prefix = hash_bytes("x");
  state.raw = "raw";
  state.blob = "blob";
  const Json json = states_to_json({state});
  const std::vector<HashState> back = states_from_json(json);
  REQUIRE(back.size() == 1);
  CHECK(back[0].raw == "raw");
  CHECK(back[0].prefix == state.prefix);
  for (const char* bad : {R"([[1,"x","00","00"]])", R"([[1]])", R"([{"a":1}])", R"([3])",
                          R"([["1","00","00","00"]])"})
    CHECK_THROWS_AS(states_from_json(Json::parse(bad)), Error);
}

TEST_CASE("media types name their compression") {
  using archive::Codec;
  CHECK(codec_of("application/vnd.docker.image.rootfs.diff.tar.gzip") == Codec::gzip);
  CHECK(codec_of("application/vnd.oci.image.layer.v1.tar+zstd") == Codec::zstd);
  CHECK(codec_of("application/vnd.oci.image.layer.nondistributable.v1.tar") == Codec::stored);
  CHECK_FALSE(codec_of("application/vnd.in-toto+json"));
  for (const Codec codec : {Codec::gzip, Codec::zstd, Codec::stored})
    for (const bool docker : {false, true})
      CHECK(codec_of(layer_media_type(codec, docker)) == codec);
}

TEST_CASE("a layer of given contents is written once, with its patches") {
  Images images;
  LayerContents contents;
  int opened = 0, patched = 0;
  for (const char* path : {"app/a", "app/b"}) {
    archive::LayerEntry entry;
    entry.path = path;
    entry.mode = 0644;
    entry.size = 5;
    entry.digest = hash_bytes("hello");
    contents.listing.entries.push_back(entry);
  }
  const fs::path file = images.dir.path() / "hello";
  write_file_atomic(file, "hello");
  contents.open = [&](const std::vector<std::string>& paths) {
    std::vector<Fd> files;
    for (size_t i = 0; i < paths.size(); ++i) files.push_back(open_file(file.string(), O_RDONLY));
    ++opened;
    return files;
  };
  contents.patches = [&] {
    ++patched;
    return std::vector<archive::TarPatch>{{.member = 1, .offset = 0, .bytes = "J"}};
  };
  contents.patch_key = hash_bytes("J");
  LayerInput input;
  input.contents = &contents;
  const auto write = [&] {
    return write_layers(*images.store, *images.lease, images.trees(), {input}).at(0);
  };
  const Layer layer = write();
  check_digests(images, layer);
  const std::string raw = decompressed(images, images.bytes_of(layer), "gzip");
  CHECK_THAT(raw, Contains("hello"));
  CHECK_THAT(raw, Contains("Jello"));
  CHECK(write().blob.digest == layer.blob.digest);
  CHECK(opened == 1);
  CHECK(patched == 1);
  CHECK(images.listed == 0);
  // Other patches, another layer.
  contents.patch_key = Digest();
  CHECK(write().diff_id != layer.diff_id);
  CHECK(patched == 1);
}
