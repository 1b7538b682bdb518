#include "base/error.h"
#include "image/cache_archive.h"
#include "image/cache_bundle.h"
#include "image/cache_folder.h"
#include "image/image_fixture.h"

using namespace slipway;
using namespace slipway::image;
using Catch::Matchers::Contains;
using slipway::image::testing::Exports;

namespace {

CacheItem item(const std::string& name, std::optional<cache::SnapshotId> top) {
  CacheItem made;
  made.key = hash_bytes(name);
  made.first = hash_bytes(name + " first");
  made.created = 7;
  made.top = top;
  return made;
}

const CacheDocument::Result& result_of(const CacheDocument& document, const std::string& name) {
  for (const CacheDocument::Result& result : document.results)
    if (result.key == hash_bytes(name)) return result;
  FAIL("no result " << name);
  throw std::logic_error(name);
}

CacheDocument good() {
  CacheDocument document;
  document.ids = "mapped";
  document.layers = {"sha256:" + sha256_hex("a"), "sha256:" + sha256_hex("b")};
  document.chains = {{0, -1}, {1, 0}};
  document.results = {{hash_bytes("k"), hash_bytes("k"), 0, 1, {}}};
  return document;
}

std::string refusal(Json json, size_t layers = 2) {
  try {
    (void)parse_cache_document(json.dump(), layers);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a cache's config comes back as it was written") {
  CacheDocument document = good();
  document.scope = "main";
  document.results.push_back({hash_bytes("x"), hash_bytes("y"), 5, std::nullopt, {}});
  document.results.push_back({hash_bytes("e"), hash_bytes("e"), 5, -1, {{"path", "app"}}});
  document.folders.push_back({CacheDocument::Folder::Kind::app, "app@/src", "", 0});
  CHECK(parse_cache_document(serialize_cache_document(document), 2) == document);
  CHECK(document.layers_of(1) == std::vector<size_t>{0, 1});
  CHECK(document.layers_of(-1).empty());
}

TEST_CASE("a cache's config that leads nowhere, or in a circle, is refused (threats 7, 20)") {
  const Json base = Json::parse(serialize_cache_document(good()));
  const auto with = [&](const char* name, Json value) {
    Json json = base;
    json[name] = std::move(value);
    return refusal(json);
  };
  CHECK(refusal(base) == "accepted");
  CHECK_THAT(refusal(base, 3), Contains("tells of 2 layers, the manifest of 3"));
  CHECK_THAT(with("slipway.cache", 2), Contains("unknown version 2"));
  CHECK_THAT(with("chains", {{0, 0}}), Contains("names one that does not stand before it"));
  CHECK_THAT(with("chains", {{2, -1}}), Contains("names a layer that is not there"));
  CHECK_THAT(with("chains", {{18446744073709551615U, -1}}), Contains("too large"));
  CHECK_THAT(with("layers", {"sha256:../../etc", "x"}), Contains("a layer is no digest"));
  CHECK_THAT(with("results", {{{"key", "../x"}}}), Contains("'key' is no key"));
  CHECK_THAT(with("results", {{{"key", std::string(64, '0')}}}), Contains("'key' is no key"));
  const std::string key = hash_bytes("k").hex();
  CHECK_THAT(with("results", {{{"key", key}, {"chain", 2}}}),
             Contains("names a chain that is not"));
  Json folder = {{"kind", "mount"}, {"name", "../../etc"}, {"id", ""}, {"chain", 0}};
  CHECK_THAT(with("folders", Json::array({folder})), Contains("cache mount's name is no digest"));
  CHECK_THAT(refusal(Json::object()), Contains("no cache of Slipway's"));
}

TEST_CASE("results become layers once, and their chains snapshots again") {
  Exports a, b;
  const auto base = a.add({{"base", "1"}});
  const auto left = a.add({{"left", "2"}}, base), right = a.add({{"right", "3"}}, base);
  const CacheBundle bundle =
      bundle_cache(*a.store, *a.lease, a.trees(),
                   {item("left", left), item("right", right), item("told", std::nullopt),
                    item("empty", 0), item("base", base)},
                   "main", archive::Codec::gzip);
  CHECK(bundle.layers.size() == 3);
  CHECK(bundle.document.scope == "main");
  CHECK_FALSE(result_of(bundle.document, "told").chain.has_value());
  CHECK(result_of(bundle.document, "empty").chain == -1);
  CHECK(result_of(bundle.document, "left").first == hash_bytes("left first"));

  const fs::path folder = a.out("cache");
  write_cache_folder(a.context(), folder, "latest", bundle);
  const CacheFolder read(folder, "latest");
  CHECK(read.listing().document == bundle.document);
  const Trees trees = b.trees();
  const ImportContext context{*b.store, *b.lease, trees, b.cancel, {}, {}};
  const auto open = [&](const oci::Descriptor& blob) { return read.open(blob); };
  const auto bring = [&](const char* name) {
    return import_chain(context, read.listing(), *result_of(read.listing().document, name).chain,
                        open)
        .snapshot;
  };
  const auto there = bring("left");
  CHECK(b.store->chain(there).size() == 2);
  CHECK(b.unpacked == 2);
  // The base is shared.
  CHECK(b.store->chain(bring("right")).back() == b.store->chain(there).back());
  CHECK(b.unpacked == 3);
  // What was brought is handed on as it came: nothing is listed or compressed.
  const CacheBundle again =
      bundle_cache(*b.store, *b.lease, trees, {item("left", there)}, "", archive::Codec::gzip);
  CHECK(b.listed == 0);
  REQUIRE(again.layers.size() == 2);
  CHECK(again.layers[1].blob.digest == bundle.layers[1].blob.digest);
  CHECK_THROWS_WITH(CacheFolder(folder, "other"), Contains("there is no cache 'other' in it"));
}

TEST_CASE("a cache keeps to its size: the last items lose their layers") {
  Exports a;
  const auto one = a.add({{"one", std::string(50'000, 'x') + "1"}});
  const auto two = a.add({{"two", "2"}});
  const CacheBundle all =
      bundle_cache(*a.store, *a.lease, a.trees(), {item("one", one), item("two", two)}, "",
                   archive::Codec::stored);
  const CacheBundle less =
      bundle_cache(*a.store, *a.lease, a.trees(), {item("two", two), item("one", one)}, "",
                   archive::Codec::stored, {}, {20'000});
  CHECK(all.left_out == 0);
  CHECK(less.left_out == 1);
  CHECK(less.layers.size() == 1);
  CHECK_FALSE(result_of(less.document, "one").chain.has_value());
  CHECK(result_of(less.document, "two").chain.has_value());
}

TEST_CASE("a cache file is verified as a whole before anything of it is used (threat 20)") {
  Exports a;
  const CacheBundle bundle =
      bundle_cache(*a.store, *a.lease, a.trees(), {item("one", a.add({{"one", "1"}}))}, "",
                   archive::Codec::gzip);
  const fs::path file = a.out("cache.tar");
  write_cache_archive(a.context(), file, bundle);
  CHECK(CacheArchive(file, a.cancel).listing().document == bundle.document);
  const std::string bytes = read_file(file);
  const fs::path bad = a.out("bad.tar");
  for (const size_t size : {size_t{0}, size_t{700}, bytes.size() / 2, bytes.size() - 2000}) {
    write_file_atomic(bad, bytes.substr(0, size));
    CHECK_THROWS_AS(CacheArchive(bad, a.cancel), Error);
  }
  const std::string layer = a.bytes_of(bundle.layers[0]);
  std::string flipped = bytes;
  flipped[flipped.find(layer) + layer.size() / 2] ^= 1;
  write_file_atomic(bad, flipped);
  CHECK_THROWS_WITH(CacheArchive(bad, a.cancel), Contains("is damaged"));
}
