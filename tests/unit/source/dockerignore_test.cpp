#include "source/dockerignore.h"

#include <chrono>

#include "helpers.h"

using namespace slipway;
using namespace slipway::source;

namespace {

PathPatterns rules(const std::string& text) {
  return PathPatterns::parse(text, ".dockerignore");
}
bool hides(const std::string& text, const std::string& path) {
  return rules(text).hides(path);
}
std::string ignore_error(const std::string& text) {
  return error_of([&] { rules(text); });
}

}  // namespace

TEST_CASE("dockerignore: the reader (G2)") {
  CHECK(
      hides("\xef\xbb\xbf"
            "foo\n",
            "foo"));
  CHECK_FALSE(hides("# foo\n", "# foo"));
  CHECK(hides(" # foo \n", "# foo"));
  CHECK(hides("  foo\t \r\n\n \nbar", "foo"));
  CHECK(hides("foo\nbar", "bar"));
  CHECK(hides("a b\n", "a b"));
  for (const char* same :
       {"foo", "/foo", "./foo", "foo/", "//foo//", "x/../foo", "/./foo/.", "foo /"}) {
    CAPTURE(same);
    CHECK(hides(same, "foo"));
    CHECK(hides(same, "foo/a"));
    CHECK_FALSE(hides(same, "a/foo"));
    CHECK_FALSE(hides(std::string("*\n! ") + same, "foo"));
  }
  CHECK_FALSE(hides("../foo", "foo"));
  CHECK_FALSE(hides(".", "foo"));
  CHECK_FALSE(hides("/", "foo"));
  CHECK_FALSE(hides("", "foo"));
  CHECK_FALSE(hides("*", ""));
  CHECK(rules("# only\n\n").empty());
}

TEST_CASE("dockerignore: mistakes have a position (G2, G3, catalogue 68)") {
  CHECK(ignore_error("foo\n  !  \n") ==
        "4 | .dockerignore:2:3: a '!' without a pattern | '!docs' keeps what an earlier pattern "
        "hides; "
        "a name that is '!' is written \\!");
  CHECK(
      ignore_error("a[b\n") ==
      "4 | .dockerignore:1:1: malformed pattern 'a[b': '[' is not closed | a '[' that is meant as "
      "such is written \\[");
  CHECK(ignore_error("\n!a[]\n") ==
        "4 | .dockerignore:2:1: malformed pattern 'a[]': ']' where a character of the set is due | "
        "write it \\- or \\]");
  CHECK(ignore_error("[-a]").find("'-' where a character of the set is due") != std::string::npos);
  CHECK(ignore_error("[a-]").find("']' where a character of the set is due") != std::string::npos);
  CHECK(ignore_error("[^]").find("']' where a character") != std::string::npos);
  CHECK(ignore_error("[a\\").find("'[' is not closed") != std::string::npos);
  CHECK(ignore_error("[z-a]") ==
        "4 | .dockerignore:1:1: malformed pattern '[z-a]': a range of the set ends before it "
        "begins | "
        "swap its ends");
  CHECK(
      ignore_error("a/b\\") ==
      "4 | .dockerignore:1:1: malformed pattern 'a/b\\': a backslash at the end escapes nothing | "
      "write \\\\ or remove it");
  CHECK(ignore_error(std::string("f\0o", 3)).find("NUL byte") != std::string::npos);
  CHECK(ignore_error(std::string(5000, 'a')).find("longer than 4096 bytes") != std::string::npos);
  CHECK(
      error_of([] {
        PathPatterns(std::vector<std::string>{"a", "["});
      }) ==
      "4 | malformed pattern '[': '[' is not closed | a '[' that is meant as such is written \\[");
}

TEST_CASE("dockerignore: anchored at the root, whole paths (G3)") {
  CHECK(hides("foo", "foo"));
  CHECK(hides("foo", "foo/bar/baz"));
  CHECK_FALSE(hides("foo", "a/foo"));
  CHECK_FALSE(hides("foo", "foobar"));
  CHECK_FALSE(hides("foo", "fo"));
  CHECK(hides("a/b", "a/b/c"));
  CHECK_FALSE(hides("a/b", "a"));
}

