// What a stack's own layers make of the rest, as an image layer (dockerfile.md O1-O6, O8).
#include "sandbox/layer_diff.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "archive/compress.h"
#include "archive/extract.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"
#include "sandbox/layer_stack.h"
#include "sandbox/layers.h"
#include "sandbox/overlay_chaos.h"

using namespace slipway;
using namespace slipway::sandbox;
using namespace slipway::sandbox::testing;
using archive::LayerEntry;
using archive::LayerEntryType;
using archive::LayerListing;
using Catch::Matchers::Contains;

namespace {

constexpr int64_t exact_time = 1'700'000'000'123'456'789;
constexpr int64_t whole_time = 1'700'000'000'000'000'000;

/// A layer directory filled by hand.
struct Layer {
  TempDir temp = TempDir::create("diff-test");
  Fd dir = open_file(temp.path().string(), O_RDONLY | O_DIRECTORY);
  fs::path operator/(const std::string& name) const { return temp.path() / name; }

  const Layer& set_time(const std::string& path, int64_t time_ns) const {
    const struct timespec times[2] = {to_timespec(time_ns), to_timespec(time_ns)};
    REQUIRE(utimensat(AT_FDCWD, (*this / path).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
    return *this;
  }
  const Layer& file(const std::string& path, const std::string& content,
                    int64_t time_ns = exact_time, uint32_t mode = 0644) const {
    const Fd fd = open_file((*this / path).string(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    write_all(fd.get(), content);
    REQUIRE(fchmod(fd.get(), mode) == 0);
    return set_time(path, time_ns);
  }
  const Layer& folder(const std::string& path, uint32_t mode = 0755,
                      int64_t time_ns = exact_time) const {
    REQUIRE(mkdir((*this / path).c_str(), 0700) == 0);
    REQUIRE(chmod((*this / path).c_str(), mode) == 0);
    return set_time(path, time_ns);
  }
  const Layer& link(const std::string& path, const std::string& text) const {
    REQUIRE(symlink(text.c_str(), (*this / path).c_str()) == 0);
    return set_time(path, exact_time);
  }
  const Layer& whiteout(const std::string& path) const {
    REQUIRE(mknod((*this / path).c_str(), S_IFCHR, makedev(0, 0)) == 0);
    return *this;
  }
  const Layer& opaque(const std::string& path) const {
    make_opaque(open_file((*this / path).string(), O_RDONLY | O_DIRECTORY).get(), path);
    return *this;
  }
};

LayerResult diff(const std::vector<const Layer*>& own, const std::vector<const Layer*>& rest,
                 const Tree& known = {}, LayerDiffOptions options = {}) {
  std::vector<int> own_fds, rest_fds;
  for (const Layer* layer : own) own_fds.push_back(layer->dir.get());
  for (const Layer* layer : rest) rest_fds.push_back(layer->dir.get());
  return diff_layers(own_fds, rest_fds, known, options);
}

const char* type_name(LayerEntryType type) {
  constexpr const char* names[] = {"file", "dir",   "link", "hard",
                                   "char", "block", "fifo", "whiteout"};
  return names[static_cast<size_t>(type)];
}

/// "dir a, file a/b, whiteout .wh.c"
std::string show(const LayerListing& listing) {
  std::string text;
  for (const LayerEntry& entry : listing.entries)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", type_name(entry.type), entry.path);
  return text;
}

const LayerEntry& entry_of(const LayerListing& listing, const std::string& path) {
  for (const LayerEntry& entry : listing.entries)
    if (entry.path == path) return entry;
  FAIL("no entry " << path);
  return listing.entries.front();
}

}  // namespace

TEST_CASE("a layer over nothing is all that it holds") {
  const Layer own;
  own.folder("a", 01777).file("a/f", "hello", whole_time, 04755).link("a/l", "../x");
  REQUIRE(mkfifo((own / "p").c_str(), 0600) == 0);
  own.set_time("a", exact_time);
  const LayerListing listing = diff({&own}, {}).listing;
  CHECK(show(listing) == "dir a, file a/f, link a/l, fifo p");
  const LayerEntry& file = entry_of(listing, "a/f");
  CHECK(file.mode == 04755);
  CHECK(file.size == 5);
  CHECK(file.digest == hash_bytes("hello"));
  CHECK(file.mtime == 1'700'000'000);
  CHECK(entry_of(listing, "a").mode == 01777);
  CHECK(entry_of(listing, "a/l").link == "../x");
  CHECK(entry_of(listing, "a/l").mode == 0777);
}

TEST_CASE("nothing changed, nothing listed (O8)") {
  const Layer own, rest;
  rest.folder("a").file("a/f", "x");
  CHECK(diff({&own}, {&rest}).listing.entries.empty());
  CHECK(diff({}, {&rest}).listing.entries.empty());
}

TEST_CASE("a whiteout stands only for what the layers below have (O1)") {
  const Layer own, rest, lowest;
  rest.folder("d").file("d/f", "x").file("f", "x").whiteout("removed before");
  lowest.file("removed before", "x").file("low", "x");
  own.folder("d").whiteout("d/f").whiteout("d/never").whiteout("f").whiteout("never");
  own.whiteout("removed before").whiteout("low");
  CHECK(show(diff({&own}, {&rest, &lowest}).listing) ==
        "whiteout .wh.f, whiteout .wh.low, dir d, whiteout d/.wh.f");
  const LayerListing listing = diff({&own}, {&rest}).listing;
  const LayerEntry& hidden = entry_of(listing, ".wh.f");
  CHECK((hidden.mode == 0 && hidden.uid == 0 && hidden.size == 0 && hidden.mtime == 0));
}

TEST_CASE("an opaque folder becomes the deletions it stands for (O2)") {
  const Layer own, rest;
  rest.folder("d").file("d/gone", "x").folder("d/tree").file("d/tree/f", "x");
  rest.folder("d/both").file("d/both/old", "x").file("d/same", "s");
  own.folder("d").opaque("d").file("d/new", "x").folder("d/both").file("d/both/now", "x");
  own.file("d/same", "s").set_time("d/both", exact_time).set_time("d", exact_time);
  CHECK(show(diff({&own}, {&rest}).listing) ==
        "dir d, whiteout d/.wh.gone, whiteout d/.wh.tree, dir d/both, whiteout d/both/.wh.old, "
        "file d/both/now, file d/new");
}

TEST_CASE("an opaque folder over nothing, or over a file, hides nothing") {
  const Layer own, rest;
  rest.file("was file", "x");
  own.folder("new").opaque("new").folder("was file").opaque("was file").file("was file/f", "x");
  CHECK(show(diff({&own}, {&rest}).listing) == "dir new, dir was file, file was file/f");
}

TEST_CASE("what replaces a folder needs no whiteout") {
  const Layer own, rest;
  rest.folder("d").file("d/f", "x").folder("e").file("e/f", "x");
  own.file("d", "now a file").link("e", "d");
  CHECK(show(diff({&own}, {&rest}).listing) == "file d, link e");
}

TEST_CASE("a folder's time alone is no change, its mode is (O4)") {
  const Layer own, rest;
  rest.folder("time").folder("mode").folder("parent").folder("parent/mode");
  own.folder("time", 0755, exact_time + 5'000'000'000).folder("mode", 0700);
  own.folder("parent", 0755, whole_time).folder("parent/mode", 0711);
  CHECK(show(diff({&own}, {&rest}).listing) == "dir mode, dir parent, dir parent/mode");
}

TEST_CASE("folders on the way to a change are listed with it (O6)") {
  const Layer own, rest;
  rest.folder("a").folder("a/b").folder("a/b/c").file("a/b/c/gone", "x");
  own.folder("a", 0755).folder("a/b").folder("a/b/c").whiteout("a/b/c/gone");
  CHECK(show(diff({&own}, {&rest}).listing) ==
        "dir a, dir a/b, dir a/b/c, whiteout a/b/c/.wh.gone");
}

TEST_CASE("an entry that was copied up and is equal is left out (O4)") {
  const Layer own, rest;
  rest.file("same", "x").file("mode", "x").file("time", "x").file("size", "x").link("l", "t");
  rest.link("text", "t").file("tar same", "x", whole_time).file("tar other", "x", whole_time);
  rest.file("exact other", "x");
  own.file("same", "x").file("mode", "x", exact_time, 0600).file("time", "x", exact_time + 1);
  own.file("size", "xx").link("l", "t").link("text", "u");
  own.file("tar same", "x", whole_time).file("tar other", "y", whole_time);
  // The kernel's clock says who wrote last; only whole seconds, as from a tar, do not.
  own.file("exact other", "y");
  CHECK(show(diff({&own}, {&rest}).listing) ==
        "file mode, file size, file tar other, link text, file time");
}

TEST_CASE("large equal files are compared to their end") {
  const Layer own, rest;
  const std::string big(300'000, 'b');
  rest.file("same", big, whole_time).file("end", big, whole_time);
  own.file("same", big, whole_time).file("end", big.substr(1) + "c", whole_time);
  CHECK(show(diff({&own}, {&rest}).listing) == "file end");
}

TEST_CASE("names of one file are links within the layer (O5)") {
  const Layer own, rest;
  rest.file("z", "below");
  own.file("b", "content").folder("a").file("z", "below");
  fs::create_hard_link(own / "b", own / "a/one");
  fs::create_hard_link(own / "b", own / "c");
  // A file of the rest got another name: overlayfs copied it up, one name is equal to what was.
  fs::create_hard_link(own / "z", own / "y");
  own.set_time("a", exact_time);
  const LayerListing listing = diff({&own}, {&rest}).listing;
  CHECK(show(listing) == "dir a, file a/one, hard b, hard c, file y");
  CHECK(entry_of(listing, "a/one").digest == hash_bytes("content"));
  CHECK(entry_of(listing, "b").link == "a/one");
  CHECK(entry_of(listing, "c").link == "a/one");
  CHECK((entry_of(listing, "c").size == 0 && !entry_of(listing, "c").digest));
  CHECK(entry_of(listing, "y").digest == hash_bytes("below"));
}

TEST_CASE("several own layers are one") {
  const Layer top, middle, rest;
  rest.folder("d").file("d/a", "1").file("d/b", "1").file("f", "1");
  middle.folder("d").file("d/a", "22").whiteout("d/b").file("new", "x").file("back", "x");
  middle.whiteout("f");
  top.folder("d").file("d/b", "333").whiteout("new").whiteout("back").file("f", "1");
  CHECK(show(diff({&top, &middle}, {&rest}).listing) == "dir d, file d/a, file d/b");
  CHECK(show(diff({&top}, {&middle, &rest}).listing) ==
        "whiteout .wh.back, whiteout .wh.new, dir d, file d/b, file f");
}

TEST_CASE("where the own layer holds everything, what it lacks was removed") {
  const Layer own, rest;
  rest.folder("d").file("d/kept", "x").file("d/gone", "x").file("gone", "x").folder("gone dir");
  own.folder("d").file("d/kept", "x").file("d/new", "x").set_time("d", exact_time);
  LayerDiffOptions options;
  options.own_is_whole = true;
  CHECK(show(diff({&own}, {&rest}, {}, options).listing) ==
        "whiteout .wh.gone, whiteout .wh.gone dir, dir d, whiteout d/.wh.gone, file d/new");
}

TEST_CASE("a name that would be a whiteout in the image is refused") {
  const Layer own;
  own.folder("d").file("d/.wh.x", "x");
  try {
    (void)diff({&own}, {});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::build_failed);
    CHECK(error.cause() ==
          "d/.wh.x cannot be part of an image: a name that begins with '.wh.' hides another there");
  }
}

TEST_CASE("a socket is left out with a warning, and hides what it replaced") {
  const Layer own, rest;
  rest.file("was file", "x");
  for (const char* name : {"s", "was file"}) {
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Of any folder the path may be too long: a short one by descriptor.
    fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/{}",
                     own.dir.get(), name);
    REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  const LayerResult result = diff({&own}, {&rest});
  CHECK(show(result.listing) == "whiteout .wh.was file");
  CHECK(result.warnings == std::vector<std::string>{"s is a socket and is left out",
                                                    "was file is a socket and is left out"});
}

TEST_CASE("file capabilities are part of a layer, other attributes are not (O6)") {
  const Layer own, rest;
  own.file("cap", "x").file("user", "x").file("same", "x");
  rest.file("same", "x");
  const std::string value("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  (void)setxattr((own / "user").c_str(), "user.mine", "1", 1, 0);
  const bool may =
      setxattr((own / "cap").c_str(), "security.capability", value.data(), value.size(), 0) == 0 &&
      setxattr((own / "same").c_str(), "security.capability", value.data(), value.size(), 0) == 0;
  if (!may) {
    WARN("skipped: file capabilities need root");
    return;
  }
  own.set_time("same", exact_time);
  const LayerListing listing = diff({&own}, {&rest}).listing;
  CHECK(show(listing) == "file cap, file same, file user");
  REQUIRE(entry_of(listing, "cap").attributes.size() == 1);
  CHECK(entry_of(listing, "cap").attributes[0].first == "security.capability");
  CHECK(entry_of(listing, "cap").attributes[0].second == value);
  CHECK(entry_of(listing, "user").attributes.empty());
}

TEST_CASE("devices keep their numbers") {
  const Layer own;
  if (mknod((own / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0 ||
      mknod((own / "loop").c_str(), S_IFBLK | 0600, makedev(7, 300)) != 0) {
    WARN("skipped: devices need root");
    return;
  }
  const LayerListing listing = diff({&own}, {}).listing;
  CHECK(show(listing) == "block loop, char null");
  CHECK(entry_of(listing, "loop").device_major == 7);
  CHECK(entry_of(listing, "loop").device_minor == 300);
  CHECK(entry_of(listing, "null").device_minor == 3);
}

TEST_CASE("known digests are not computed again, others' entries are not believed") {
  const Layer own;
  own.file("known", "content").file("other time", "content").file("other size", "content");
  own.file("link", "content").link("l", "x");
  fs::create_hard_link(own / "link", own / "link too");
  Tree known;
  const auto add = [&](const std::string& path, uint64_t size, int64_t time_ns) {
    TreeEntry entry;
    entry.path = path;
    entry.size = size;
    entry.mtime_ns = time_ns;
    entry.digest = hash_bytes("told");
    known.entries.push_back(entry);
  };
  add("known", 7, exact_time);
  add("link", 7, exact_time);
  add("other size", 8, exact_time);
  add("other time", 7, exact_time + 1);
  const LayerResult result = diff({&own}, {}, known);
  CHECK(entry_of(result.listing, "known").digest == hash_bytes("told"));
  CHECK(entry_of(result.listing, "link").digest == hash_bytes("told"));
  CHECK(entry_of(result.listing, "other size").digest == hash_bytes("content"));
  CHECK(entry_of(result.listing, "other time").digest == hash_bytes("content"));
  CHECK(result.files_read == 2);
  LayerDiffOptions options;
  options.digests = false;
  CHECK(diff({&own}, {}, {}, options).files_read == 0);
}

TEST_CASE("folders nested too deep are refused (threat 21)") {
  const Layer own;
  Fd dir = open_at(own.dir.get(), ".", O_RDONLY | O_DIRECTORY);
  for (size_t i = 0; i < depth_max + 2; ++i) {
    REQUIRE(mkdirat(dir.get(), "d", 0755) == 0);
    dir = open_at(dir.get(), "d", O_RDONLY | O_DIRECTORY);
  }
  CHECK_THROWS_WITH(diff({&own}, {}), Contains("more than 500 nested folders"));
}

namespace {

// Times of folders are not compared, others to the second; links between layers do not survive.
Tree comparable(Tree tree) {
  for (TreeEntry& entry : tree.entries) {
    entry.hard_link_group = 0;
    constexpr int64_t second_ns = 1'000'000'000;
    entry.mtime_ns = entry.type == EntryType::directory ? 0 : entry.mtime_ns / second_ns;
  }
  return tree;
}

void write_tar(const LayerListing& listing, const std::vector<int>& stack, int out) {
  const archive::LayerMembers members(listing);
  archive::TarInput input{.members = &members, .codec = archive::Codec::stored};
  input.open = [&](const std::vector<std::string>& paths) {
    std::vector<Fd> files;
    LayerFiles reader(stack);
    for (const std::string& path : paths) files.push_back(reader.open(path));
    return files;
  };
  archive::CompressOptions options;
  options.threads = 1;
  options.on_chunk = [&](archive::Chunk&& chunk) { write_all(out, chunk.compressed); };
  archive::compress_tar(input, archive::plan_tar(input), options);
}

void one_round(uint32_t seed) {
  const TempDir temp = TempDir::create("diff-chaos");
  Chaos chaos(seed, true);
  std::vector<fs::path> layers;  // topmost first
  const auto add_layer = [&] {
    layers.insert(layers.begin(), temp.path() / fmt::format("layer{}", layers.size()));
    fs::create_directories(layers.front());
  };
  add_layer();
  chaos.run(layers.front(), 60);
  for (int round = 0; round < 3; ++round) {
    add_layer();
    {
      const OverlayMount overlay(temp.path(), layers);
      chaos.run(overlay.path(), 40);
    }
    const Tree expected = comparable(list_merged(temp.path(), layers));
    const std::vector<Fd> fds = open_all(layers);
    const std::vector<int> stack = numbers(fds);
    for (size_t own = 1; own <= layers.size(); ++own) {
      const std::vector<int> top(stack.begin(), stack.begin() + static_cast<ptrdiff_t>(own));
      const std::vector<int> rest(stack.begin() + static_cast<ptrdiff_t>(own), stack.end());
      const LayerListing listing = diff_layers(top, rest, {}, {}).listing;
      must(std::is_sorted(listing.entries.begin(), listing.entries.end(),
                          [](const auto& a, const auto& b) { return a.path < b.path; }),
           "not sorted");
      must(archive::parse_listing(archive::serialize_listing(listing)).entries == listing.entries,
           "not the same after its stored form");
      const fs::path target = temp.path() / "applied";
      fs::create_directories(target);
      const fs::path tar = temp.path() / "layer.tar";
      {
        const Fd file = open_file(tar.string(), O_RDWR | O_CREAT | O_TRUNC, 0600);
        write_tar(listing, stack, file.get());
        must(lseek(file.get(), 0, SEEK_SET) == 0, "seek");
        const Fd dir = open_file(target.string(), O_RDONLY | O_DIRECTORY);
        archive::ExtractOptions options;
        options.whiteouts = true;
        (void)archive::extract(file.get(), dir.get(), options);
      }
      const Fd applied = open_file(target.string(), O_RDONLY | O_DIRECTORY);
      std::vector<int> again = {applied.get()};
      again.insert(again.end(), rest.begin(), rest.end());
      const Tree shown = scan_layers(again, static_cast<int>(again.size()), "", Tree(), "").tree;
      must_equal(comparable(shown), expected,
                 fmt::format("seed {} round {}: {} own layers", seed, round, own));
      remove_tree(target);
    }
  }
}

}  // namespace

TEST_CASE("a layer's tar applied over the rest shows what the kernel shows, for random trees") {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const std::string problem = in_namespaces([seed] { one_round(seed); });
    if (problem == "-") {
      WARN("skipped: this machine does not let an ordinary user mount an overlay");
      return;
    }
    REQUIRE(problem == "");
  }
}

TEST_CASE("worker: a layer is listed as the step left it, owners inside the map") {
  Sandbox box;
  const SnapshotId lower = box.layer({{"w", 0755, {}}, {"w/old", 0755, {}}});
  const SnapshotId upper = box.layer({{"w", 0755, {}}});
  ExecSpec spec = Sandbox::host_step();
  spec.workspace = Workspace{upper, {lower}};
  StepMount mount;
  mount.kind = StepMount::Kind::workspace;
  mount.source = "w";
  mount.dest = "/tmp/w";
  spec.mounts = {mount};
  const auto outcome = box.shell(
      "cd /tmp/w && rmdir old && mkfifo p && echo x > f && chmod 4750 f && ln f g && "
      "{ chown 1000:1001 p || :; }",
      spec);
  REQUIRE(outcome.result.status.ok());
  LayerRequest request;
  request.stack = {upper, lower};
  const LayerResult result = box.worker->list_layer(request);
  CHECK(show(result.listing) == "dir w, whiteout w/.wh.old, file w/f, hard w/g, fifo w/p");
  CHECK(entry_of(result.listing, "w/f").mode == 04750);
  CHECK(entry_of(result.listing, "w/f").digest == hash_bytes("x\n"));
  CHECK(entry_of(result.listing, "w/f").uid == 0);
  if (!box.worker->single_id()) {
    CHECK(entry_of(result.listing, "w/p").uid == 1000);
    CHECK(entry_of(result.listing, "w/p").gid == 1001);
  }
  CHECK(result.files_read == 1);
}

TEST_CASE("isolation none: a full layer is compared with what it was filled from, root owns all") {
  Sandbox box(Isolation::none);
  const SnapshotId lower = box.layer({{"d", 0755, {1000, 1000}}});
  const SnapshotId upper = box.layer();
  FileRequest files;
  files.base = {lower};
  FileRequest::Action action;
  action.action.kind = graph::FileAction::Kind::mkfile;
  action.action.dest = "/d/new";
  action.action.data = "x";
  files.actions = {action};
  box.worker->apply_files(upper, files);
  action.action.kind = graph::FileAction::Kind::rm;
  action.action.dest = "/d";
  files.base = {upper, lower};
  files.actions = {action};
  const SnapshotId third = box.layer();
  box.worker->apply_files(third, files);
  LayerRequest request;
  request.stack = {upper, lower};
  const LayerListing listing = box.worker->list_layer(request).listing;
  CHECK(show(listing) == "dir d, file d/new");
  for (const LayerEntry& entry : listing.entries) CHECK((entry.uid == 0 && entry.gid == 0));
  request.stack = {third, upper, lower};
  CHECK(show(box.worker->list_layer(request).listing) == "whiteout .wh.d");
}
