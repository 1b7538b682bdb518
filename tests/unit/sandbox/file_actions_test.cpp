// COPY and ADD as dockerfile.md §3.3 and its catalogue have them.
#include "sandbox/file_actions.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "catch2/catch.hpp"
#include "sandbox/tree_fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using namespace slipway::sandbox::testing;
using Catch::Matchers::Contains;
using Shown = std::vector<std::string>;

namespace {

/// The error of copying source to dest over `base`.
std::string refused(Trees& trees, const fs::path& base, const fs::path& source,
                    const graph::FileAction& action) {
  try {
    trees.apply({base}, {source}, {action});
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    return std::string(error.what()) + "\n" + error.hint();
  }
  return "(accepted)";
}

}  // namespace

TEST_CASE("copy: a file onto a name, into a folder, and to a trailing slash (C4)") {
  Trees trees;
  const fs::path source = trees.tree({"a=1", "sub/b=2"});
  trees.apply(source, copy_action("a", "/x"));
  CHECK(trees.shown() == Shown{"x=1"});
  trees.apply(source, copy_action("/sub/b", "/x/y/"));
  CHECK(trees.shown() == Shown{"x/y/b=2"});
  trees.apply(source, copy_action("a", "/x/."));
  CHECK(trees.shown() == Shown{"x/a=1"});
  trees.apply({trees.tree({"x/"})}, {source}, {copy_action("a", "/x")});
  CHECK(trees.shown() == Shown{"x/a=1"});
  trees.apply({trees.tree({"x=old"})}, {source}, {copy_action("a", "/x")});
  CHECK(trees.shown() == Shown{"x=1"});
}

TEST_CASE("copy: a folder copies its contents, however it is written (C5)") {
  Trees trees;
  const fs::path source = trees.tree({"sub/dir1/f=1", "sub/dir1/deep/g=2", "sub/dir1/empty/"});
  for (const char* name : {"sub/dir1", "sub/dir1/", "sub/dir1/.", "/sub/./dir1", "../sub/dir1"}) {
    trees.apply(source, copy_action(name, "/d"));
    CHECK(trees.shown() == Shown{"d/deep/g=2", "d/empty/", "d/f=1"});
  }
  graph::FileAction whole = copy_action("sub/dir1", "/d");
  whole.contents = false;
  trees.apply(source, whole);
  CHECK(trees.shown() == Shown{"d/deep/g=2", "d/empty/", "d/f=1"});
  trees.apply({trees.tree({"d/"})}, {source}, {whole});
  CHECK(trees.shown() == Shown{"d/dir1/deep/g=2", "d/dir1/empty/", "d/dir1/f=1"});
}

TEST_CASE("copy: wildcards match one component, in order, folders give their contents (C7, C8)") {
  Trees trees;
  const fs::path source = trees.tree({"foo1.go=1", "foo2.go=2", "bar=3", "sub/dir1/dir2/x=4",
                                      "sub/y=5", "lit\\*.txt=6", "lita=7"});
  trees.apply(source, copy_action("foo*.go", "/out/"));
  CHECK(trees.shown() == Shown{"out/foo1.go=1", "out/foo2.go=2"});
  trees.apply(source, copy_action("f*1.go", "/one.go"));
  CHECK(trees.shown() == Shown{"one.go=1"});
  trees.apply(source, copy_action("sub/*", "/d/"));
  CHECK(trees.shown() == Shown{"d/dir2/x=4", "d/y=5"});
  trees.apply(source, copy_action("*/dir1", "/d/"));
  CHECK(trees.shown() == Shown{"d/dir2/x=4"});
  // X2: an operand without another wildcard is literal, backslash and all.
  trees.apply(source, copy_action("lit\\*.txt", "/l"));
  CHECK(trees.shown() == Shown{"l=6"});
  trees.apply(source, copy_action("[f]oo?.go", "/l/"));
  CHECK(trees.shown().size() == 2);
  // X4: nothing is made for a pattern that matches nothing.
  trees.apply(source, copy_action("nothing*", "/e/"));
  CHECK(trees.shown().empty());
  graph::FileAction strict = copy_action("nothing*", "/e/");
  strict.allow_empty_wildcard = false;
  CHECK_THAT(refused(trees, trees.tree(), source, strict), Contains("nothing matches 'nothing*'"));
}