TEST_CASE("dockerignore: '*' and '?' stop at '/' (G3)") {
  CHECK(hides("*.md", "README.md"));
  CHECK_FALSE(hides("*.md", "docs/README.md"));
  CHECK(hides("*", ".hidden"));
  CHECK(hides("*/*.md", "docs/README.md"));
  CHECK(hides("d*/x", "docs/x/y"));
  CHECK_FALSE(hides("a*b", "a/b"));
  CHECK_FALSE(hides("a?b", "a/b"));
  CHECK(hides("a?b",
              "a\xc3\xa4"
              "b"));
  CHECK(hides("a?b",
              "a\xff"
              "b"));
  CHECK_FALSE(hides("a?b", "ab"));
  CHECK(hides("a*", "a"));
  CHECK(hides("*a*b*", "xaybz"));
}

TEST_CASE("dockerignore: sets and escapes (G3)") {
  CHECK(hides("[a-c]x", "bx"));
  CHECK_FALSE(hides("[a-c]x", "dx"));
  CHECK(hides("[^a-c]x", "dx"));
  CHECK_FALSE(hides("[^a-c]x", "ax"));
  CHECK(hides("[!a]", "!"));
  CHECK_FALSE(hides("[!a]", "b"));
  CHECK(hides("[\\]\\-]", "-"));
  CHECK(hides("[\\]\\-]", "]"));
  CHECK(hides("[\xc3\xa4-\xc3\xb6]", "\xc3\xb6"));
  CHECK(hides("a[^b]c", "a/c"));
  CHECK(hides("a]", "a]"));
  CHECK(hides("\\*", "*"));
  CHECK_FALSE(hides("\\*", "a"));
  CHECK(hides("a\\b", "ab"));
  CHECK(hides("\\!a", "!a"));
  CHECK(hides("\\#a", "#a"));
  CHECK(hides("a.b+c(d)|{e}$^", "a.b+c(d)|{e}$^"));
  CHECK_FALSE(hides("a.c", "abc"));
}

TEST_CASE("dockerignore: '**' (G4)") {
  CHECK(hides("**/foo", "foo"));
  CHECK(hides("**/foo", "a/b/foo"));
  CHECK(hides("**/foo", "a/foo/b"));
  CHECK_FALSE(hides("**/foo", "xfoo"));
  CHECK_FALSE(hides("**/foo", "a/xfoo"));
  CHECK(hides("a/**/b", "a/b"));
  CHECK(hides("a/**/b", "a/x/y/b/c"));
  CHECK_FALSE(hides("a/**/b", "ab"));
  CHECK_FALSE(hides("a/**/b", "a/xb"));
  CHECK(hides("foo/**", "foo/a/b"));
  CHECK_FALSE(hides("foo/**", "foo"));
  CHECK(hides("a**", "ab"));
  CHECK(hides("a**", "abc/d"));
  CHECK(hides("a**", "a"));
  CHECK(hides("**foo", "xfoo"));
  CHECK(hides("**foo", "a/xfoo"));
  CHECK(hides("**foo", "a/xfoo/b"));
  CHECK_FALSE(hides("**foo", "foox"));
  CHECK(hides("**", "a"));
  CHECK(hides("**/", "a/b"));
  CHECK(hides("**/*.pyc", "a.pyc"));
  CHECK(hides("**/*.pyc", "a/b/c.pyc"));
  CHECK_FALSE(hides("**/*.pyc", "a/b/c.py"));
  CHECK(hides("a**b", "ab"));
  CHECK(hides("a**b", "ax/y/b"));
  CHECK_FALSE(hides("a**b", "axb"));
  CHECK(hides("**/a/**", "x/a/y"));
  CHECK_FALSE(hides("**/a/**", "x/a"));
  CHECK(hides("**/a*/**/z", "q/ab/c/d/z"));
  CHECK(hides("***", "a/b"));
}

TEST_CASE("dockerignore: the last that matches decides, parents count (G5, catalogue 68, 69)") {
  const std::string bay = "ba*\n!bay\n";
  CHECK(hides(bay, "bar"));
  CHECK(hides(bay, "baz/x"));
  CHECK_FALSE(hides(bay, "bay"));
  CHECK_FALSE(hides("*\n!a\n", "a/c"));
  CHECK(hides("*\n!a\n", "b"));
  CHECK_FALSE(hides("a\n!a/b\n", "a/b/c"));
  CHECK(hides("a\n!a/b\n", "a/c"));
  CHECK(hides("!a\n*\n", "a"));
  CHECK(hides("*\n!a\na/c\n", "a/c"));
  const std::string readme = "*.md\n!README*.md\nREADME-secret.md\n";
  CHECK(hides(readme, "README-secret.md"));
  CHECK_FALSE(hides(readme, "README-x.md"));
  CHECK(hides(readme, "a.md"));
}

