// Images that are damaged or lie, and imports that end early.
#include "image/import.h"

#include <sys/stat.h>

#include <set>

#include "base/error.h"
#include "image/docker_archive.h"
#include "image/import_fixture.h"
#include "image/layout.h"

using namespace slipway;
using namespace slipway::image;
using namespace slipway::image::testing;
using Catch::Matchers::Contains;

TEST_CASE("a flipped bit in any file of a layout is an error, and nothing is visible (threat 20)") {
  Imports made;
  const Image image = made.image({made.add({{"a", std::string(5000, 'a')}})});
  const auto published =
      export_oci_layout(made.context(), made.out("good"), {made.named(image, {})});
  std::vector<std::string> blobs = {published[0].digest, published[0].config_digest,
                                    image.layers[0].blob.digest};
  int number = 0;
  for (const std::string& digest : blobs) {
    const fs::path file = made.out("good") / blob_place(digest);
    const std::string good = read_file(file);
    for (const size_t at : {size_t{0}, size_t{9}, good.size() / 2, good.size() - 1}) {
      INFO(digest << " at " << at);
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 4);
      write_file_atomic(file, bad);
      made.fresh_store(fmt::format("store{}", number++));
      const Error error = made.error_of("oci:" + made.out("good").string());
      CHECK(error.code() == ExitCode::outside);
      CHECK(made.committed() == 0);
      CHECK_FALSE(made.store->has_blob(digest.substr(7)));
    }
    for (const std::string& bad : {good.substr(0, good.size() - 1), good + "x", std::string()}) {
      INFO(digest << " with " << bad.size() << " bytes");
      write_file_atomic(file, bad);
      made.fresh_store(fmt::format("store{}", number++));
      CHECK(made.error_of("oci:" + made.out("good").string()).code() == ExitCode::outside);
      CHECK(made.committed() == 0);
    }
    write_file_atomic(file, good);
  }
  made.fresh_store("last");
  CHECK(made.from("oci:" + made.out("good").string()).snapshot != 0);
}

TEST_CASE("a layer that is not what the config says is refused though its blob is whole") {
  Imports made;
  Image image = made.image({made.add({{"a", "a"}}), made.add({{"b", "b"}})});
  // A manifest and config that agree with one another and lie about the content.
  std::swap(image.config.diff_ids[0], image.config.diff_ids[1]);
  std::swap(image.layers[0].diff_id, image.layers[1].diff_id);
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  (void)export_oci_archive(made.context(), made.out("l.tar"), {made.named(image, {})});
  (void)export_docker_archive(made.context(), made.out("d.tar"), {made.named(image, {})});
  int number = 0;
  for (const std::string& source :
       {"oci:" + made.out("l").string(), "oci-archive:" + made.out("l.tar").string(),
        "docker-archive:" + made.out("d.tar").string()}) {
    INFO(source);
    made.fresh_store(fmt::format("store{}", number++));
    const Error error = made.error_of(source);
    CHECK(error.code() == ExitCode::outside);
    CHECK_THAT(error.cause(), Contains("the decompressed layer has the digest"));
    CHECK_THAT(error.what(), Contains("layer sha256:"));
    CHECK(made.committed() == 0);
  }
}

TEST_CASE("documents that mean two things, or lie, are refused (threat 19)") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  const auto published =
      export_oci_layout(made.context(), made.out("l"), {made.named(image, {"a.example/x:1"})});
  const fs::path layout = made.out("l");
  const std::string index = read_file(layout / "index.json");
  // Replaces the manifest and the index's entry for it.
  const auto with_manifest = [&](const std::function<void(Json&)>& change) {
    Json manifest = Json::parse(read_file(layout / blob_place(published[0].digest)));
    change(manifest);
    const std::string bytes = manifest.dump();
    const std::string digest = "sha256:" + sha256_hex(bytes);
    write_file_atomic(layout / blob_place(digest), bytes);
    write_file_atomic(layout / "index.json", index);
    edit(layout / "index.json", [&](Json& json) {
      json["manifests"][0]["digest"] = digest;
      json["manifests"][0]["size"] = bytes.size();
    });
    return made.error_of("oci:" + layout.string());
  };
  CHECK_THAT(with_manifest([](Json& json) { json["manifests"] = Json::array(); }).cause(),
             Contains("an index and a manifest at once"));
  CHECK(with_manifest([](Json& json) { json["mediaType"] = oci::media_type::index; }).code() ==
        ExitCode::outside);
  CHECK_THAT(
      with_manifest([](Json& json) { json["layers"][0]["digest"] = "../../etc/passwd"; }).cause(),
      Contains("is not a digest"));
  CHECK(with_manifest([](Json& json) { json["layers"][0]["size"] = -1; }).code() ==
        ExitCode::outside);
  CHECK(with_manifest([](Json& json) { json["layers"][0]["size"] = 1; }).code() ==
        ExitCode::outside);
  CHECK(with_manifest([](Json& json) { json["layers"].push_back(json["layers"][0]); }).cause() ==
        "the manifest has 2 layers, the config 1");
  CHECK_THAT(with_manifest([](Json& json) {
               json["layers"][0]["mediaType"] = "application/vnd.in-toto+json";
             }).cause(),
             Contains("layer 1 is of the unknown type"));
  CHECK_THAT(with_manifest([](Json& json) {
               json["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json";
             }).cause(),
             Contains("it is no image"));
  for (const char* digest : {"sha256:../../../../etc/passwd", "sha256:", "md5:abc", "x"}) {
    write_file_atomic(layout / "index.json", index);
    edit(layout / "index.json", [&](Json& json) { json["manifests"][0]["digest"] = digest; });
    CHECK_THAT(made.error_of("oci:" + layout.string()).cause(), Contains("is not a digest"));
  }
  for (const char* text : {"", "[]", "{", "null", R"({"schemaVersion":2})"}) {
    write_file_atomic(layout / "index.json", text);
    CHECK(made.error_of("oci:" + layout.string()).code() == ExitCode::outside);
  }
  CHECK(made.committed() == 1);  // the fixture's own
}

