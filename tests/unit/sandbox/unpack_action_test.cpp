// ADD of archives: dockerfile.md C18, C19, X3; threat 8 where a base has links.
#include "base/process.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"
#include "sandbox/tree_fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using namespace slipway::sandbox::testing;
using Catch::Matchers::Contains;
using Shown = std::vector<std::string>;

namespace {

void run_in(const fs::path& dir, const std::string& script) {
  RunOptions options;
  options.argv = {"/bin/sh", "-ec", script};
  options.cwd = dir.string();
  (void)run_ok(options);
}

graph::FileAction add_action(const std::string& source, const std::string& dest) {
  graph::FileAction action = copy_action(source, dest);
  action.unpack = true;
  return action;
}

/// A layer of the store's with the content of a folder.
SnapshotId layer_of(Sandbox& box, const fs::path& root) {
  const SnapshotId id = box.layer();
  const auto copy = box.worker->copy_in(id);
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(root)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    const std::string name = path.lexically_relative(root).string();
    if (fs::is_symlink(path))
      copy->symlink(name, fs::read_symlink(path).string(), {}, 0);
    else if (fs::is_directory(path))
      copy->directory(name, 0755, {}, 0);
    else
      copy->file(name, 0644, {}, 0, fs::file_size(path), open_file(path.string(), O_RDONLY));
  }
  copy->finish();
  return id;
}

std::string content(Sandbox& box, const std::vector<SnapshotId>& layers, const std::string& path) {
  return read_all(box.worker->read_tree({0, layers}, "")->open({path})[0].get());
}

}  // namespace

TEST_CASE("add: archives of every compression are unpacked into a folder, other files copied") {
  Trees trees;
  const fs::path source = trees.tree({"in/a=1", "in/d/b=2", "empty=", "text=hello"});
  run_in(source,
         "tar cf t.tar -C in . && gzip -k t.tar && bzip2 -k t.tar && xz -k t.tar && "
         "gzip -c text > text.gz && tar cf none.tar -T /dev/null && "
         "(cd in && find . | cpio -o -H newc > ../c.cpio 2>/dev/null || true)");
  for (const char* name : {"t.tar", "t.tar.gz", "t.tar.bz2", "t.tar.xz"}) {
    trees.apply(source, add_action(name, "/out"));
    INFO(name);
    CHECK(trees.shown() == Shown{"out/a=1", "out/d/b=2"});
    CHECK(trees.result.known.size() == 2);
    CHECK(trees.result.known[0].digest == hash_bytes("1"));
  }
  trees.apply(source, copy_action("t.tar.gz", "/out"));
  CHECK(fs::is_regular_file(trees.layer / "out"));
  for (const char* name : {"text.gz", "empty", "none.tar"}) {
    trees.apply(source, add_action(name, "/out"));
    INFO(name);
    CHECK(fs::is_regular_file(trees.layer / "out"));
  }
  // Catalogue 52: several, without a slash at the end.
  run_in(source, "mkdir two && echo -n 3 > two/c && tar cf u.tar -C two .");
  trees.apply(source, add_action("[tu].tar", "/dest"));
  CHECK(trees.shown() == Shown{"dest/a=1", "dest/c=3", "dest/d/b=2"});
}

