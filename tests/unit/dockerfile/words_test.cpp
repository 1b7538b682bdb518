// Quotes, escapes and variables in words (dockerfile.md V1-V10, H10).
#include "dockerfile/words.h"

#include <chrono>

#include "dockerfile/patterns.h"
#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

const std::map<std::string, std::string> variables = {
    {"v", "value"},
    {"empty", ""},
    {"name", "a.tar.gz"},
    {"path", "/usr/lib/x"},
    {"br", "a[ab]"},
    {"words", "ab  c"},
    {"lines", "one\ntwo"},
    {"uml", "\xc3\xa4x\xc3\xa4"},
    {"\xed\x95\x9c", "korean"},
    {"dollar", "a$1b"},
    {"star", "a*b?c\\d}e/f"},
    {"xx", "xaxbx"},
};

const Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
  const auto found = variables.find(std::string(name));
  if (found == variables.end()) return std::nullopt;
  return found->second;
};

std::string expand(const std::string& word, char escape = '\\') {
  return expand_word(word, escape, lookup).text;
}

/// "offset: cause | hint"
std::string word_error(const std::string& word) {
  try {
    return "no error: " + expand(word);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    REQUIRE(error.pos().has_value());
    CHECK(error.pos()->line == 0);
    std::string text = fmt::format("{}: {}", error.pos()->column, error.cause());
    if (!error.hint().empty()) text += " | " + error.hint();
    return text;
  }
}

}  // namespace

TEST_CASE("words: names of variables (V1)") {
  CHECK(expand("$v") == "value");
  CHECK(expand("a${v}b") == "avalueb");
  CHECK(expand("$v-x$v.") == "value-xvalue.");
  CHECK(expand("$unset|${unset}|") == "||");
  CHECK(expand("$vx") == "");
  CHECK(expand("$\xed\x95\x9c$v") == "koreanvalue");
  CHECK(expand("${\xed\x95\x9c}") == "korean");
  CHECK(expand("$v\xe2\x80\x99s") == "value\xe2\x80\x99s");
  CHECK(expand("$v\xff") == "value\xff");
  SECTION("digits are taken together, special names are one character") {
    CHECK(expand("$123abc") == "abc");
    CHECK(expand("$\xd9\xa1\xd9\xa2z") == "z");
    for (const char* special : {"@", "*", "#", "?", "-", "$", "!", "0"}) {
      CAPTURE(special);
      CHECK(expand(fmt::format("<${}v>", special)) == "<v>");
      CHECK(expand(fmt::format("<${{{}}}>", special)) == "<>");
      CHECK(expand(fmt::format("<${{{}:-w}}>", special)) == "<w>");
    }
  }
  SECTION("before anything else it is a dollar sign") {
    CHECK(expand("a$") == "a$");
    CHECK(expand("$.$ $/") == "$.$ $/");
    CHECK(expand("\"$\"") == "$");
    CHECK(expand("$(date) `date`") == "$(date) `date`");
  }
}

TEST_CASE("words: defaults, alternatives, demands (V2)") {
  CHECK(expand("${v:-w}|${v-w}|${empty:-w}|${empty-w}|${u:-w}|${u-w}") == "value|value|w||w|w");
  CHECK(expand("${v:+w}|${v+w}|${empty:+w}|${empty+w}|${u:+w}|${u+w}") == "w|w||w||");
  CHECK(expand("${v:?m}|${v?m}|${empty?m}") == "value|value|");
  CHECK(word_error("${u:?no u}") == "0: u: no u");
  CHECK(word_error("a${u?\"custom error\"}") == "1: u: custom error");
  CHECK(word_error("${u:?}") == "0: u: is not allowed to be unset");
  CHECK(word_error("${empty:?}") == "0: empty: is not allowed to be empty");
  CHECK(expand("${empty?}") == "");
}

TEST_CASE("words: modifiers there are not (V2, V3)") {
  for (const auto& [word, modifier] : std::map<std::string, std::string>{{"${v:=w}", ":="},
                                                                         {"${v=w}", "="},
                                                                         {"${v^^}", "^"},
                                                                         {"${v:0:1}", ":0"},
                                                                         {"${#v}", "v"},
                                                                         {"${v:#p}", ":#"},
                                                                         {"${v:%p}", ":%"},
                                                                         {"${v.}", "."},
                                                                         {"${v[0]}", "["},
                                                                         {"${v@Q}", "@"},
                                                                         {"${v w}", " "},
                                                                         {"${v\nw}", "\\x0a"}}) {
    CAPTURE(word);
    const std::string error = word_error("x" + word);
    CHECK(error.rfind(
              fmt::format("1: '{}' is no modifier of a variable | there are ${{v:-w}}", modifier),
              0) == 0);
  }
}

