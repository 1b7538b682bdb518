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
