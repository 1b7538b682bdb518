#include "image/import.h"

#include <sys/stat.h>

#include <set>

#include "base/error.h"
#include "image/docker_archive.h"
#include "image/image_fixture.h"
#include "image/layout.h"

using namespace slipway;
using namespace slipway::image;
using namespace slipway::image::testing;
using Catch::Matchers::Contains;

namespace {

struct Imports : Exports {
  Trees own_trees = trees();
  std::vector<std::string> warnings;

  ImportContext importing() {
    return {*store,
            *lease,
            own_trees,
            cancel,
            [this](const std::string& text) { warnings.push_back(text); },
            {}};
  }
  Imported from(const std::string& text) {
    const auto source = parse_local_source(text);
    REQUIRE(source);
    return import_local(importing(), *source, oci::Platform{});
  }
  /// A store that knows nothing yet.
  void fresh_store(const std::string& name = "fresh") {
    lease.reset();
    store.reset();
    store = cache::Store::open(dir.path() / name);
    lease = store->lease();
    unpacked = 0;
  }
  Error error_of(const std::string& text) {
    try {
      (void)from(text);
    } catch (const Error& error) {
      return error;
    }
    FAIL("nothing was thrown");
    return Error(ExitCode::bug, "");
  }
  size_t committed() const {
    size_t count = 0;
    for (cache::SnapshotId id = 1; id < 100; ++id) count += store->find_snapshot(id) ? 1 : 0;
    return count;
  }
};

void edit(const fs::path& file, const std::function<void(Json&)>& change) {
  Json json = Json::parse(read_file(file));
  change(json);
  write_file_atomic(file, json.dump());
}

}  // namespace

TEST_CASE("local sources are named as skopeo names them") {
  const auto check = [](const std::string& text, LocalSource::Kind kind, const std::string& path,
                        const std::string& tag) {
    INFO(text);
    const auto source = parse_local_source(text);
    REQUIRE(source);
    CHECK(source->kind == kind);
    CHECK(source->path == path);
    CHECK(source->tag == tag);
  };
  const std::string digest = "sha256:" + std::string(64, 'a');
  check("oci:dir", LocalSource::Kind::oci, "dir", "");
  check("oci:/a/b:tag", LocalSource::Kind::oci, "/a/b", "tag");
  check("oci:dir@" + digest, LocalSource::Kind::oci, "dir", digest);
  check("oci-layout:///a/b:1", LocalSource::Kind::oci, "/a/b", "1");
  check("oci-archive:x.tar:v1", LocalSource::Kind::oci_archive, "x.tar", "v1");
  check("docker-archive:x.tar:debian:12", LocalSource::Kind::docker_archive, "x.tar", "debian:12");
  check("docker-archive:x.tar:@1", LocalSource::Kind::docker_archive, "x.tar", "@1");
  CHECK(parse_local_source("oci:dir:1")->to_string() == "oci:dir:1");
  for (const char* other : {"debian", "debian:12", "ocid:x", "docker://x", ""})
    CHECK_FALSE(parse_local_source(other));
  for (const char* bad : {"oci:", "oci::tag", "docker-archive:", "oci:x@sha256:abc"}) {
    INFO(bad);
    try {
      (void)parse_local_source(bad);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::usage);
    }
  }
}

TEST_CASE("chain ids fold the diff ids (M9)") {
  const std::string a = "sha256:" + std::string(64, 'a'), b = "sha256:" + std::string(64, 'b');
  const auto chains = chain_ids({a, b, b});
  CHECK(chains[0] == a);
  CHECK(chains[1] == "sha256:" + sha256_hex(a + " " + b));
  CHECK(chains[2] == "sha256:" + sha256_hex(chains[1] + " " + b));
  CHECK(chain_ids({}).empty());
}