TEST_CASE("words: nesting (V5, catalogue 23)") {
  CHECK(expand("${u:-${y:-yyy}}") == "yyy");
  CHECK(expand("${u:-\\$PWD:}") == "$PWD:");
  CHECK(expand("${v}}") == "value}");
  CHECK(expand("${u:-a\\}b}") == "a}b");
  CHECK(expand("${u:-'}'\"}\"}") == "}}");
  CHECK(expand("${u:-\"a $v\" 'b $v'}") == "a value b $v");
  CHECK(expand("\"${u:-\"a b\"}\"") == "a b");
  CHECK(expand("${u:-a {b}") == "a {b");
}

TEST_CASE("words: the words behind an operator are always processed") {
  CHECK(word_error("${v:-${u:?m}}") == "5: u: m");
}

TEST_CASE("words: what is not closed or named (V6)") {
  CHECK(word_error("a${}") == "1: a name is missing after '${'");
  CHECK(word_error("${:-x}") == "0: a name is missing after '${'");
  CHECK(word_error("${{v}") == "0: a name is missing after '${'");
  CHECK(word_error("${") == "0: '}' is missing after '${'");
  CHECK(word_error("ab${v") == "2: '}' is missing after '${'");
  CHECK(word_error("${v:") == "0: '}' is missing after '${'");
  CHECK(word_error("${v:-w") == "0: '}' is missing after '${'");
  CHECK(word_error("${u:-b ${v}") == "0: '}' is missing after '${'");
  CHECK(word_error("${v/p") == "0: '/' is missing in ${name/pattern/replacement}");
  CHECK(word_error("${v/p}") == "0: '/' is missing in ${name/pattern/replacement}");
  CHECK(word_error("${v/p/r") == "0: '}' is missing after '${'");
}

TEST_CASE("words: escapes and quotes (V7)") {
  CHECK(expand("a\\nb") == "anb");
  CHECK(expand("a\\") == "a");
  CHECK(expand("a\\\\") == "a\\");
  CHECK(expand("\\$v \\${v} \\'") == "$v ${v} '");
  CHECK(expand("\\\xc3\xa4") == "\xc3\xa4");
  CHECK(expand("\"a\\nb\\\"c\\$v\\\\\"") == "a\\nb\"c$v\\");
  CHECK(expand("\"it's\"") == "it's");
  CHECK(expand("'a\\' b") == "a\\ b");
  CHECK(expand("'$v'\"$v\"$v") == "$vvaluevalue");
  CHECK(expand("he'll'o") == "hello");
  CHECK(expand("''") == "");
  CHECK(expand("a  b") == "a  b");
  CHECK(expand("%s%d") == "%s%d");
  SECTION("a backtick as escape character leaves backslashes alone") {
    CHECK(expand("C:\\x\\$v", '`') == "C:\\x\\value");
    CHECK(expand("`$v ``", '`') == "$v `");
    CHECK(expand("\"`\"`n\"", '`') == "\"`n");
  }
}

TEST_CASE("words: quotes that are not closed (V8)") {
  CHECK(word_error("it's") ==
        "2: the single quote is not closed | inside single quotes nothing can be escaped; a lone ' "
        "is "
        "written \\' or \"'\"");
  CHECK(word_error("a\\\\'b").rfind("3: the single quote is not closed", 0) == 0);
  CHECK(word_error("\"a\\\"") == "0: the double quote is not closed");
  CHECK(word_error("\"a\\") == "0: the double quote is not closed");
  CHECK(word_error("${v:-\"x}") == "5: the double quote is not closed");
}

TEST_CASE("words: removing a prefix or suffix (V3, V4, catalogue 24, 25)") {
  CHECK(expand("${name%.*}|${name%%.*}|${name#*.}|${name##*.}") == "a.tar|a|tar.gz|gz");
  CHECK(expand("${path##*/}|${path%/*}|${path#/}|${path%nothing}") ==
        "x|/usr/lib|usr/lib/x|/usr/lib/x");
  CHECK(expand("${v#?}|${v%??}|${v#??????}") == "alue|val|value");
  CHECK(expand("${v#}|${v%}|${v##}|${v#*}|${v##*}|${v%*}|${v%%*}") ==
        "value|value|value|value||value|");
  CHECK(expand("busy${v#val}") == "busyue");
  CHECK(expand("${u#x}|${u%%*}") == "|");
  CHECK(expand("${uml#?}|${uml%?}") == "x\xc3\xa4|\xc3\xa4x");
  CHECK(expand("${v#$v}") == "");
  SECTION("brackets are literal, escapes make wildcards plain") {
    CHECK(expand("${br%[ab]}") == "a");
    CHECK(expand("${br#[ab]}") == "a[ab]");
    CHECK(expand("${star#a\\*b\\?c}") == "\\d}e/f");
    CHECK(expand("${star#a\\*b\\?c\\\\d\\}}") == "e/f");
    CHECK(expand("${star%\\/f}") == "a*b?c\\d}e");
    CHECK(word_error("${v#\\x}") ==
          "0: invalid escape in the pattern '\\x' | a pattern knows \\*, \\?, \\\\, \\/ and \\}");
    CHECK(word_error("${v#x'\\'}").rfind("0: invalid escape", 0) == 0);
  }
  SECTION("no wildcard crosses a newline") {
    CHECK(expand("${lines#*t}") == "one\ntwo");
    CHECK(expand("${lines##*}") == "\ntwo");
    CHECK(expand("${lines%%*}") == "one\n");
    CHECK(expand("${lines#one?}") == "one\ntwo");
  }
}

