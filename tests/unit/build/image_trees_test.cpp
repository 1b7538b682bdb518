// Images with the real worker between: what a step left becomes layers, the layers an archive, the
// archive a base again, and the base shows what the step left.
#include "build/image_trees.h"

#include <sys/stat.h>

#include "archive/hand_tar.h"
#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "image/export.h"
#include "image/export_dir.h"
#include "image/import.h"
#include "image/layers.h"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using archive::HandTar;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

std::string full(const std::string& name) {
  return oci::parse_reference(name).canonical();
}

struct ImageBox : Sandbox {
  TempDir files = TempDir::create("image-trees");
  image::Trees trees = build::image_trees(
      *store, [this]() -> Worker& { return *worker; },
      sandbox::plan_owners(sandbox::Isolation::oci, store->id_base()));

  explicit ImageBox(Isolation isolation = Isolation::oci) : Sandbox(isolation) {}
  ~ImageBox() {
    for (cache::SnapshotId id = 1; id < 200; ++id)
      if (fs::exists(store->snapshots_dir() / std::to_string(id))) made.push_back(id);
  }

  /// Runs a script in a folder that is the root of the new layer over `stack`.
  SnapshotId step(const std::string& script, const std::vector<SnapshotId>& stack) {
    const SnapshotId upper = layer();
    ExecSpec spec = host_step();
    spec.workspace = Workspace{upper, stack};
    StepMount mount;
    mount.kind = StepMount::Kind::workspace;
    mount.dest = "/tmp/w";
    spec.mounts = {mount};
    spec.cwd = "/tmp/w";
    const Outcome outcome = shell("set -e\n" + script, spec);
    INFO(outcome.all());
    REQUIRE(outcome.result.status.ok());
    store->commit_snapshot(
        {.id = upper, .parent = stack.empty() ? 0 : stack.front(), .kind = "test"});
    return upper;
  }
  archive::Tree listing(const std::vector<SnapshotId>& stack) {
    ScanRequest request;
    request.tree = {0, stack};
    archive::Tree tree = worker->scan(request).tree;
    // A tar has whole seconds, and a folder's own time is no content.
    for (archive::TreeEntry& entry : tree.entries)
      entry.mtime_ns =
          entry.type == archive::EntryType::directory ? 0 : entry.mtime_ns / 1'000'000'000;
    return tree;
  }
  image::Image write(const std::vector<SnapshotId>& stack) {
    std::vector<image::LayerInput> inputs;
    for (size_t i = stack.size(); i-- > 0;) {
      image::LayerInput input;
      input.stack.assign(stack.begin() + static_cast<ptrdiff_t>(i), stack.end());
      inputs.push_back(input);
    }
    image::Image image;
    image.layers = image::write_layers(*store, lease, trees, inputs);
    for (const image::Layer& one : image.layers) image.config.diff_ids.push_back(one.diff_id);
    return image;
  }
  image::Imported import(const std::string& text) {
    const image::ImportContext context{*store, lease, trees, cancel, {}, {}};
    return image::import_local(context, *image::parse_local_source(text), oci::Platform{});
  }
  fs::path out(const std::string& name) const { return files.path() / name; }

  /// A layout whose layers are these tars.
  std::string layout_of(const std::vector<std::string>& tars, const std::string& name) {
    image::Image image;
    for (const std::string& tar : tars) {
      cache::BlobWriter writer = store->write_blob();
      writer.write(tar.data(), tar.size());
      image::Layer one;
      one.diff_id = "sha256:" + writer.commit();
      one.blob.media_type = oci::media_type::layer;
      one.blob.digest = one.diff_id;
      one.blob.size_bytes = tar.size();
      image.config.diff_ids.push_back(one.diff_id);
      image.layers.push_back(one);
    }
    image::Named named;
    named.platforms = {image};
    (void)image::export_oci_layout({*store, lease, cancel}, out(name), {named});
    return "oci:" + out(name).string();
  }
};

}  // namespace