TEST_CASE("add: owners and modes are the archive's, --chown is for all, --chmod for none (C19)") {
  Trees trees;
  const fs::path source = trees.tree({"in/a=1#640", "in/d/b=2"});
  run_in(source, "tar cf t.tar --owner=7 --group=8 -C in .");
  graph::FileAction action = add_action("t.tar", "/out/");
  action.mode = 0600;
  trees.apply(source, action);
  CHECK((trees.info("out/a").st_mode & 07777) == 0640);
  CHECK((trees.info("out").st_mode & 07777) == 0755);
  CHECK(trees.info("out/a").st_mtim.tv_sec == 1'000'000'000);
  if (geteuid() != 0) return;
  CHECK(trees.info("out/a").st_uid == 7);
  action.owner = graph::Owner{100, 200};
  trees.apply(source, action);
  for (const char* path : {"out", "out/a", "out/d/b"}) {
    CHECK(trees.info(path).st_uid == 100);
    CHECK(trees.info(path).st_gid == 200);
  }
}

TEST_CASE("add: a truncated archive is refused, one without its end marker is not (X3)") {
  Trees trees;
  const fs::path source = trees.tree({"in/a=" + std::string(5000, 'x')});
  run_in(source,
         "tar cf t.tar -C in a && head -c 6144 t.tar > open.tar && "
         "head -c 4000 t.tar > cut.tar");
  trees.apply(source, add_action("open.tar", "/out/"));
  CHECK(fs::file_size(trees.layer / "out/a") == 5000);
  try {
    trees.apply(source, add_action("cut.tar", "/out/"));
    FAIL("was accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK_THAT(error.what(), Contains("unpacking '/cut.tar'"));
  }
}

TEST_CASE("add: what stands in the way of an archive is replaced; links stay in the destination") {
  Sandbox box;
  Trees trees;
  const fs::path source = trees.tree({"in/var/run/pid=1", "in/conf=new", "in/dir=file"});
  run_in(source,
         "tar cf t.tar -C in var/run/pid conf dir && ln -s /etc in/escape && mkdir in/deep && "
         "ln -s ../../../../etc in/deep/up && tar cf links.tar -C in escape deep && "
         "mkdir x && mkdir x/escape x/deep x/deep/up && echo -n bad > x/escape/passwd && "
         "echo -n bad > x/deep/up/passwd && "
         "tar rf links.tar -C x escape/passwd deep/up/passwd");
  const SnapshotId context = layer_of(box, source);
  const SnapshotId base =
      layer_of(box, trees.tree({"var/run->/run", "run/", "conf->etc/conf", "etc/conf=old",
                                "etc/passwd=root", "dir/gone=0"}));
  FileRequest request;
  request.base = {base};
  const auto add = [&](const std::string& name, const std::string& dest) {
    request.actions = {{add_action(name, dest), {context}, "", false}};
    const SnapshotId target = box.layer();
    (void)box.worker->apply_files(target, request);
    return std::vector<SnapshotId>{target, base};
  };
  // Catalogue 53: an absolute link of the root is followed inside it.
  const auto merged = add("t.tar", "/");
  CHECK(content(box, merged, "run/pid") == "1");
  CHECK(content(box, merged, "conf") == "new");
  CHECK(content(box, merged, "etc/conf") == "old");
  CHECK(content(box, merged, "dir") == "file");
  // X3, threat 8: below another folder that is the root to them.
  const auto below = add("links.tar", "/sub");
  CHECK(content(box, below, "etc/passwd") == "root");
  CHECK(content(box, below, "sub/etc/passwd") == "bad");
}

TEST_CASE("add: an archive and plain copies in one step, over a base") {
  Sandbox box;
  Trees trees;
  const fs::path source = trees.tree({"in/a=1", "plain=2"});
  run_in(source, "tar czf t.tgz -C in .");
  const SnapshotId context = layer_of(box, source);
  const SnapshotId base = layer_of(box, trees.tree({"d/old=0", "d/a=0"}));
  FileRequest request;
  request.base = {base};
  request.actions = {{copy_action("plain", "/d/"), {context}, "", false},
                     {add_action("t.tgz", "/d"), {context}, "", false},
                     {copy_action("plain", "/d/sub/"), {context}, "", false},
                     {add_action("t.tgz", "/d/sub"), {context}, "", false}};
  const SnapshotId target = box.layer();
  (void)box.worker->apply_files(target, request);
  const std::vector<SnapshotId> merged{target, base};
  for (const auto& [path, text] : std::map<std::string, std::string>{
           {"d/old", "0"}, {"d/a", "1"}, {"d/plain", "2"}, {"d/sub/plain", "2"}, {"d/sub/a", "1"}})
    CHECK(content(box, merged, path) == text);
}