TEST_CASE("copy: several names to one path, the last wins (C6)") {
  Trees trees;
  const fs::path source = trees.tree({"a=1", "b=2"});
  trees.apply({}, {source}, {copy_action("a", "/x"), copy_action("b", "/x")});
  CHECK(trees.shown() == Shown{"x=2"});
}

TEST_CASE("copy: a missing literal path is an error that names what is near") {
  Trees trees;
  const fs::path source = trees.tree({"src/main.go=1"});
  CHECK_THAT(refused(trees, trees.tree(), source, copy_action("src/mian.go", "/x")),
             Contains("'/src/mian.go' does not exist") && Contains("did you mean '/src/main.go'?"));
  CHECK_THAT(refused(trees, trees.tree(), source, copy_action("scr/main.go", "/x")),
             Contains("did you mean '/src'?"));
  graph::FileAction lenient = copy_action("none", "/x");
  lenient.allow_missing = true;
  trees.apply(source, lenient);
  CHECK(trees.shown().empty());
}

TEST_CASE("copy: links of the source are followed where they are named, kept where found (C8)") {
  Trees trees;
  const fs::path source = trees.tree({"sub/foo=1", "sub/in->foo", "link->sub", "abs->/sub/foo",
                                      "chain->abs", "up->../../../sub/foo", "folder->sub"});
  trees.apply(source, copy_action("link/foo", "/"));
  CHECK(trees.shown() == Shown{"foo=1"});
  trees.apply(source, copy_action("chain", "/d/"));
  CHECK(trees.shown() == Shown{"d/chain=1"});
  trees.apply(source, copy_action("up", "/x"));
  CHECK(trees.shown() == Shown{"x=1"});
  trees.apply(source, copy_action("folder", "/d"));
  CHECK(trees.shown() == Shown{"d/foo=1", "d/in->foo"});
  // Catalogue 43: matches that are links become what they lead to.
  trees.apply(source, copy_action("sub/*", "/all/"));
  CHECK(trees.shown() == Shown{"all/foo=1", "all/in=1"});
  trees.apply(source, copy_action("sub/", "/all/"));
  CHECK(trees.shown() == Shown{"all/foo=1", "all/in->foo"});
  const fs::path loop = trees.tree({"a->b", "b->a"});
  CHECK_THAT(refused(trees, trees.tree(), loop, copy_action("a", "/x")),
             Contains("too many levels of symbolic links"));
}

TEST_CASE("copy: links at the destination are followed inside the root (C9)") {
  Trees trees;
  const fs::path source = trees.tree({"a=1"});
  const fs::path base =
      trees.tree({"target/", "rel->target", "abs->/target", "up->../../../../target",
                  "file->target/f", "target/f=old", "dangling->target/new"});
  for (const char* dest : {"/rel/", "/abs/", "/up/", "/rel/x/.."}) {
    trees.apply({base}, {source}, {copy_action("a", dest)});
    CHECK(read_file(trees.layer / "target/a") == "1");
  }
  trees.apply({base}, {source}, {copy_action("a", "/file")});
  CHECK(read_file(trees.layer / "target/f") == "1");
  CHECK_FALSE(fs::exists(fs::symlink_status(trees.layer / "file")));
  trees.apply({base}, {source}, {copy_action("a", "/dangling")});
  CHECK(read_file(trees.layer / "target/new") == "1");
  // The name inside a folder is replaced, not followed.
  const fs::path inside = trees.tree({"d/a->/etc/passwd"});
  trees.apply({inside}, {source}, {copy_action("a", "/d/")});
  CHECK(trees.shown() == Shown{"d/a=1"});
}

