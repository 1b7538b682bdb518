#include "image/export.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "image/image_fixture.h"
#include "image/layout.h"

using namespace slipway;
using namespace slipway::image;
using namespace slipway::image::testing;
using Catch::Matchers::Contains;

namespace {

Json json_of(const fs::path& file) {
  return Json::parse(read_file(file));
}

Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("nothing was thrown");
  return Error(ExitCode::bug, "");
}

}  // namespace

TEST_CASE("an OCI layout has what the specification asks for, and every blob its digest (M16)") {
  Exports made;
  const Image image = made.image({made.add({{"hello", "hi"}}), made.add({{"etc/x", "y"}})});
  const auto published =
      export_oci_layout(made.context(), made.out("layout"),
                        {Exports::named(image, {full("hello:1"), "registry.example/h:2"})});
  REQUIRE(published.size() == 1);
  const fs::path layout = made.out("layout");
  CHECK(read_file(layout / "oci-layout") == R"({"imageLayoutVersion":"1.0.0"})");
  const Json index = json_of(layout / "index.json");
  CHECK(index["schemaVersion"] == 2);
  REQUIRE(index["manifests"].size() == 2);
  const Json& entry = index["manifests"][0];
  CHECK(entry["digest"] == published[0].digest);
  CHECK(entry["mediaType"] == oci::media_type::manifest);
  CHECK(entry["annotations"]["io.containerd.image.name"] == full("hello:1"));
  CHECK(entry["annotations"]["org.opencontainers.image.ref.name"] == "1");
  CHECK(entry["annotations"]["org.opencontainers.image.created"] == "2024-05-06T07:08:09Z");
  CHECK(index["manifests"][1]["annotations"]["io.containerd.image.name"] == "registry.example/h:2");
  size_t blobs = 0;
  for (const auto& at : fs::directory_iterator(layout / "blobs/sha256")) {
    CHECK(sha256_hex(read_file(at.path())) == at.path().filename());
    ++blobs;
  }
  CHECK(blobs == 4);
  const oci::Document manifest =
      oci::parse_document(read_file(layout / blob_place(published[0].digest)));
  REQUIRE(manifest.manifest);
  CHECK(manifest.manifest->config.digest == published[0].config_digest);
  CHECK(manifest.manifest->layers.size() == 2);
  CHECK(manifest.manifest->layers[1].digest == image.layers[1].blob.digest);
  const oci::ImageConfig config =
      oci::parse_image_config(read_file(layout / blob_place(published[0].config_digest)));
  CHECK(config.diff_ids == image.config.diff_ids);
  struct stat info {};
  REQUIRE(stat(layout.c_str(), &info) == 0);
  CHECK((info.st_mode & 022) == 0);
}

