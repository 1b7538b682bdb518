// What a copy reads, as its key sees it (dockerfile.md K6 to K8).
#include "catch2/catch.hpp"
#include "sandbox/tree_fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using namespace slipway::sandbox::testing;

namespace {

Selection selected(const fs::path& root, const graph::FileAction& action) {
  const Fd layer = open_file(root.string(), O_RDONLY | O_DIRECTORY);
  StackView view({layer.get()}, "");
  return select_content(view, action);
}

}  // namespace

TEST_CASE("selection: content and mode count, times and other files do not") {
  Trees trees;
  const fs::path root = trees.tree({"foo1=1", "foo2=2", "bar=3", "d/x=4"});
  const graph::FileAction star = copy_action("foo*", "/files/");
  const Digest before = selected(root, star).digest;
  write_file_atomic(root / "bar", "changed");
  Trees::set_time(root / "foo1", 5);
  CHECK(selected(root, star).digest == before);
  REQUIRE(chmod((root / "foo1").c_str(), 0700) == 0);
  CHECK(selected(root, star).digest != before);
  REQUIRE(chmod((root / "foo1").c_str(), 0644) == 0);
  CHECK(selected(root, star).digest == before);
  write_file_atomic(root / "foo2", "changed");
  CHECK(selected(root, star).digest != before);
}

TEST_CASE("selection: renaming a file that a pattern matches counts (K8)") {
  Trees trees;
  const fs::path root = trees.tree({"file1=1"});
  const graph::FileAction star = copy_action("file*", "/files/");
  const Digest before = selected(root, star).digest;
  fs::rename(root / "file1", root / "file2");
  CHECK(selected(root, star).digest != before);
}

TEST_CASE("selection: where a source stands does not count, its name does (K6)") {
  Trees trees;
  const fs::path root = trees.tree({"a/x=1", "b/x=1", "b/y=1"});
  CHECK(selected(root, copy_action("a/x", "/d/")).digest ==
        selected(root, copy_action("b/x", "/d/")).digest);
  CHECK(selected(root, copy_action("a/x", "/d/")).digest !=
        selected(root, copy_action("b/y", "/d/")).digest);
  CHECK(selected(root, copy_action("a", "/d/")).digest !=
        selected(root, copy_action("b", "/d/")).digest);
}

TEST_CASE("selection: excluded paths do not count; the top folder's own mode neither") {
  Trees trees;
  const fs::path root = trees.tree({"d/a=1", "d/b.md=2", "d/s/c.md=3"});
  graph::FileAction action = copy_action("d", "/o");
  action.exclude = {"**/*.md"};
  const Digest before = selected(root, action).digest;
  write_file_atomic(root / "d/b.md", "changed");
  write_file_atomic(root / "d/s/c.md", "changed");
  REQUIRE(chmod((root / "d").c_str(), 0700) == 0);
  CHECK(selected(root, action).digest == before);
  REQUIRE(chmod((root / "d/s").c_str(), 0700) == 0);
  CHECK(selected(root, action).digest != before);
}

TEST_CASE("selection: a listing and the same tree on disk agree") {
  if (geteuid() != 0) return;  // the listing's owner is root
  Trees trees;
  const fs::path root = trees.tree(
      {"a=1", "a-b/x=2", "a.d/y=3", "d/e/f=4", "d/g=5#755", "l->d/g", "d/in->../a", "folder->d"});
  const Fd layer = open_file(root.string(), O_RDONLY | O_DIRECTORY);
  StackView view({layer.get()}, "");
  const archive::Tree listing = select_content(view, copy_action("/", "/")).tree;
  CHECK(listing.entries.size() == 12);
  for (const char* source :
       {"/", "a", "d", "d/*", "l", "folder", "*", "d/e/../g", "[al]*", "folder/g"}) {
    ListView list(listing);
    INFO(source);
    CHECK(select_content(list, copy_action(source, "/x")).digest ==
          select_content(view, copy_action(source, "/x")).digest);
    graph::FileAction parents = copy_action(source, "/x");
    parents.parents = true;
    parents.allow_missing = true;
    CHECK(select_content(list, parents).digest == select_content(view, parents).digest);
  }
}

TEST_CASE("selection: what must be read of a source at most") {
  graph::FileAction action = copy_action("/src/app/*.go", "/x");
  CHECK(needed_path(action) == "src/app");
  action.source = "src/../lib/./x";
  CHECK(needed_path(action) == "lib/x");
  action.source = ".";
  CHECK(needed_path(action).empty());
  action.parents = true;
  action.source = "a/./b/c*/d";
  CHECK(needed_path(action) == "a/b");
  action.source = "a*/./b";
  CHECK(needed_path(action).empty());
}
