#include "archive/tree.h"

#include "base/error.h"

using namespace slipway;
using namespace slipway::archive;

namespace {

TreeEntry file(const std::string& path, const std::string& content) {
  TreeEntry entry;
  entry.path = path;
  entry.mode = 0644;
  entry.size = content.size();
  entry.digest = hash_bytes(content);
  entry.mtime_ns = 1'700'000'000'123'456'789;
  return entry;
}

TreeEntry directory(const std::string& path) {
  TreeEntry entry;
  entry.path = path;
  entry.type = EntryType::directory;
  entry.mode = 0755;
  return entry;
}

Tree sample() {
  Tree tree;
  tree.entries = {directory("a"), file("a-b", "1"), file("a/b", "22"), file("a/\xff\x01", "")};
  TreeEntry link;
  link.path = "z";
  link.type = EntryType::symlink;
  link.mode = 0777;
  link.link = "../../etc/passwd";
  link.uid = 4294967295;
  link.mtime_ns = -5;
  tree.entries.push_back(link);
  tree.entries[1].hard_link_group = 1;
  return tree;
}

std::string refusal(std::string_view data) {
  try {
    (void)parse_tree(data);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a tree's binary form gives the same tree back") {
  const Tree tree = sample();
  CHECK(parse_tree(serialize_tree(tree)).entries == tree.entries);
  CHECK(parse_tree(serialize_tree(Tree{})).entries.empty());
}

TEST_CASE("tree: sort, find and below agree on bytewise order") {
  Tree tree = sample();
  std::reverse(tree.entries.begin(), tree.entries.end());
  tree.sort();
  CHECK(tree.entries == sample().entries);
  REQUIRE(tree.find("a/b") != nullptr);
  CHECK(tree.find("a/b")->size == 2);
  CHECK(tree.find("a/") == nullptr);
  CHECK(tree.find("zz") == nullptr);
  const Tree below = tree.below("a");
  REQUIRE(below.entries.size() == 2);
  CHECK(below.entries[0].path == "b");
  CHECK(below.entries[1].path == "\xff\x01");
  CHECK(tree.below("").entries == tree.entries);
  CHECK(tree.total_size() == 3);
}

TEST_CASE("the content digest covers everything but times (dockerfile.md K7)") {
  const Tree base = sample();
  const Digest digest = tree_digest(base);
  Tree other = base;
  other.entries[1].mtime_ns = 7;
  CHECK(tree_digest(other) == digest);
  const std::vector<std::function<void(TreeEntry&)>> changes = {
      [](TreeEntry& entry) { entry.path += "x"; },
      [](TreeEntry& entry) { entry.mode ^= 1; },
      [](TreeEntry& entry) { entry.uid ^= 1; },
      [](TreeEntry& entry) { entry.gid ^= 1; },
      [](TreeEntry& entry) { entry.size += 1; },
      [](TreeEntry& entry) { entry.link += "x"; },
      [](TreeEntry& entry) { entry.type = EntryType::directory; },
      [](TreeEntry& entry) { entry.digest = hash_bytes("other"); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    INFO(i);
    other = base;
    changes[i](other.entries.back());
    CHECK(tree_digest(other) != digest);
  }
  other = base;
  other.entries.pop_back();
  CHECK(tree_digest(other) != digest);
}

TEST_CASE("malformed tree listings are refused with exit 6 (threat 7)") {
  const std::string good = serialize_tree(sample());
  CHECK(refusal("") == "malformed tree listing: unknown version");
  CHECK(refusal("slipway-tree 2\n") == "malformed tree listing: unknown version");
  CHECK(refusal(good + "x") == "malformed tree listing: bytes after the last entry");
  for (size_t size = 0; size < good.size(); ++size) {
    INFO(size);
    CHECK(refusal(good.substr(0, size)) != "accepted");
  }
  CHECK(refusal("slipway-tree 1\n\xff\xff\xff\xff\xff\xff\xff\xff\x7f") ==
        "malformed tree listing: cut short");
  const std::string one_dir = "slipway-tree 1\n\x01";
  CHECK(refusal(one_dir + std::string("\x01\0\x02..\0\0\0\0", 9)) ==
        "malformed tree listing: path '..'");
  CHECK(refusal(one_dir + std::string("\x01\0\x02/a\0\0\0\0", 9)) ==
        "malformed tree listing: path '/a'");
  CHECK(refusal(one_dir + std::string("\x03\0\x01"
                                      "a\0\0\0\0",
                                      8)) == "malformed tree listing: unknown kind of entry");
  CHECK(refusal(one_dir + std::string("\x01\x05\x01"
                                      "a\0\0\0\0",
                                      8)) == "malformed tree listing: path out of range");
  const std::string twice = "slipway-tree 1\n\x02";
  const std::string a(
      "\x01\0\x01"
      "a\0\0\0\0",
      8);
  CHECK(refusal(twice + a + a) == "malformed tree listing: entries out of order");
}

TEST_CASE("a flipped byte never crashes the parser") {
  const std::string good = serialize_tree(sample());
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      try {
        (void)parse_tree(bad);
      } catch (const Error& error) {
        CHECK(error.code() == ExitCode::machine);
      }
    }
  }
}

TEST_CASE("an unsorted or unsafe listing is a bug when it is written") {
  Tree tree;
  tree.entries = {directory("b"), directory("a")};
  CHECK_THROWS_AS(serialize_tree(tree), std::logic_error);
  tree.entries = {directory("a/../b")};
  CHECK_THROWS_AS(serialize_tree(tree), std::logic_error);
}