TEST_CASE("an existing layout gets only what it lacks, other images stay") {
  Exports made;
  const cache::SnapshotId shared = made.add({{"a", std::string(50'000, 'a')}});
  const Image first = made.image({shared});
  const Image second = made.image({shared, made.add({{"b", "b"}})});
  const fs::path layout = made.out("layout");
  make_directories(layout);
  (void)export_oci_layout(made.context(), layout, {Exports::named(first, {full("one:1")})});
  const fs::path blob = layout / blob_place(first.layers[0].blob.digest);
  struct stat before {
  }, after{};
  REQUIRE(stat(blob.c_str(), &before) == 0);
  const auto published =
      export_oci_layout(made.context(), layout, {Exports::named(second, {full("two:2")})});
  REQUIRE(stat(blob.c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
  CHECK(before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
  CHECK(json_of(layout / "index.json")["manifests"].size() == 2);

  // The same name again: its entry is replaced.
  (void)export_oci_layout(made.context(), layout, {Exports::named(second, {full("one:1")})});
  const Json index = json_of(layout / "index.json");
  REQUIRE(index["manifests"].size() == 2);
  for (const Json& entry : index["manifests"]) CHECK(entry["digest"] == published[0].digest);

  // Entries of other tools, known by their tag only, and what they say of themselves.
  Json foreign = index;
  foreign["manifests"][0]["annotations"] = {{"org.opencontainers.image.ref.name", "2"}};
  foreign["manifests"][1]["annotations"] = {{"org.opencontainers.image.ref.name", "x"},
                                            {"their", "own"}};
  foreign["annotations"] = {{"kept", "yes"}};
  write_file_atomic(layout / "index.json", foreign.dump());
  (void)export_oci_layout(made.context(), layout, {Exports::named(first, {full("two:2")})});
  const Json merged = json_of(layout / "index.json");
  CHECK(merged["annotations"]["kept"] == "yes");
  REQUIRE(merged["manifests"].size() == 2);
  CHECK(merged["manifests"][0]["annotations"]["their"] == "own");
  CHECK(merged["manifests"][1]["annotations"]["io.containerd.image.name"] == full("two:2"));

  // Without a name: once, however often.
  for (int i = 0; i < 2; ++i)
    (void)export_oci_layout(made.context(), layout, {Exports::named(first, {})});
  CHECK(json_of(layout / "index.json")["manifests"].size() == 3);
}

TEST_CASE("a folder that is no layout is refused and stays as it is") {
  Exports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  const fs::path folder = made.out("mine");
  make_directories(folder);
  write_file_atomic(folder / "thesis.txt", "years");
  const Error error = error_of(
      [&] { (void)export_oci_layout(made.context(), folder, {Exports::named(image, {})}); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(error.cause() == "the folder holds something else than an OCI layout");
  CHECK(files_below(folder) == std::vector<std::string>{"thesis.txt"});
  write_file_atomic(folder / "oci-layout", "{}");
  write_file_atomic(folder / "index.json", "[]");
  CHECK(error_of([&] {
          (void)export_oci_layout(made.context(), folder, {Exports::named(image, {})});
        }).code() == ExitCode::machine);
  CHECK(files_below(folder) == std::vector<std::string>{"index.json", "oci-layout", "thesis.txt"});
}

TEST_CASE("blobs are not written through links of the target") {
  Exports made;
  const Image image = made.image({made.add({{"a", "a"}})});
  const fs::path layout = made.out("layout"), outside = made.out("outside");
  make_directories(layout);
  make_directories(outside);
  fs::create_symlink(outside, layout / "blobs");
  write_file_atomic(layout / "oci-layout", "{}");
  write_file_atomic(layout / "index.json", R"({"schemaVersion":2,"manifests":[]})");
  CHECK_THROWS_AS(export_oci_layout(made.context(), layout, {Exports::named(image, {})}), Error);
  CHECK(fs::is_empty(outside));
}

TEST_CASE("a failed export leaves nothing new, and says which layer was missing") {
  Exports made;
  const Image good = made.image({made.add({{"a", "a"}})});
  Image bad = made.image({made.add({{"b", "b"}})});
  bad.layers[0].artifact = hash_bytes("lost");
  const fs::path layout = made.out("layout");
  const Error error =
      error_of([&] { (void)export_oci_layout(made.context(), layout, {Exports::named(bad, {})}); });
  CHECK(error.code() == ExitCode::machine);
  CHECK(error.cause() == "the store has lost it");
  CHECK_THAT(error.what(), Contains("writing layer " + bad.layers[0].blob.digest));
  CHECK_FALSE(fs::exists(layout));
  for (const std::string& name : files_below(made.dir.path()))
    CHECK(name.find("layout.") == std::string::npos);
  (void)export_oci_layout(made.context(), layout, {Exports::named(good, {"a.example/x:1"})});
  const auto before = files_below(layout);
  CHECK_THROWS_AS(export_oci_layout(made.context(), layout, {Exports::named(bad, {})}), Error);
  CHECK(files_below(layout) == before);
  const fs::path file = made.out("image.tar");
  write_file_atomic(file, "what was there");
  CHECK_THROWS_AS(export_oci_archive(made.context(), file, {Exports::named(bad, {})}), Error);
  CHECK(read_file(file) == "what was there");
  made.cancel.request();
  CHECK_THROWS_AS(export_oci_archive(made.context(), file, {Exports::named(good, {})}),
                  Interrupted);
  CHECK(read_file(file) == "what was there");
}

TEST_CASE("archives hold the layout, are the same every time, and python reads them") {
  Exports made;
  const Image image = made.image({made.add({{"hello", "hi"}})});
  const std::vector<Named> images = {Exports::named(image, {full("hello:1")})};
  const auto published = export_oci_archive(made.context(), made.out("a.tar"), images);
  (void)export_oci_archive(made.context(), made.out("b.tar"), images);
  CHECK(read_file(made.out("a.tar")) == read_file(made.out("b.tar")));
  (void)export_oci_layout(made.context(), made.out("layout"), images);
  make_directories(made.out("unpacked"));
  (void)tool({"tar", "-xf", made.out("a.tar").string(), "-C", made.out("unpacked").string()});
  CHECK(files_below(made.out("unpacked")) == files_below(made.out("layout")));
  CHECK(read_file(made.out("unpacked/index.json")) == read_file(made.out("layout/index.json")));
  const auto layer = tool({"python3", "-c", R"(
import gzip, hashlib, io, json, sys, tarfile
archive = tarfile.open(sys.argv[1])
def blob(digest): return archive.extractfile('blobs/sha256/' + digest.split(':')[1]).read()
index = json.load(archive.extractfile('index.json'))
manifest = json.loads(blob(index['manifests'][0]['digest']))
config = json.loads(blob(manifest['config']['digest']))
raw = gzip.decompress(blob(manifest['layers'][0]['digest']))
assert 'sha256:' + hashlib.sha256(raw).hexdigest() == config['rootfs']['diff_ids'][0]
print(tarfile.open(fileobj=io.BytesIO(raw)).extractfile('hello').read().decode())
)",
                           made.out("a.tar").string()});
  if (layer) CHECK(*layer == "hi\n");
  CHECK(published[0].manifests.size() == 1);
}

TEST_CASE("a docker-archive names its image as docker load wants it (M17)") {
  Exports made;
  const Image one = made.image({made.add({{"a", "a"}})});
  const Image two = made.image({made.add({{"a", "a"}}), made.add({{"b", "b"}})});
  const auto published =
      export_docker_archive(made.context(), made.out("d.tar"),
                            {Exports::named(one, {full("one:1"), full("me/one:latest")}),
                             Exports::named(two, {"registry.example:5000/two:2"})});
  make_directories(made.out("d"));
  (void)tool({"tar", "-xf", made.out("d.tar").string(), "-C", made.out("d").string()});
  const Json manifest = json_of(made.out("d/manifest.json"));
  REQUIRE(manifest.size() == 2);
  CHECK(manifest[0]["RepoTags"] == Json::array({"one:1", "me/one:latest"}));
  CHECK(manifest[1]["RepoTags"] == Json::array({"registry.example:5000/two:2"}));
  CHECK(manifest[0]["Config"] == blob_place(published[0].config_digest));
  REQUIRE(manifest[1]["Layers"].size() == 2);
  for (const Json& layer : manifest[1]["Layers"])
    CHECK(fs::exists(made.out("d") / layer.get<std::string>()));
  Named both = Exports::named(one, {full("one:1")});
  both.platforms.push_back(one);
  const Error error =
      error_of([&] { (void)export_docker_archive(made.context(), made.out("e.tar"), {both}); });
  CHECK(error.code() == ExitCode::usage);
  CHECK(error.cause() == "a docker-archive holds one platform an image");
}

TEST_CASE("several platforms make one index in the order asked for (M11)") {
  Exports made;
  Image amd = made.image({made.add({{"a", "amd"}})});
  Image arm = made.image({made.add({{"a", "arm"}})});
  arm.config.platform.architecture = "arm";
  arm.config.platform.variant = "v7";
  Named named = Exports::named(arm, {full("multi:1")});
  named.platforms.push_back(amd);
  named.annotations = {{"who", "me"}};
  SECTION("OCI") {}
  SECTION("Docker") {
    named.docker_types = true;
  }
  const bool docker = named.docker_types;
  const auto published = export_oci_layout(made.context(), made.out("layout"), {named});
  const Json entry = json_of(made.out("layout/index.json"))["manifests"][0];
  CHECK(entry["mediaType"] == (docker ? oci::media_type::docker_list : oci::media_type::index));
  CHECK_FALSE(entry.contains("platform"));
  const Json index = json_of(made.out("layout") / blob_place(published[0].digest));
  REQUIRE(index["manifests"].size() == 2);
  CHECK(index["manifests"][0]["platform"] ==
        Json({{"architecture", "arm"}, {"os", "linux"}, {"variant", "v7"}}));
  CHECK(index["manifests"][1]["platform"]["architecture"] == "amd64");
  CHECK(index.contains("annotations") != docker);
  const Json manifest = json_of(made.out("layout") / blob_place(index["manifests"][1]["digest"]));
  CHECK(manifest["config"]["mediaType"] ==
        (docker ? oci::media_type::docker_config : oci::media_type::config));
  CHECK(manifest["layers"][0]["mediaType"] ==
        (docker ? oci::media_type::docker_layer : oci::media_type::layer_gzip));
  CHECK_FALSE(manifest.contains("annotations"));
  CHECK(published[0].manifests.size() == 2);
  CHECK(published[0].manifests[1].digest == index["manifests"][1]["digest"]);
}

TEST_CASE("an image that is handed on unchanged keeps its documents byte for byte") {
  Exports made;
  Image image = made.image({made.add({{"a", "a"}})});
  const Assembled first = assemble(Exports::named(image, {}));
  // As another tool would have written them.
  image.config_bytes = first.platforms[0].config.bytes + "\n";
  oci::Manifest manifest = *oci::parse_document(first.platforms[0].manifest.bytes).manifest;
  manifest.config.digest = "sha256:" + sha256_hex(image.config_bytes);
  manifest.config.size_bytes = image.config_bytes.size();
  image.manifest_bytes = oci::serialize_manifest(manifest) + "\n\n";
  const Assembled kept = assemble(Exports::named(image, {}));
  CHECK(kept.top().bytes == image.manifest_bytes);
  CHECK(kept.platforms[0].config.bytes == image.config_bytes);
  Named annotated = Exports::named(image, {});
  annotated.annotations = {{"k", "v"}};
  CHECK(oci::parse_document(assemble(annotated).top().bytes).manifest->annotations ==
        annotated.annotations);
  Named docker = Exports::named(image, {});
  docker.docker_types = true;
  const Assembled changed = assemble(docker);
  CHECK(changed.top().descriptor.media_type == oci::media_type::docker_manifest);
  CHECK(changed.platforms[0].config.bytes == image.config_bytes);
  CHECK(changed.platforms[0].layers[0].blob.media_type == oci::media_type::docker_layer);
}

TEST_CASE("foreign layers become normal ones (M10)") {
  Exports made;
  Image image = made.image({made.add({{"a", "a"}})});
  image.layers[0].blob.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
  image.layers[0].blob.urls = {"https://elsewhere.example/layer"};
  const Assembled output = assemble(Exports::named(image, {}));
  const oci::Manifest manifest = *oci::parse_document(output.top().bytes).manifest;
  CHECK(manifest.layers[0].media_type == oci::media_type::layer_gzip);
  CHECK(manifest.layers[0].urls.empty());
}

TEST_CASE("an archive goes to a pipe as to a file") {
  Exports made;
  const Image image = made.image({made.add({{"a", std::string(300'000, 'a')}})});
  const std::vector<Named> images = {Exports::named(image, {full("a:1")})};
  (void)export_oci_archive(made.context(), made.out("a.tar"), images);
  Pipe pipe = Pipe::create();
  const pid_t child = fork();
  if (child == 0) {
    // In a child, because "-" means descriptor 1.
    dup2(pipe.write.get(), 1);
    int code = 0;
    try {
      (void)export_oci_archive(made.context(), "-", images);
    } catch (const std::exception&) {
      code = 1;
    }
    _exit(code);
  }
  pipe.write.reset();
  CHECK(read_all(pipe.read.get()) == read_file(made.out("a.tar")));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("skopeo reads and copies what we write") {
  Exports made;
  const auto codec = GENERATE(archive::Codec::gzip, archive::Codec::zstd, archive::Codec::stored);
  const Image image = made.image(
      {made.add({{"hello", std::string(100'000, 'h')}}), made.add({}), made.add({{"etc/x", "y"}})},
      codec);
  const std::vector<Named> images = {Exports::named(image, {full("hello:1")})};
  const auto published = export_oci_layout(made.context(), made.out("layout"), images);
  (void)export_oci_archive(made.context(), made.out("oci.tar"), images);
  (void)export_docker_archive(made.context(), made.out("docker.tar"), images);
  for (const std::string& source : {"oci:" + made.out("layout").string() + ":1",
                                    "oci-archive:" + made.out("oci.tar").string() + ":1"}) {
    INFO(source);
    const auto seen = tool({"skopeo", "inspect", source});
    if (!seen) return;
    const Json json = Json::parse(*seen);
    CHECK(json["Digest"] == published[0].digest);
    CHECK(json["Architecture"] == "amd64");
    CHECK(json["Layers"].size() == 3);
  }
  for (const std::string& source :
       {"oci:" + made.out("layout").string() + ":1",
        "oci-archive:" + made.out("oci.tar").string() + ":1",
        "docker-archive:" + made.out("docker.tar").string() + ":" + full("hello:1")}) {
    INFO(source);
    const fs::path copied = made.out("copied");
    // To a directory of plain files: digests and diff ids are checked on the way.
    (void)tool({"skopeo", "--insecure-policy", "copy", "-q", "--dest-decompress", source,
                "dir:" + copied.string()});
    for (const Layer& layer : image.layers)
      CHECK(sha256_hex(read_file(copied / layer.diff_id.substr(7))) == layer.diff_id.substr(7));
    remove_tree(copied);
  }
}

TEST_CASE("umoci unpacks what we write") {
  Exports made;
  cache::SnapshotId base = made.add({{"etc/keep", "k"}, {"etc/old", "o"}});
  cache::SnapshotId top = made.add({{"etc/new", "n"}});
  auto& entries = made.snapshots[top].listing.entries;
  archive::LayerEntry gone;
  gone.type = archive::LayerEntryType::whiteout;
  gone.path = "etc/.wh.old";
  entries.insert(entries.begin(), gone);
  const Image image = made.image({base, top});
  (void)export_oci_layout(made.context(), made.out("layout"),
                          {Exports::named(image, {full("hello:1")})});
  std::vector<std::string> argv = {"umoci",
                                   "raw",
                                   "unpack",
                                   "--image",
                                   made.out("layout").string() + ":1",
                                   made.out("root").string()};
  if (geteuid() != 0) argv.insert(argv.begin() + 3, "--rootless");
  if (!tool(argv)) return;
  CHECK(files_below(made.out("root")) == std::vector<std::string>{"etc", "etc/keep", "etc/new"});
}