TEST_CASE("what we write is what we read, from layout, archive and docker-archive") {
  Imports made;
  const auto codec = GENERATE(archive::Codec::gzip, archive::Codec::zstd, archive::Codec::stored);
  const Image image = made.image({made.add({{"etc/a", "1"}, {"big", std::string(700'000, 'b')}}),
                                  made.add({}), made.add({{"etc/a", "2"}})},
                                 codec);
  const std::vector<Named> images = {made.named(image, {full("x:1")})};
  const auto published = export_oci_layout(made.context(), made.out("l"), images);
  (void)export_oci_archive(made.context(), made.out("o.tar"), images);
  (void)export_docker_archive(made.context(), made.out("d.tar"), images);
  (void)tool({"gzip", "-k", made.out("d.tar").string()});
  int number = 0;
  for (const std::string& source :
       {"oci:" + made.out("l").string(), "oci-archive:" + made.out("o.tar").string() + ":1",
        "docker-archive:" + made.out("d.tar").string() + ":x:1",
        "docker-archive:" + made.out("d.tar.gz").string()}) {
    INFO(source);
    made.fresh_store(fmt::format("store{}", number++));
    const Imported imported = made.from(source);
    CHECK(made.unpacked == 3);
    CHECK(imported.image.config.diff_ids == image.config.diff_ids);
    CHECK(imported.chain_id == chain_ids(image.config.diff_ids).back());
    const bool docker = source.substr(0, 6) == "docker";
    CHECK(imported.digest == (docker ? published[0].config_digest : published[0].digest));
    const std::vector<cache::SnapshotId> chain = made.store->chain(imported.snapshot);
    REQUIRE(chain.size() == 3);
    CHECK(read_file(made.root_of(chain[2]) / "big").size() == 700'000);
    CHECK(read_file(made.root_of(chain[0]) / "etc/a") == "2");
    // The compressed bytes are kept as they came, and handed on the same.
    for (const Layer& layer : imported.image.layers) {
      CHECK_FALSE(layer.artifact);
      CHECK(made.store->has_blob(layer.blob.digest.substr(7)));
    }
    const auto again = export_oci_layout(made.context(), made.out(fmt::format("again{}", number)),
                                         {made.named(imported.image, {})});
    CHECK(again[0].digest == published[0].digest);
    // The same again costs nothing.
    made.unpacked = 0;
    CHECK(made.from(source).snapshot == imported.snapshot);
    CHECK(made.unpacked == 0);
  }
}

TEST_CASE("layers are shared between images by chain id, and survive a reopening") {
  Imports made;
  const cache::SnapshotId base = made.add({{"base", "b"}});
  const Image one = made.image({base, made.add({{"one", "1"}})});
  const Image two = made.image({base, made.add({{"two", "2"}}), made.add({{"three", "3"}})});
  const Image other = made.image({made.add({{"one", "1"}}), base});
  (void)export_oci_layout(made.context(), made.out("l"),
                          {made.named(one, {full("one:1")}), made.named(two, {full("two:2")}),
                           made.named(other, {full("other:3")})});
  made.fresh_store();
  const std::string place = "oci:" + made.out("l").string();
  const Imported first = made.from(place + ":1");
  CHECK(made.unpacked == 2);
  const Imported second = made.from(place + ":2");
  CHECK(made.unpacked == 4);
  CHECK(made.store->chain(first.snapshot).back() == made.store->chain(second.snapshot).back());
  // The same layers in another order are other snapshots: what lies below differs.
  (void)made.from(place + ":3");
  CHECK(made.unpacked == 6);
  made.fresh_store();
  made.unpacked = 6;
  CHECK(made.from(place + ":" + full("two:2")).snapshot == second.snapshot);
  CHECK(made.unpacked == 6);
}

TEST_CASE("mapped and single ids keep snapshots apart") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  const Imported mapped = made.from("oci:" + made.out("l").string());
  made.own_trees.ids = "single";
  CHECK(made.from("oci:" + made.out("l").string()).snapshot != mapped.snapshot);
  CHECK(made.unpacked == 2);
}

TEST_CASE("a snapshot that gc took is unpacked again from the kept blob") {
  Imports made;
  const Image image = made.image({made.add({{"a", "a"}}), made.add({{"b", "b"}})});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  made.fresh_store();
  const Imported first = made.from("oci:" + made.out("l").string());
  remove_tree(made.store->snapshots_dir() / std::to_string(first.snapshot));
  const Imported again = made.from("oci:" + made.out("l").string());
  CHECK(again.snapshot != first.snapshot);
  CHECK(made.unpacked == 3);
}

TEST_CASE("an image without layers is an empty root") {
  Imports made;
  const Image image = made.image({});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {})});
  const Imported imported = made.from("oci:" + made.out("l").string());
  CHECK(imported.snapshot == 0);
  CHECK(imported.chain_id.empty());
  CHECK(imported.image.config.config.cmd == image.config.config.cmd);
}

TEST_CASE("images are found by tag, name, digest and platform, or told apart") {
  Imports made;
  Image amd = made.image({made.add({{"a", "amd"}})});
  Image arm = made.image({made.add({{"a", "arm"}})});
  arm.config.platform.architecture = "arm64";
  Named multi = made.named(arm, {full("multi:1")});
  multi.platforms.push_back(amd);
  const auto published =
      export_oci_layout(made.context(), made.out("l"), {multi, made.named(arm, {full("arm:2")})});
  const std::string place = "oci:" + made.out("l").string();
  CHECK(made.from(place + ":1").image.config.platform.architecture == "amd64");
  CHECK(made.from(place + ":multi:1").image.config.platform.architecture == "amd64");
  CHECK(made.from(place + "@" + published[0].digest).image.config.diff_ids == amd.config.diff_ids);
  const Error several = made.error_of(place);
  CHECK(several.code() == ExitCode::outside);
  CHECK(several.cause() == "there is more than one image");
  CHECK_THAT(several.hint(), Contains(full("multi:1") + ", " + full("arm:2")));
  const Error unknown = made.error_of(place + ":3");
  CHECK(unknown.cause() == "there is no image '3'");
  CHECK_THAT(unknown.hint(), Contains(full("arm:2")));
  CHECK_THAT(unknown.what(), Contains("reading the image oci:"));
  const Error platform = made.error_of(place + ":2");
  CHECK(platform.cause() == "there is no image for linux/amd64");
  CHECK(platform.hint() == "it is there for linux/arm64");
}

TEST_CASE("several images of a docker-archive are told apart by name or number") {
  Imports made;
  const Image one = made.image({made.add({{"a", "1"}})});
  const Image two = made.image({made.add({{"a", "2"}})});
  (void)export_docker_archive(made.context(), made.out("d.tar"),
                              {made.named(one, {full("one:1")}), made.named(two, {full("two:2")})});
  const std::string place = "docker-archive:" + made.out("d.tar").string();
  CHECK(made.from(place + ":two:2").image.config.diff_ids == two.config.diff_ids);
  CHECK(made.from(place + ":" + full("one:1")).image.config.diff_ids == one.config.diff_ids);
  CHECK(made.from(place + ":@1").image.config.diff_ids == two.config.diff_ids);
  const Error several = made.error_of(place);
  CHECK(several.cause() == "there are 2 images");
  CHECK_THAT(several.hint(), Contains("one:1, two:2"));
  CHECK(made.error_of(place + ":three").cause() == "there is no image 'three'");
}

TEST_CASE("docker save of old engines: layers as links to one another, no digests in names") {
  Imports made;
  const fs::path d = made.out("save");
  make_directories(d / "1");
  make_directories(d / "2");
  std::string tar;
  {
    const Image image = made.image({made.add({{"etc/x", "y"}})}, archive::Codec::stored);
    tar = made.bytes_of(image.layers[0]);
  }
  write_file_atomic(d / "1/layer.tar", tar);
  fs::create_symlink("../1/layer.tar", d / "2/layer.tar");
  oci::ImageConfig config;
  config.diff_ids = {"sha256:" + sha256_hex(tar), "sha256:" + sha256_hex(tar)};
  const std::string bytes = oci::serialize_image_config(config);
  write_file_atomic(d / (sha256_hex(bytes) + ".json"), bytes);
  write_file_atomic(d / "manifest.json", Json({{{"Config", sha256_hex(bytes) + ".json"},
                                                {"RepoTags", {"old:1"}},
                                                {"Layers", {"1/layer.tar", "2/layer.tar"}}}})
                                             .dump());
  (void)tool({"tar", "-cf", made.out("save.tar").string(), "-C", d.string(), "."});
  made.fresh_store();
  const Imported imported = made.from("docker-archive:" + made.out("save.tar").string());
  CHECK(made.store->chain(imported.snapshot).size() == 2);
  CHECK(imported.image.layers[0].blob.digest == config.diff_ids[0]);
  CHECK(imported.image.layers[0].blob.media_type == oci::media_type::layer);
  CHECK(imported.image.config_bytes == bytes);

  // The name promises a digest: another config under it is refused.
  write_file_atomic(d / (sha256_hex(bytes) + ".json"), bytes + " ");
  (void)tool({"tar", "-cf", made.out("bad.tar").string(), "-C", d.string(), "."});
  CHECK_THAT(made.error_of("docker-archive:" + made.out("bad.tar").string()).cause(),
             Contains("has another digest"));
}

TEST_CASE("skopeo's copies are read by us") {
  Imports made;
  const Image image =
      made.image({made.add({{"etc/x", std::string(100'000, 'y')}}), made.add({{"b", "b"}})});
  (void)export_oci_layout(made.context(), made.out("l"), {made.named(image, {full("x:1")})});
  const std::string source = "oci:" + made.out("l").string() + ":1";
  int number = 0;
  for (const std::string& target :
       {"oci:" + made.out("s").string() + ":t", "oci-archive:" + made.out("s.tar").string() + ":t",
        "docker-archive:" + made.out("sd.tar").string() + ":x:1"}) {
    INFO(target);
    if (!tool({"skopeo", "--insecure-policy", "copy", "-q", source, target})) return;
    made.fresh_store(fmt::format("store{}", number++));
    const Imported imported = made.from(target);
    CHECK(imported.image.config.diff_ids == image.config.diff_ids);
    CHECK(read_file(made.root_of(made.store->chain(imported.snapshot).back()) / "etc/x").size() ==
          100'000);
  }
}

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