TEST_CASE("a step's files go through an archive and come back as they were") {
  ImageBox box;
  const SnapshotId base = box.step(
      "mkdir -p etc usr/lib usr/bin var/empty tree/deep/er opt\n"
      "echo one > etc/one; echo two > etc/two; echo lib > usr/lib/libx; ln -s usr/lib lib\n"
      "echo tool > usr/bin/tool; chmod 4755 usr/bin/tool; ln usr/bin/tool usr/bin/tool2\n"
      "echo gone > tree/deep/er/f; echo x > opt/x; chmod 1777 var/empty\n"
      "printf 'odd' > \"$(printf 'caf\\303\\251 \\377 new\\nline')\"\n"
      "head -c 3000000 /dev/urandom > usr/lib/big; truncate -s 20M usr/lib/sparse\n"
      "mkfifo etc/fifo; mkdir \"$(printf '%0.s0123456789' 1 2 3 4 5 6 7 8 9 10 11 12)\"\n",
      {});
  const SnapshotId second = box.step(
      "rm etc/one; rm -r tree; mkdir tree; echo new > tree/new; echo more >> etc/two\n"
      "rm -r opt; ln -s etc opt; chmod 700 var/empty; ln usr/bin/tool usr/bin/tool3\n"
      "touch -d @1234567890 usr/lib/libx\n",
      {base});
  const SnapshotId third =
      box.step("echo back > etc/one; rm opt; mkdir opt; echo y > opt/y\n", {second, base});
  const std::vector<SnapshotId> stack = {third, second, base};
  const image::Image image = box.write(stack);
  image::Named named;
  named.platforms = {image};
  named.names = {full("x:1")};
  (void)image::export_oci_archive({*box.store, box.lease, box.cancel}, box.out("x.tar"), {named});
  const image::Imported imported = box.import("oci-archive:" + box.out("x.tar").string());
  const std::vector<SnapshotId> back = box.store->chain(imported.snapshot);
  REQUIRE(back.size() == 3);
  for (size_t i = 0; i < stack.size(); ++i) {
    archive::Tree was = box.listing({stack.begin() + static_cast<ptrdiff_t>(i), stack.end()});
    archive::Tree is = box.listing({back.begin() + static_cast<ptrdiff_t>(i), back.end()});
    // A further name of a lower layer's file is a file of its own in an image (O5).
    for (archive::Tree* tree : {&was, &is})
      for (archive::TreeEntry& entry : tree->entries) entry.hard_link_group = 0;
    REQUIRE(is.entries.size() == was.entries.size());
    for (size_t j = 0; j < was.entries.size(); ++j) {
      INFO(was.entries[j].path);
      CHECK(is.entries[j] == was.entries[j]);
    }
  }
  // Layers of a base make the same layers again.
  const image::Image again = box.write(back);
  for (size_t i = 0; i < 3; ++i) CHECK(again.layers[i].diff_id == image.layers[i].diff_id);

  image::export_dir({*box.store, box.lease, box.cancel}, box.trees, box.out("rootfs"),
                    {{stack, ""}});
  CHECK(read_file(box.out("rootfs/etc/two")) == "two\nmore\n");
  CHECK(read_file(box.out("rootfs/opt/y")) == "y\n");
  CHECK_FALSE(fs::exists(box.out("rootfs/tree/deep")));
  CHECK(fs::read_symlink(box.out("rootfs/lib")) == "usr/lib");
}

TEST_CASE("umoci unpacks a step's layers to the tree the step left") {
  if (find_program("umoci").empty() || geteuid() != 0) {
    WARN("skipped: umoci is missing, or not root");
    return;
  }
  ImageBox box;
  const SnapshotId base = box.step(
      "mkdir -p a/b c; echo 1 > a/b/f; echo 2 > c/g; ln a/b/f a/h; ln -s ../c a/link; echo s > s\n",
      {});
  const SnapshotId top =
      box.step("rm -r a; mkdir a; echo 3 > a/f; rm c/g; ln a/f c/hard; rm s; mkdir s\n", {base});
  const image::Image image = box.write({top, base});
  image::Named named;
  named.platforms = {image};
  named.names = {full("x:1")};
  (void)image::export_oci_layout({*box.store, box.lease, box.cancel}, box.out("l"), {named});
  RunOptions options;
  options.argv = {
      "umoci", "raw", "unpack", "--image", box.out("l").string() + ":1", box.out("root").string()};
  (void)run_ok(options);
  options.argv = {"find", box.out("root").string(), "-mindepth", "1", "-printf", "%P %y %n\n"};
  std::vector<std::string> lines;
  std::string text = run_ok(options).out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  std::sort(lines.begin(), lines.end());
  CHECK(lines == std::vector<std::string>{"a d 2", "a/f f 2", "c d 2", "c/hard f 2", "s d 2"});
}