TEST_CASE("dockerignore: which directories need not be walked (G6)") {
  CHECK(rules("a\n").may_skip_directory("a"));
  CHECK(rules("a\n").may_skip_directory("a/b"));
  CHECK_FALSE(rules("a\n").may_skip_directory("b"));
  CHECK_FALSE(rules("a/**\n").may_skip_directory("a"));
  CHECK_FALSE(rules("a\n").has_exceptions());
  CHECK_FALSE(rules("*\n").may_skip_directory(""));
  const PathPatterns some = rules("*\n!src/app\n!doc*/x\n");
  CHECK(some.has_exceptions());
  CHECK_FALSE(some.may_skip_directory("src"));
  CHECK(some.may_skip_directory("src/lib"));
  CHECK_FALSE(some.may_skip_directory("src/app"));
  CHECK_FALSE(some.may_skip_directory("docs"));
  CHECK(some.may_skip_directory("docs/y"));
  CHECK(some.may_skip_directory("tmp"));
  CHECK_FALSE(rules("*\n!**/x\n").may_skip_directory("tmp"));
  CHECK_FALSE(rules("*\n!tmp/**\n").may_skip_directory("tmp/a"));
  CHECK_FALSE(rules("a\n!a/b/**/c\n").may_skip_directory("a/b/q"));
}

TEST_CASE("dockerignore: skipping a directory never loses a path that is kept") {
  uint32_t state = 7;
  const auto next = [&](uint32_t bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 16U) % bound;
  };
  const std::vector<std::string> parts = {"a", "b", "*", "**", "a*", "?", "[^a]", "**b"};
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (uint32_t line = 1 + next(4); line > 0; --line) {
      if (next(2) == 0) text += '!';
      for (uint32_t part = 1 + next(3); part > 0; --part)
        text += parts[next(static_cast<uint32_t>(parts.size()))] + (part > 1 ? "/" : "");
      text += '\n';
    }
    const PathPatterns patterns = rules(text);
    std::string path;
    for (uint32_t part = 2 + next(3); part > 0; --part)
      path += std::string(1, "abc"[next(3)]) + (next(3) == 0 ? "b" : "") + (part > 1 ? "/" : "");
    if (patterns.hides(path)) continue;
    CAPTURE(text, path);
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1))
      REQUIRE_FALSE(patterns.may_skip_directory(path.substr(0, slash)));
  }
}

TEST_CASE("dockerignore: --exclude's patterns are the same without comments (C15)") {
  const PathPatterns patterns(std::vector<std::string>{"#a", "*.log", "!keep.log", " "});
  CHECK(patterns.hides("#a"));
  CHECK(patterns.hides("x.log"));
  CHECK_FALSE(patterns.hides("keep.log"));
  CHECK(PathPatterns().empty());
}

TEST_CASE("dockerignore: patterns made to be slow are not (threat 7)") {
  const auto start = std::chrono::steady_clock::now();
  std::string evil;
  for (int i = 0; i < 1000; ++i) evil += "*a/**/";
  evil.resize(4000);
  const PathPatterns patterns(std::vector<std::string>{evil + "z"});
  std::string path;
  for (int i = 0; i < 1000; ++i) path += "aa/";
  path += "b";
  for (int i = 0; i < 5; ++i) CHECK_FALSE(patterns.hides(path + "/" + std::to_string(i)));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("dockerignore: a large context is filtered quickly") {
  const PathPatterns patterns = rules(
      ".git\nnode_modules\n**/node_modules\n**/*.pyc\n*.md\n!README.md\n**/.DS_Store\ntmp/**\n"
      "**/__pycache__\ndist\nbuild\ncoverage\n.env*\n**/*.log\nDockerfile*\n.dockerignore\n");
  const auto start = std::chrono::steady_clock::now();
  int hidden = 0;
  for (int i = 0; i < 20'000; ++i)
    hidden +=
        patterns.hides(fmt::format("packages/service-{}/src/module/deep/file{}.ts", i % 50, i));
  CHECK(hidden == 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(1));
}
