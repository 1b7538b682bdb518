#include "source/slugignore.h"

#include <chrono>

#include "helpers.h"
#include "source/glob.h"

using namespace slipway;
using namespace slipway::source;

namespace {

bool ignores(const std::string& patterns, const std::string& path, bool directory = false) {
  return SlugIgnore(patterns).matches(path, directory);
}

}  // namespace

TEST_CASE("slugignore: a name without slash matches at any depth") {
  CHECK(ignores("*.psd", "a.psd"));
  CHECK(ignores("*.psd", "art/deep/a.psd"));
  CHECK_FALSE(ignores("*.psd", "a.psd.txt"));
  CHECK(ignores("test", "lib/test", true));
  CHECK(ignores("test", "lib/test/unit/a.rb"));
  CHECK_FALSE(ignores("test", "lib/tests", true));
}

TEST_CASE("slugignore: a slash anywhere anchors at the root (IGN-3)") {
  CHECK(ignores("/test", "test", true));
  CHECK_FALSE(ignores("/test", "lib/test", true));
  CHECK(ignores("docs/*.md", "docs/a.md"));
  CHECK_FALSE(ignores("docs/*.md", "x/docs/a.md"));
  CHECK_FALSE(ignores("docs/*.md", "docs/deep/a.md"));
  CHECK(ignores("./docs//a.md", "docs/a.md"));
}

TEST_CASE("slugignore: ** as a component means any depth") {
  CHECK(ignores("docs/**/*.md", "docs/a.md"));
  CHECK(ignores("docs/**/*.md", "docs/x/y/a.md"));
  CHECK(ignores("**/*.md", "a.md"));
  CHECK(ignores("a/**/b/**/c", "a/b/x/b/y/c"));
  CHECK_FALSE(ignores("a/**/b", "a/x/c"));
  CHECK_FALSE(ignores("docs/**/*.md", "docs/.hidden/a.md"));
  SECTION("at the end, or inside a name, it is '*'") {
    CHECK(ignores("docs/**", "docs/a.md"));
    CHECK_FALSE(SlugIgnore("docs/**").matches_entry("docs/x/a.md", false));
    CHECK(ignores("do**/a", "docs/a"));
  }
}

TEST_CASE("slugignore: leading dots must be spelled") {
  CHECK_FALSE(ignores("*", ".env"));
  CHECK_FALSE(ignores("?env", ".env"));
  CHECK_FALSE(ignores("[.]env", ".env"));
  CHECK(ignores(".*", ".env"));
  CHECK(ignores("\\.env", ".env"));
  CHECK(ignores(".DS_Store", "a/b/.DS_Store"));
  CHECK_FALSE(ignores("secret", ".cache/secret"));
  CHECK(ignores(".cache/secret", ".cache/secret"));
}

TEST_CASE("slugignore: sets, questions, escapes, braces") {
  CHECK(ignores("file[0-9].t?t", "file7.txt"));
  CHECK_FALSE(ignores("file[^0-9].txt", "file7.txt"));
  CHECK_FALSE(ignores("file[!0-9].txt", "file7.txt"));
  CHECK(ignores("a\\*b", "a*b"));
  CHECK_FALSE(ignores("a\\*b", "axb"));
  CHECK(ignores("{log,tmp}/*.{a,b{1,2}}", "tmp/x.b2"));
  CHECK_FALSE(ignores("{log,tmp}/*.{a,b{1,2}}", "tmp/x.b3"));
  CHECK(ignores("caf?", "caf\xc3\xa9"));
  CHECK(ignores("caf[\xc3\xa0-\xc3\xaf]", "caf\xc3\xa9"));
  CHECK(ignores("bad?name", "bad\xffname"));
  CHECK_FALSE(ignores("[a", "[a"));
  CHECK(ignores("{a", "{a"));
}

TEST_CASE("slugignore: blanks separate, '#' starts a comment, '!' is nothing special (IGN-2)") {
  const SlugIgnore rules("a b # c\n!keep\n# d\r\ne#f\r\n");
  CHECK(rules.matches("a", false));
  CHECK(rules.matches("b", false));
  CHECK_FALSE(rules.matches("c", false));
  CHECK_FALSE(rules.matches("d", false));
  CHECK(rules.matches("e", false));
  CHECK(rules.matches("!keep", false));
  CHECK_FALSE(rules.matches("keep", false));
  REQUIRE(rules.warnings().size() == 1);
  CHECK(rules.warnings()[0].to_string() ==
        ".slugignore:2:1: '!keep': there is no negation here; this matches names that start with "
        "'!'");
}

TEST_CASE("slugignore: a trailing slash means directories only") {
  CHECK(ignores("log/", "log", true));
  CHECK(ignores("log/", "log/a.txt"));
  CHECK_FALSE(ignores("log/", "log", false));
  CHECK_FALSE(ignores("log/", "x/log", true));
}

TEST_CASE("slugignore: nothing outside the root, nor the root itself, can be matched") {
  const SlugIgnore rules("../x\n/\n.\na/../../b\n/etc/passwd\n");
  CHECK(rules.warnings().size() == 4);
  CHECK_FALSE(rules.matches("x", false));
  CHECK_FALSE(rules.matches("b", false));
  CHECK(rules.matches("etc/passwd", false));
}

TEST_CASE("slugignore: .git goes always, everywhere; .gitmodules stays (IGN-4)") {
  const SlugIgnore none;
  CHECK(none.matches(".git", true));
  CHECK(none.matches("vendor/x/.git", false));
  CHECK(none.matches(".git/config", false));
  CHECK_FALSE(none.matches(".gitmodules", false));
  CHECK_FALSE(none.matches("tmp", true));
  CHECK_FALSE(none.matches("x.git", true));
  CHECK_FALSE(none.counts(".git", true));
}

TEST_CASE("slugignore: the count is of paths a pattern matches (OUT-7)") {
  const SlugIgnore rules("docs\n*.md\n");
  int count = 0;
  for (const char* path : {"docs/a.md", "docs/b.txt", "readme.md", "src/x.c"})
    count += rules.counts(path, false) ? 1 : 0;
  CHECK(count == 2);
  CHECK(rules.counts("docs", true));
}

TEST_CASE("slugignore: hostile patterns stay cheap (threat 7)") {
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(ignores(std::string(200, '*') + "b", std::string(5000, 'a')));
  std::string stars = "x/";
  std::string path = "x";
  for (int i = 0; i < 200; ++i) stars += "**/a/";
  for (int i = 0; i < 500; ++i) path += "/a";
  CHECK_FALSE(SlugIgnore(stars + "b").matches_entry(path, false));
  CHECK(error_of([] {
          SlugIgnore(
              "ok\n {a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"
              "{a,b}{a,b}{a,b}{a,b}");
        }) ==
        "4 | .slugignore:2:2: more than 10000 patterns | name the folder that holds them instead");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("expand_braces: order, empty parts, escapes") {
  CHECK(*expand_braces("a{b,,c}d", 10) == std::vector<std::string>{"abd", "ad", "acd"});
  CHECK(*expand_braces("a\\{b,c}", 10) == std::vector<std::string>{"a\\{b,c}"});
  CHECK_FALSE(expand_braces("{a,b,c}", 2));
}