TEST_CASE("layers that leave something to those below them find it, however they are unpacked") {
  ImageBox box;
  const std::string base = HandTar()
                               .directory("usr/")
                               .directory("usr/lib/")
                               .file("usr/lib/libc", "c")
                               .symlink("lib", "usr/lib")
                               .directory("tmp/", 01777)
                               .done();
  const std::string second = HandTar()
                                 .file("lib/libx", "x")
                                 .file("tmp/t", "t")
                                 .hard_link("usr/lib/libc2", "usr/lib/libc")
                                 .done();
  const std::string third = HandTar()
                                .file("lib/.wh.libc", "")
                                .hard_link("opt", "lib/libx")
                                .symlink("surplus", "../../../../usr")
                                .file("surplus/s", "s")
                                .done();
  const image::Imported imported = box.import(box.layout_of({base, second, third}, "l"));
  const archive::Tree tree = box.listing(box.store->chain(imported.snapshot));
  std::vector<std::string> paths;
  for (const archive::TreeEntry& entry : tree.entries) paths.push_back(entry.path);
  CHECK(paths == std::vector<std::string>{"lib", "opt", "surplus", "tmp", "tmp/t", "usr", "usr/lib",
                                          "usr/lib/libc2", "usr/lib/libx", "usr/s"});
  CHECK(tree.find("lib")->type == archive::EntryType::symlink);
  CHECK(tree.find("tmp")->mode == 01777);
  CHECK(tree.find("usr/lib/libc2")->digest == hash_bytes("c"));
  CHECK(tree.find("opt")->hard_link_group == tree.find("usr/lib/libx")->hard_link_group);
}

TEST_CASE("hostile layers stay in their snapshots (threat 8)") {
  ImageBox box;
  write_file_atomic(box.out("canary"), "alive");
  const std::string canary = box.out("canary").string();
  const std::string up = "../../../../../../../../../../../../../..";
  const std::vector<std::vector<std::string>> images = {
      {HandTar().symlink("d", "/").done(), HandTar().file("d" + canary, "dead").done()},
      {HandTar().symlink("d", up).done(), HandTar().file("d" + canary, "dead").done()},
      {HandTar().symlink("d", up + canary).done(), HandTar().hard_link("x", "d").done()},
      {HandTar().symlink("d", box.files.path().string()).done(),
       HandTar().file("d/.wh.canary", "").file("d/.wh..wh..opq", "").done()},
      {HandTar().file("../" + canary, "dead").done()},
      {HandTar().hard_link("x", up + canary).done()},
      {HandTar().hard_link("x", canary).done()},
      {HandTar().symlink("x", canary).done(), HandTar().file("x", "replaced").done()},
      {HandTar().directory("x/").symlink("x", "/").file("x" + canary, "dead").done()},
  };
  int number = 0;
  for (const auto& tars : images) {
    INFO(number);
    try {
      const image::Imported imported = box.import(box.layout_of(tars, fmt::format("h{}", number)));
      (void)box.listing(box.store->chain(imported.snapshot));
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::outside);
    }
    CHECK(read_file(canary) == "alive");
    ++number;
  }
}

TEST_CASE("a layer that lies about its diff id never becomes a snapshot (threat 20)") {
  ImageBox box;
  const std::string tar = HandTar().file("f", "x").done();
  const std::string place = box.layout_of({tar}, "l");
  // The same layout with a config that promises something else.
  image::Image image;
  image.layers.resize(1);
  image.layers[0].diff_id = "sha256:" + sha256_hex("else");
  image.layers[0].blob.media_type = oci::media_type::layer;
  image.layers[0].blob.digest = "sha256:" + sha256_hex(tar);
  image.layers[0].blob.size_bytes = tar.size();
  image.config.diff_ids = {image.layers[0].diff_id};
  image::Named named;
  named.platforms = {image};
  (void)image::export_oci_layout({*box.store, box.lease, box.cancel}, box.out("bad"), {named});
  try {
    (void)box.import("oci:" + box.out("bad").string());
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    CHECK_THAT(error.cause(), Contains("the decompressed layer has the digest sha256:"));
  }
  CHECK(box.import(place).snapshot != 0);
}

TEST_CASE("isolation none: bases come in and layers go out without any namespace") {
  ImageBox box(Isolation::none);
  const std::string base = HandTar()
                               .directory("d/")
                               .file("d/f", "x", 0644, 1000, 1000)
                               .special('3', "d/null")
                               .special('6', "d/fifo")
                               .done();
  const image::Imported imported =
      box.import(box.layout_of({base, HandTar().file("d/.wh.f", "").done()}, "l"));
  const std::vector<SnapshotId> chain = box.store->chain(imported.snapshot);
  const image::Image again = box.write(chain);
  LayerRequest request;
  request.stack = chain;
  request.own = 2;
  const auto listing = box.worker->list_layer(request).listing;
  REQUIRE(listing.entries.size() == 2);
  CHECK(listing.entries[1].path == "d/fifo");
  CHECK(listing.entries[1].uid == 0);
}