TEST_CASE("an index that leads back to itself, or ever deeper, ends") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  const auto published = export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  std::string digest = published[0].digest;
  std::string type = oci::media_type::manifest;
  uint64_t size = published[0].manifests[0].size_bytes;
  for (int depth = 0; depth < 6; ++depth) {
    oci::Index index;
    oci::Descriptor entry;
    entry.media_type = type;
    entry.digest = digest;
    entry.size_bytes = size;
    index.manifests = {entry};
    const std::string bytes = oci::serialize_index(index);
    digest = "sha256:" + sha256_hex(bytes);
    size = bytes.size();
    type = oci::media_type::index;
    write_file_atomic(made.out("l") / blob_place(digest), bytes);
    write_file_atomic(made.out("l/index.json"), bytes);
    if (depth < 4)
      CHECK(made.from("oci:" + made.out("l").string()).snapshot != 0);
    else
      CHECK(made.error_of("oci:" + made.out("l").string()).cause() ==
            "indexes are nested more than 4 deep");
  }
}

TEST_CASE("files that are missing or no files are told by name") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  CHECK(made.error_of("oci:" + made.out("nowhere").string()).cause() == "there is no index.json");
  const fs::path layer = made.out("l") / blob_place(image.layers[0].blob.digest);
  fs::remove(layer);
  made.fresh_store();
  CHECK(made.error_of("oci:" + made.out("l").string()).cause() ==
        "there is no " + blob_place(image.layers[0].blob.digest));
  REQUIRE(mkfifo(layer.c_str(), 0644) == 0);
  CHECK_THAT(made.error_of("oci:" + made.out("l").string()).cause(),
             Contains("is not a regular file"));
  fs::remove(made.out("l/index.json"));
  fs::create_symlink("/dev/zero", made.out("l/index.json"));
  CHECK(made.error_of("oci:" + made.out("l").string()).cause() ==
        "index.json is not a regular file");
  CHECK(made.error_of("oci-archive:/dev/zero").cause() == "it is not a regular file");
  write_file_atomic(made.out("text"), "no tar");
  CHECK(made.error_of("docker-archive:" + made.out("text").string()).code() == ExitCode::outside);
}

TEST_CASE("hostile docker manifests are refused (threat 19)") {
  const auto refused = [](const std::string& text) {
    INFO(text);
    try {
      (void)parse_docker_manifest(text);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::outside);
    }
  };
  for (const char* text :
       {"", "{}", "[]", "[1]", "[{}]", R"([{"Config":1}])", R"([{"Config":"c","Layers":"x"}])",
        R"([{"Config":"c","Layers":[1]}])", R"([{"Config":"c","RepoTags":{"a":1}}])"})
    refused(text);
  std::string many = "[";
  for (int i = 0; i < 1001; ++i) many += R"({"Config":"c"},)";
  many.back() = ']';
  refused(many);
  const auto good = parse_docker_manifest(R"([{"Config":"c","RepoTags":null,"Layers":["l"]}])");
  CHECK(good[0].layers == std::vector<std::string>{"l"});
}

