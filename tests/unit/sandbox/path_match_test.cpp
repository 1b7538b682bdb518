#include "sandbox/path_match.h"

#include "catch2/catch.hpp"

using namespace slipway::sandbox;

TEST_CASE("path match: Go's filepath.Match, component by component") {
  struct Case {
    const char *pattern, *name;
    bool matches;
  };
  const Case cases[] = {
      {"abc", "abc", true},
      {"*", "abc", true},
      {"*", "", true},
      {"*c", "abc", true},
      {"a*", "a", true},
      {"a*", "abc", true},
      {"a*b*c*d*e*", "axbxcxdxe", true},
      {"a*b?c*x", "abxbbxdbxebxczzx", true},
      {"a*b?c*x", "abxbbxdbxebxczzy", false},
      {"**", "abc", true},
      {"ab[c]", "abc", true},
      {"ab[b-d]", "abc", true},
      {"ab[e-g]", "abc", false},
      {"ab[^c]", "abc", false},
      {"ab[^b-d]", "abc", false},
      {"ab[^e-g]", "abc", true},
      {"ab[!c]", "ab!", true},  // no negation but a member of the set
      {"a\\*b", "a*b", true},
      {"a\\*b", "ab", false},
      {"a?b",
       "a\xe2\x98\xba"
       "b",
       true},
      {"a[^a]b",
       "a\xe2\x98\xba"
       "b",
       true},
      {"a???b",
       "a\xe2\x98\xba"
       "b",
       false},
      {"a[^a][^a][^a]b",
       "a\xe2\x98\xba"
       "b",
       false},
      {"[a-\xce\xb6]*", "\xce\xb1", true},
      {"*[a-\xce\xb6]", "A", false},
      {"?", "\xff", true},
      {"[\\]a]", "]", true},
      {"[\\-]", "-", true},
      {"[x\\-]", "x", true},
      {"[x\\-]", "z", false},
      {"[\\-x]", "-", true},
      {"[]a]", "]", false},  // malformed
      {"[-]", "-", false},
      {"[x-]", "x", false},
      {"[-x]", "x", false},
      {"\\", "a", false},
      {"[a-b-c]", "a", false},
      {"[", "a", false},
      {"[^", "a", false},
      {"[^bc", "a", false},
      {"a[", "a", false},
      {"a[", "ab", false},
      {"*x", "xxx", true},
      {"", "", true},
      {"", "a", false},
      {"a.b", "axb", false},
      {".*", ".hidden", true},
      {"*", ".hidden", true},  // a leading dot is nothing special
  };
  for (const Case& one : cases) {
    INFO(one.pattern << " on " << one.name);
    CHECK(match_component(one.pattern, one.name) == one.matches);
  }
}

TEST_CASE("path match: a pattern of stars costs no exponential time") {
  std::string pattern, name(2000, 'a');
  for (int i = 0; i < 200; ++i) pattern += "*a";
  CHECK_FALSE(match_component(pattern + "*b", name));
}

TEST_CASE("path match: which text is a pattern at all") {
  CHECK(has_wildcards("a*"));
  CHECK(has_wildcards("[a"));
  CHECK(has_wildcards("?"));
  CHECK(has_wildcards("\\*b*"));
  CHECK_FALSE(has_wildcards("lit\\*.txt"));
  CHECK_FALSE(has_wildcards("]"));
  CHECK_FALSE(has_wildcards("\\"));
}

TEST_CASE("path match: paths are cleaned as if they began with a slash") {
  using Parts = std::vector<std::string>;
  CHECK(clean_components("/a/./b//../c/") == Parts{"a", "c"});
  CHECK(clean_components("../../etc") == Parts{"etc"});
  CHECK(clean_components(".").empty());
  CHECK(clean_components("").empty());
}