TEST_CASE("words: replacing (V3, V4, V9)") {
  CHECK(expand("${xx/x/-}|${xx//x/-}") == "-axbx|-a-b-");
  CHECK(expand("${name/./_}|${name//./_}|${name//./}") == "a_tar.gz|a_tar_gz|atargz");
  CHECK(expand("${br//[ab]/x}") == "ax");
  CHECK(expand("${xx/x*x/y}|${xx//x?/y}") == "y|yyx");
  CHECK(expand("${path//\\//:}") == ":usr:lib:x");
  CHECK(expand("${v/a*/}|${v//nothing/x}") == "v|value");
  CHECK(expand("${lines//*/<>}") == "<>\n<>");
  CHECK(expand("${v//\"\"/-}|${v/\"\"/-}") == "-v-a-l-u-e-|-value");
  CHECK(expand("${u/x/y}|${u//*/y}|${empty//*/y}") == "|y|y");
  CHECK(expand("${uml//\xc3\xa4/a}") == "axa");
  SECTION("the replacement may hold variables and is taken literally") {
    CHECK(expand("${xx//x/$v}") == "valueavaluebvalue");
    CHECK(expand("${xx/x/${dollar}}") == "a$1baxbx");
    CHECK(expand("${xx/x/'$1'}") == "$1axbx");
  }
}

TEST_CASE("words: matching agrees with plain backtracking on small alphabets") {
  // The reference tries every split; '?' and '*' as in V4, the longest match from the left.
  const std::function<std::optional<size_t>(std::string_view, std::string_view, bool)> reference =
      [&](std::string_view pattern, std::string_view text, bool longest) -> std::optional<size_t> {
    if (pattern.empty()) return 0;
    if (pattern[0] == '*') {
      size_t line = std::min(text.find('\n'), text.size());
      for (size_t i = 0; i <= line; ++i) {
        const size_t take = longest ? line - i : i;
        if (const auto rest = reference(pattern.substr(1), text.substr(take), longest))
          return take + *rest;
      }
      return std::nullopt;
    }
    if (text.empty() || (pattern[0] == '?' ? text[0] == '\n' : text[0] != pattern[0]))
      return std::nullopt;
    if (const auto rest = reference(pattern.substr(1), text.substr(1), longest)) return 1 + *rest;
    return std::nullopt;
  };
  const std::string letters = "ab\n*?";
  uint32_t state = 1;
  const auto next = [&](uint32_t bound) {
    state = state * 1664525 + 1013904223;
    return (state >> 16U) % bound;
  };
  for (int round = 0; round < 20'000; ++round) {
    std::string pattern;
    std::string text;
    for (uint32_t i = next(6); i > 0; --i) pattern += letters[next(5)];
    for (uint32_t i = next(9); i > 0; --i) text += letters[next(3)];
    CAPTURE(pattern, text);
    MatchBudget budget;
    for (const Length length : {Length::shortest, Length::longest}) {
      const bool longest = length == Length::longest;
      const auto prefix = reference(pattern, text, longest);
      REQUIRE(remove_matching(text, pattern, End::prefix, length, budget) ==
              text.substr(prefix.value_or(0)));
      const auto suffix = reference(std::string(pattern.rbegin(), pattern.rend()),
                                    std::string(text.rbegin(), text.rend()), longest);
      REQUIRE(remove_matching(text, pattern, End::suffix, length, budget) ==
              text.substr(0, text.size() - suffix.value_or(0)));
    }
    std::string replaced = text;
    for (size_t begin = 0; begin <= text.size(); ++begin) {
      const auto length = reference(pattern, std::string_view(text).substr(begin), true);
      if (!length) continue;
      replaced = text.substr(0, begin) + "R" + text.substr(begin + *length);
      break;
    }
    REQUIRE(replace_matching(text, pattern, "R", false, budget) == replaced);
  }
}