TEST_CASE("a docker-archive names files of the archive only") {
  Imports made;
  const fs::path d = made.out("x");
  make_directories(d);
  write_file_atomic(made.out("secret"), "{}");
  for (const char* config : {"../secret", "/etc/passwd", "link", "loop"}) {
    INFO(config);
    write_file_atomic(d / "manifest.json",
                      Json({{{"Config", config}, {"Layers", Json::array()}}}).dump());
    fs::remove(d / "link");
    fs::remove(d / "loop");
    fs::create_symlink("/etc/passwd", d / "link");
    fs::create_symlink("loop", d / "loop");
    (void)tool({"tar", "-cf", made.out("x.tar").string(), "-C", d.string(), "."});
    const Error error = made.error_of("docker-archive:" + made.out("x.tar").string());
    CHECK(error.code() == ExitCode::outside);
    CHECK_THAT(error.cause(), Contains("the archive has no"));
  }
}

TEST_CASE("an archive cut short anywhere is an error (threat 20)") {
  Imports made;
  const Image image = made.image({made.add({{"a", std::string(20'000, 'a')}})});
  (void)export_oci_archive(made.context(), made.out("o.tar"), {made.named(image, {})});
  const std::string good = read_file(made.out("o.tar"));
  int number = 0;
  for (size_t size = 0; size < good.size(); size += 1531) {
    INFO(size);
    write_file_atomic(made.out("cut.tar"), good.substr(0, size));
    made.fresh_store(fmt::format("store{}", number++));
    CHECK(made.error_of("oci-archive:" + made.out("cut.tar").string()).code() == ExitCode::outside);
    CHECK(made.committed() == 0);
  }
}

TEST_CASE("a failing layer stops the others, the first failure is told") {
  Imports made;
  std::vector<cache::SnapshotId> layers;
  for (int i = 0; i < 8; ++i) layers.push_back(made.add({{fmt::format("f{}", i), "x"}}));
  const Image image = made.image(layers);
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  made.own_trees.unpack = [&, real = made.own_trees.unpack](int file, const Trees::Unpack& wanted) {
    if (wanted.diff_id == image.layers[3].diff_id) fail(ExitCode::machine, "disk on fire");
    // Every other one wants what is below it.
    if (wanted.lower.size() % 2 == 1) wanted.wait_for_lower();
    return real(file, wanted);
  };
  const Error error = made.error_of("oci:" + made.out("l").string());
  CHECK(error.cause() == "disk on fire");
  CHECK(error.code() == ExitCode::machine);
  CHECK_THAT(error.what(), Contains(image.layers[3].blob.digest));
  CHECK(made.committed() == 0);
}

TEST_CASE("layers wait for those below only when they ask") {
  Imports made;
  std::vector<cache::SnapshotId> layers;
  for (int i = 0; i < 12; ++i) layers.push_back(made.add({{fmt::format("f{}", i), "x"}}));
  const Image image = made.image(layers);
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  std::mutex mutex;
  std::set<cache::SnapshotId> done;
  bool in_order = true;
  made.own_trees.unpack = [&, real = made.own_trees.unpack](int file, const Trees::Unpack& wanted) {
    if (wanted.lower.size() % 3 == 2) {
      wanted.wait_for_lower();
      const std::lock_guard lock(mutex);
      for (const cache::SnapshotId id : wanted.lower) in_order = in_order && done.contains(id);
    }
    archive::Tree tree = real(file, wanted);
    const std::lock_guard lock(mutex);
    done.insert(wanted.target);
    return tree;
  };
  CHECK(made.store->chain(made.from("oci:" + made.out("l").string()).snapshot).size() == 12);
  CHECK(in_order);
}

TEST_CASE("blobs that come one after the other are unpacked as they come") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}}), made.add({{"b", "b"}})});
  const Assembled output = assemble(made.named(image, {}));
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  std::vector<std::string> asked;
  std::mutex mutex;
  const auto open = [&](const oci::Descriptor& blob) {
    const std::lock_guard lock(mutex);
    asked.push_back(blob.digest);
    return open_file((made.out("l") / blob_place(blob.digest)).string(), O_RDONLY);
  };
  const Imported imported = import_image(made.importing(), output.platforms[0].manifest.bytes,
                                         output.platforms[0].config.bytes, open);
  CHECK(asked.size() == 2);
  CHECK(imported.digest == output.published.digest);
  // Snapshots are there, one blob is not: it alone is asked for.
  fs::remove(made.store->root() / blob_place(image.layers[1].blob.digest));
  asked.clear();
  made.unpacked = 0;
  (void)import_image(made.importing(), output.platforms[0].manifest.bytes,
                     output.platforms[0].config.bytes, open);
  CHECK(asked == std::vector<std::string>{image.layers[1].blob.digest});
  CHECK(made.unpacked == 0);
  CHECK_THROWS_WITH(import_image(made.importing(), output.platforms[0].manifest.bytes, "{}", open),
                    Contains("the config is not the one the manifest names"));
}

TEST_CASE("cancelling stops an import") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  made.cancel.request();
  CHECK(made.error_of("oci:" + made.out("l").string()).code() == ExitCode::interrupted);
  CHECK(made.committed() == 0);
}