TEST_CASE("copy: what stands in the way is an error, not replaced (C12)") {
  Trees trees;
  const fs::path source = trees.tree({"file=1", "dir/x=2", "both/n=3"});
  const fs::path base = trees.tree({"d/dir/y=0", "d/file/y=0", "d/both=0", "f=0"});
  CHECK_THAT(refused(trees, base, source, copy_action("file", "/d")),
             Contains("'/d/file' is a folder, and a file cannot be copied over it"));
  CHECK_THAT(refused(trees, base, source, copy_action("/", "/d")),
             Contains("'/d/both' is no folder, and one cannot be copied over it"));
  CHECK_THAT(refused(trees, base, source, copy_action("dir", "/f")), Contains("'/f' is no folder"));
  CHECK_THAT(refused(trees, base, source, copy_action("file", "/f/x")),
             Contains("'/f' is no folder"));
  // --link's layer replaces (C17).
  graph::FileAction replace = copy_action("/", "/d");
  replace.replace_existing = true;
  trees.apply({base}, {source}, {replace});
  CHECK(trees.shown() == Shown{"d/both/n=3", "d/dir/x=2", "d/dir/y=0", "d/file=1", "f=0"});
}

TEST_CASE("copy: modes and times are the source's, those of made folders are not (C10, C11)") {
  Trees trees;
  const fs::path source = trees.tree({"d/sub/f=1#640", "d/sub/#711", "d/g=2#4755"});
  const fs::path base = trees.tree({"there/sub/old=0", "there/#700", "there/sub/#700"});
  trees.apply(source, copy_action("d", "/new/deep"));
  CHECK((trees.info("new").st_mode & 07777) == 0755);
  CHECK((trees.info("new/deep").st_mode & 07777) == 0755);
  CHECK((trees.info("new/deep/sub").st_mode & 07777) == 0711);
  CHECK((trees.info("new/deep/sub/f").st_mode & 07777) == 0640);
  CHECK((trees.info("new/deep/g").st_mode & 07777) == 04755);
  CHECK(trees.info("new/deep/sub/f").st_mtim.tv_sec == 1'000'000'000);
  CHECK(trees.info("new/deep/sub").st_mtim.tv_sec == 1'000'000'000);
  CHECK(trees.info("new/deep").st_mtim.tv_sec == 1'000'000'000);
  CHECK(trees.info("new").st_mtim.tv_sec > 1'000'000'000);
  // One that exists keeps its mode at the top; below it takes the source's.
  trees.apply({base}, {source}, {copy_action("d", "/there")});
  CHECK((trees.info("there").st_mode & 07777) == 0700);
  CHECK((trees.info("there/sub").st_mode & 07777) == 0711);
  CHECK(trees.info("there").st_mtim.tv_sec == 1'000'000'000);
  CHECK(trees.shown() == Shown{"there/g=2", "there/sub/f=1", "there/sub/old=0"});
  // A given time is everybody's.
  graph::FileAction timed = copy_action("d", "/new/deep");
  timed.timestamp_ns = 1'500'000'000'000'000'000;
  trees.apply(source, timed);
  for (const char* path : {"new", "new/deep", "new/deep/sub", "new/deep/sub/f"})
    CHECK(trees.info(path).st_mtim.tv_sec == 1'500'000'000);
}

TEST_CASE("copy: --chmod for files and folders, octal also for those made on the way (C14, X6)") {
  Trees trees;
  const fs::path source = trees.tree({"f=1#640", "d/g=2#640", "d/s->g", "d/x=3#750"});
  graph::FileAction action = copy_action("f", "/parent/f");
  action.mode = 0600;
  trees.apply(source, action);
  CHECK((trees.info("parent").st_mode & 07777) == 0600);
  CHECK((trees.info("parent/f").st_mode & 07777) == 0600);
  action = copy_action("/", "/p");
  action.mode_text = "u=rwX,go=rX";
  trees.apply(source, action);
  CHECK((trees.info("p").st_mode & 07777) == 0755);
  CHECK((trees.info("p/d").st_mode & 07777) == 0755);
  CHECK((trees.info("p/d/g").st_mode & 07777) == 0644);
  CHECK((trees.info("p/d/x").st_mode & 07777) == 0755);
  action.mode_text = "64a";
  CHECK_THAT(refused(trees, trees.tree(), source, action), Contains("--chmod=64a: not a mode"));
}

TEST_CASE("copy: owners are the source's, or as --chown says (C10, C13)") {
  if (geteuid() != 0) return;
  Trees trees;
  const fs::path source = trees.tree({"dir/f=1", "dir/sub/g=2"});
  const auto give = [&](const char* path, uid_t uid, gid_t gid) {
    REQUIRE(lchown((source / path).c_str(), uid, gid) == 0);
  };
  give("dir", 100, 200);
  give("dir/sub", 101, 201);
  give("dir/f", 102, 202);
  const auto owner = [&](const char* path) {
    const auto info = trees.info(path);
    return std::to_string(info.st_uid) + ":" + std::to_string(info.st_gid);
  };
  trees.apply(source, copy_action("dir", "/dir"));
  CHECK(owner("dir") == "0:0");
  CHECK(owner("dir/sub") == "101:201");
  CHECK(owner("dir/f") == "102:202");
  // Catalogue 46: one that exists keeps its owner, also with --chown.
  const fs::path base =
      trees.tree({"dir/", "etc/passwd=app:x:1000:1001::/:/bin/sh\n", "etc/group=staff:x:50:\n"});
  REQUIRE(chown((base / "dir").c_str(), 500, 600) == 0);
  trees.apply({base}, {source}, {copy_action("dir", "/dir")});
  CHECK(owner("dir") == "500:600");
  graph::FileAction chown = copy_action("dir", "/dir");
  chown.owner = graph::Owner{300, 400};
  trees.apply({base}, {source}, {chown});
  CHECK(owner("dir") == "500:600");
  CHECK(owner("dir/sub/g") == "300:400");
  trees.apply(source, chown);
  CHECK(owner("dir") == "300:400");
  // Names are the destination's.
  chown.owner.reset();
  for (const auto& [names, expected] : std::map<std::string, std::string>{{"app", "1000:1001"},
                                                                          {"app:staff", "1000:50"},
                                                                          {"app:7", "1000:7"},
                                                                          {"9:staff", "9:50"},
                                                                          {"root", "0:0"},
                                                                          {"root:staff", "0:50"}}) {
    chown.owner_names = names;
    chown.dest = "/new/";
    trees.apply({base}, {source}, {chown});
    CHECK(owner("new") == expected);
    CHECK(owner("new/f") == expected);
  }
  chown.owner_names = "nobody-knows";
  CHECK_THAT(refused(trees, base, source, chown), Contains("no such user"));
  chown.owner_names = "app";
  CHECK_THAT(refused(trees, trees.tree(), source, chown), Contains("no such user"));
  chown.owner_names = "root";
  trees.apply(source, chown);
  CHECK(owner("new/f") == "0:0");
}

TEST_CASE("copy: hard links are kept within a source, and made nowhere else (C10)") {
  Trees trees;
  const fs::path source = trees.tree({"d/one=1", "d/other=2", "e/"});
  fs::create_hard_link(source / "d/one", source / "d/two");
  Trees::set_time(source / "d/one");
  for (const int mode : {-1, 0600}) {  // as it is: links of the store; changed: copies
    graph::FileAction action = copy_action("d", "/x");
    action.mode = mode;
    trees.apply({}, {source}, {action, copy_action("d/one", "/again")});
    CHECK(trees.info("x/one").st_ino == trees.info("x/two").st_ino);
    CHECK(trees.info("again").st_ino != trees.info("x/one").st_ino);
    CHECK(trees.info("x/other").st_ino != trees.info("x/one").st_ino);
  }
  // Inside the store an unchanged copy is a link of the source.
  trees.apply(source, copy_action("d", "/x"));
  struct stat info {};
  REQUIRE(stat((source / "d/other").c_str(), &info) == 0);
  CHECK(trees.info("x/other").st_ino == info.st_ino);
  // Two layers that share a file of the store have two files.
  const fs::path upper = trees.tree();
  fs::create_hard_link(source / "d/other", upper / "copied");
  trees.apply({}, {upper, source}, {copy_action("/", "/")});
  CHECK(trees.info("copied").st_ino != trees.info("d/other").st_ino);
}

TEST_CASE("copy: attributes travel, capabilities survive --chown and --chmod (X7)") {
  Trees trees;
  const fs::path source = trees.tree({"f=1"});
  if (setxattr((source / "f").c_str(), "user.note", "hello", 5, 0) != 0) return;  // tmpfs of old
  // Version 2 of the kernel's structure: CAP_NET_BIND_SERVICE, effective.
  const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
  const bool root = geteuid() == 0;
  if (root)
    REQUIRE(setxattr((source / "f").c_str(), "security.capability", capability, 20, 0) == 0);
  graph::FileAction action = copy_action("f", "/g");
  action.mode = 0700;
  if (root) action.owner = graph::Owner{7, 7};
  trees.apply(source, action);
  char value[64];
  CHECK(getxattr((trees.layer / "g").c_str(), "user.note", value, sizeof value) == 5);
  if (root)
    CHECK(getxattr((trees.layer / "g").c_str(), "security.capability", value, sizeof value) == 20);
}

TEST_CASE("copy: FIFOs stay FIFOs, sockets become empty files (C10)") {
  Trees trees;
  const fs::path source = trees.tree({"d/f=1"});
  REQUIRE(mkfifo((source / "d/pipe").c_str(), 0640) == 0);
  const Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = (source / "d/socket").string();
  REQUIRE(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  REQUIRE(bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  trees.apply(source, copy_action("d", "/x"));
  CHECK(S_ISFIFO(trees.info("x/pipe").st_mode));
  CHECK(S_ISREG(trees.info("x/socket").st_mode));
  CHECK(trees.info("x/socket").st_size == 0);
}

TEST_CASE("copy: --exclude filters below each source folder, never the source itself (C15)") {
  Trees trees;
  const fs::path source = trees.tree(
      {"a.md=1", "d/a.md=2", "d/b.go=3", "d/s/c.md=4", "d/s/keep.md=5", "d/t/e.md=6", "e/x=7"});
  graph::FileAction action = copy_action("d", "/o");
  action.exclude = {"**/*.md"};
  trees.apply(source, action);
  CHECK(trees.shown() == Shown{"o/b.go=3", "o/s/", "o/t/"});
  action.exclude = {"*", "!s/keep.md"};
  trees.apply(source, action);
  CHECK(trees.shown() == Shown{"o/s/keep.md=5"});
  action.exclude = {"s"};
  trees.apply(source, action);
  CHECK(trees.shown() == Shown{"o/a.md=2", "o/b.go=3", "o/t/e.md=6"});
  action = copy_action("a.md", "/o/");
  action.exclude = {"*.md"};
  trees.apply(source, action);
  CHECK(trees.shown() == Shown{"o/a.md=1"});
  action = copy_action("e*", "/o");
  action.exclude = {"*"};
  trees.apply(source, action);
  CHECK(trees.shown() == Shown{"o/"});
}

TEST_CASE("copy: --parents keeps the path after the pivot (C16)") {
  Trees trees;
  const fs::path source = trees.tree({"test/a/b/c/d=1", "test/a/b2/c/x/e=2", "test/a/b/c/y/z/e=3",
                                      "test/a/b/other=4", "test/a/b/c/#711"});
  const auto copied = [&](const std::string& from, const std::string& to = "/out/") {
    graph::FileAction action = copy_action(from, to);
    action.parents = true;
    trees.apply(source, action);
    return trees.shown();
  };
  CHECK(copied("/test/a/b/c/d") == Shown{"out/test/a/b/c/d=1"});
  CHECK((trees.info("out/test/a/b/c").st_mode & 07777) == 0711);
  CHECK(trees.info("out/test/a").st_mode == (S_IFDIR | 0755));
  CHECK(copied("/test/a/b/./c/d") == Shown{"out/c/d=1"});
  CHECK(copied("/test/a/b/c/d/.") == Shown{"out/test/a/b/c/d=1"});
  CHECK(copied("test/a/./b/./c/d") == Shown{"out/b/c/d=1"});
  CHECK(copied("/test/a/b*/./c/**/e") == Shown{"out/c/x/e=2", "out/c/y/z/e=3"});
  CHECK(copied("/test/**/e") == Shown{"out/test/a/b/c/y/z/e=3", "out/test/a/b2/c/x/e=2"});
  CHECK(copied("/test/a/*/other") == Shown{"out/test/a/b/other=4"});
  CHECK(copied("/test/a/./b2") == Shown{"out/b2/c/x/e=2"});
  CHECK(copied("**.nothing") == Shown{"out/"});
  CHECK(copied("/test/no*") == Shown{"out/"});
  CHECK(copied("/test/a/b/./") == Shown{"out/c/d=1", "out/c/y/z/e=3", "out/other=4"});
  graph::FileAction missing = copy_action("/test/a/./none", "/out/");
  missing.parents = true;
  CHECK_THAT(refused(trees, trees.tree(), source, missing),
             Contains("'/test/a/none' does not exist"));
  // Links are not followed on the way.
  const fs::path linked = trees.tree({"real/f=1", "way->real"});
  missing.source = "way/f";
  CHECK_THAT(refused(trees, trees.tree(), linked, missing), Contains("does not exist"));
  // What exists keeps its owner; only the mode is the source's.
  graph::FileAction merge = copy_action("test/a/./b/c/d", "/out/");
  merge.parents = true;
  const fs::path base = trees.tree({"out/b/c/old=0", "out/b/c/#700"});
  trees.apply({base}, {source}, {merge});
  CHECK((trees.info("out/b/c").st_mode & 07777) == 0711);
  CHECK(trees.shown() == Shown{"out/b/c/d=1", "out/b/c/old=0"});
}

TEST_CASE("copy: a stack is read as a step sees it") {
  Trees trees;
  const fs::path low = trees.tree({"d/gone=0", "d/kept=1", "d/over=2", "e/x=3", "w/in=4"});
  const fs::path up = trees.tree({"d/over=new", "e=file"});
  REQUIRE(mknod((up / "d/gone").c_str(), S_IFCHR, 0) == 0);
  REQUIRE(mknod((up / "w").c_str(), S_IFCHR, 0) == 0);
  trees.apply({}, {up, low}, {copy_action("/", "/")});
  CHECK(trees.shown() == Shown{"d/kept=1", "d/over=new", "e=file"});
  trees.apply({}, {up, low}, {copy_action("kept", "/k")}, "d");
  CHECK(trees.shown() == Shown{"k=1"});
  CHECK_THROWS_WITH(trees.apply({}, {up, low}, {copy_action("w/in", "/k")}),
                    Contains("'/w/in' does not exist"));
}

TEST_CASE("files: mkdir makes what is missing and leaves what is there (I2)") {
  Trees trees;
  const fs::path base = trees.tree({"there/#700", "link->there", "file=1"});
  graph::FileAction action;
  action.kind = graph::FileAction::Kind::mkdir;
  action.dest = "/link/a/b";
  action.timestamp_ns = 5'000'000'000;
  if (geteuid() == 0) action.owner = graph::Owner{1000, 1001};
  trees.apply({base}, {}, {action});
  CHECK((trees.info("there").st_mode & 07777) == 0700);
  CHECK((trees.info("there/a/b").st_mode & 07777) == 0755);
  CHECK(trees.info("there/a").st_mtim.tv_sec == 5);
  if (geteuid() == 0) {
    CHECK(trees.info("there/a").st_uid == 1000);
    CHECK(trees.info("there").st_uid == 0);
  }
  action.dest = "/there";
  trees.apply({base}, {}, {action});
  CHECK(fs::is_empty(trees.layer));
  action.dest = "/file/x";
  CHECK_THROWS_WITH(trees.apply({base}, {}, {action}), Contains("'/file' is no folder"));
}

TEST_CASE("files: mkfile, symlink and rm, seen over a base") {
  Trees trees;
  const fs::path base = trees.tree({"d/old=0", "d/sub/x=1", "d/sub/y=2", "keep=3"});
  graph::FileAction file;
  file.kind = graph::FileAction::Kind::mkfile;
  file.dest = "/d/new/text";
  file.data = "hello";
  graph::FileAction link;
  link.kind = graph::FileAction::Kind::symlink;
  link.source = "../keep";
  link.dest = "/d/old";
  graph::FileAction remove;
  remove.kind = graph::FileAction::Kind::rm;
  remove.dest = "/d/sub";
  trees.apply({base}, {}, {file, link, remove});
  CHECK(trees.shown() == Shown{"d/new/text=hello", "d/old->../keep", "keep=3"});
  CHECK((trees.info("d/new/text").st_mode & 07777) == 0644);
  CHECK(S_ISCHR(trees.info("d/sub").st_mode));
  REQUIRE(trees.result.known.size() == 1);
  CHECK(trees.result.known[0].digest == hash_bytes("hello"));
  // A folder made anew where one was removed does not show what was in that.
  graph::FileAction folder;
  folder.kind = graph::FileAction::Kind::mkdir;
  folder.dest = "/d/sub";
  file.dest = "/d/sub/z";
  trees.apply({base}, {}, {remove, folder, file});
  CHECK(trees.shown() == Shown{"d/old=0", "d/sub/z=hello", "keep=3"});
  remove.dest = "/d/*";
  trees.apply({base}, {}, {remove});
  CHECK(trees.shown() == Shown{"d/", "keep=3"});
  remove.dest = "/none";
  CHECK_THROWS_WITH(trees.apply({base}, {}, {remove}), Contains("'/none' does not exist"));
  remove.allow_missing = true;
  trees.apply({base}, {}, {remove});
}

TEST_CASE("files: the layer over a base holds only what changed, folders as they were") {
  Trees trees;
  const fs::path source = trees.tree({"new=1"});
  const fs::path base = trees.tree({"a/b/old=0", "a/b/#750", "a/other/x=1"});
  trees.apply({base}, {source}, {copy_action("new", "/a/b/")});
  CHECK((trees.info("a/b").st_mode & 07777) == 0750);
  CHECK_FALSE(fs::exists(trees.layer / "a/other"));
  CHECK_FALSE(fs::exists(trees.layer / "a/b/old"));
  CHECK(trees.info("a").st_mtim.tv_sec == 1'000'000'000);
  CHECK(trees.result.files == 1);
  CHECK(trees.result.size_bytes == 1);
  REQUIRE(trees.result.known.size() == 1);
  CHECK(trees.result.known[0].path == "a/b/new");
  CHECK(trees.result.known[0].origin == "new");
  // Copying a tree over itself changes nothing.
  trees.apply({base}, {base}, {copy_action("/a/other", "/a/other")});
  CHECK(fs::exists(trees.layer / "a/other/x"));
  CHECK_FALSE(fs::exists(trees.layer / "a/b"));
}