TEST_CASE("words: which variables were asked for, which are missing (V14)") {
  const Expansion used =
      expand_word("$v ${u} ${w:-x} ${name%.*} '$quoted' \\$escaped", '\\', lookup);
  CHECK(used.used == std::set<std::string>{"v", "u", "w", "name"});
  CHECK(used.unset == std::set<std::string>{"u"});
  CHECK(expand_word("${a#x} ${b/x/y} ${c:+x} ${d-} $e", '\\', lookup).unset ==
        std::set<std::string>{"a", "b", "e"});
}

TEST_CASE("words: word lists split what variables hold, unless quoted (V10, catalogue 33)") {
  const auto list = [](const std::string& word) { return expand_words(word, '\\', lookup); };
  CHECK(list("hello${words}bye") == Strings{"helloab", "cbye"});
  CHECK(list("hello\"${words}\"bye") == Strings{"helloab  cbye"});
  CHECK(list("a b\\ c 'd e'") == Strings{"a", "b c", "d e"});
  CHECK(list("$unset \"\" ''").empty());
  CHECK(list("80$u/tcp") == Strings{"80/tcp"});
  CHECK(list("80${u:-80}") == Strings{"8080"});
  CHECK(list("$v\xc2\xa0$v") == Strings{"value", "value"});
}

TEST_CASE("words: bodies of heredocs (H10, catalogue 18)") {
  const auto body = [](const std::string& text) { return expand_heredoc(text, lookup).text; };
  CHECK(body("a $v \"$v\" '$v'\n") == "a value \"value\" 'value'\n");
  CHECK(body("\\$ \\\\ \\n") == "$ \\ n");
  CHECK(body("a\\\nb") == "a\nb");
  CHECK(body("it's ${u:-'x'}") == "it's 'x'");
  CHECK(expand_heredoc("$u", lookup).unset == std::set<std::string>{"u"});
}

TEST_CASE("words: quotes and escapes alone") {
  CHECK(unquote_word("'a b'\"c\\\"$x\"\\$d${", '\\') == "a bc\"$x$d${");
  CHECK(unquote_word("a`\"b", '`') == "a\"b");
  CHECK_THROWS_AS(unquote_word("it's", '\\'), Error);
}

TEST_CASE("words: deep nesting is refused, not recursed into (threat 7)") {
  const auto nested = [](int depth) {
    std::string word;
    for (int i = 0; i < depth; ++i) word += "${u:-";
    word += "x";
    return word + std::string(static_cast<size_t>(depth), '}');
  };
  CHECK(expand(nested(100)) == "x");
  CHECK(word_error(nested(101)) == "500: more than 100 nested '${'");
  CHECK(word_error(nested(1'000'000)) == "500: more than 100 nested '${'");
  std::string quoted;
  for (int i = 0; i < 200'000; ++i) quoted += "\"${u:-";
  CHECK(word_error(quoted) == "601: more than 100 nested '${'");
}

TEST_CASE("words: megabytes are expanded in linear time") {
  const auto start = std::chrono::steady_clock::now();
  const std::string big(5'000'000, 'a');
  CHECK(expand(big + "\"" + big + "\"").size() == 10'000'000);
  std::string many;
  for (int i = 0; i < 300'000; ++i) many += "${v}\\a'b'";
  CHECK(expand(many).size() == 300'000 * 7);
  const std::string value(1'000'000, 'a');
  const Lookup long_value = [&](std::string_view) { return value; };
  CHECK(expand_word("${x//b*c/d}${x%%b*}", '\\', long_value).text.size() == 2'000'000);
  CHECK(expand_word("${x##*b*c*}${x%*b}", '\\', long_value).text.size() == 2'000'000);
  CHECK(expand_word("${x//a/bb}", '\\', long_value).text.size() == 2'000'000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("words: values that double from line to line end at a limit (threats 7, 21)") {
  std::string value = "x";
  const Lookup doubling = [&](std::string_view) { return value; };
  std::string problem;
  try {
    for (int line = 0; line < 100; ++line)
      value = expand_word("${v}${v//x/xx}", '\\', doubling).text;
  } catch (const Error& error) {
    problem = error.cause();
  }
  CHECK(problem == "the values of variables here are longer than 4M together");
  CHECK(value.size() < 4 << 20);
  value = std::string(10'000, 'x');
  CHECK_THROWS_WITH(expand_word("${v//x/${v}}", '\\', doubling), Catch::Contains("grows too long"));
}

TEST_CASE("words: a pattern and value that would take minutes are refused (threat 7)") {
  const std::string big(200'000, 'a');
  const Lookup long_value = [&](std::string_view) { return big; };
  std::string pattern(20'000, 'a');
  pattern += 'b';
  try {
    expand_word("${x//" + pattern + "/d}", '\\', long_value);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.cause() == "the value and the pattern are too long to be matched");
    CHECK(error.pos()->column == 0);
  }
}
