#include "source/release_yaml.h"

#include "helpers.h"

using namespace slipway;
using namespace slipway::source;

namespace {

std::string refusal(const std::string& text) {
  return error_of([&] { parse_release_yaml(text, "Elixir"); });
}

}  // namespace

TEST_CASE("release YAML: every empty shape means nothing (REL-2)") {
  for (const char* text :
       {"", "\n", "---\n", "--- {}\n", "addons:\n  []\n", "default_process_types: {}\n",
        "default_process_types:\n", "---\naddons:\nconfig_vars:\ndefault_process_types: ~\n",
        "# only a comment\n", "addons: {}\n", "{}", "null\n", "unknown: {a: [1]}\n"}) {
    INFO(text);
    const ReleaseInfo info = parse_release_yaml(text, "x");
    CHECK(info.default_process_types.empty());
    CHECK(info.addons.empty());
    CHECK(info.config_vars.empty());
  }
}

TEST_CASE("release YAML: Elixir's, Ruby's and quoted shapes keep commands untouched (REL-4)") {
  CHECK(parse_release_yaml("addons:\n  []\ndefault_process_types:\n  web: mix run --no-halt\n", "x")
            .default_process_types == ProcessTypes{{"web", "mix run --no-halt"}});
  const ReleaseInfo ruby = parse_release_yaml(
      "---\naddons:\n- heroku-postgresql\nconfig_vars: {LANG: en_US.UTF-8}\n"
      "default_process_types:\n  rake: bundle exec rake\n  console: \"bundle exec irb\"\n"
      "  web: 'bin/rails server -p ${PORT:-5000}; echo a:b  c'\n  n: 5000\n  t: true\n  none:\n",
      "x");
  CHECK(ruby.addons == std::vector<std::string>{"heroku-postgresql"});
  CHECK(ruby.config_vars.at("LANG") == "en_US.UTF-8");
  CHECK(ruby.default_process_types ==
        ProcessTypes{{"console", "bundle exec irb"},
                     {"n", "5000"},
                     {"rake", "bundle exec rake"},
                     {"t", "true"},
                     {"web", "bin/rails server -p ${PORT:-5000}; echo a:b  c"}});
  CHECK(parse_release_yaml("default_process_types:\n  web: a -p $PORT:80; b\n", "x")
            .default_process_types.at("web") == "a -p $PORT:80; b");
  CHECK(parse_release_yaml("default_process_types: {web: a, web: b}\n--- \nx: 1\n", "x")
            .default_process_types.at("web") == "b");
}

TEST_CASE("release YAML: mistakes name the buildpack and the place, exit 1") {
  const std::string hint =
      " | it must print YAML such as \"default_process_types: {web: ./server}\", or nothing";
  CHECK(refusal("default_process_types:\n  web: [a]\n") ==
        "1 | bin/release of Elixir printed a list for process type 'web' where text was expected "
        "(line 2, column 8)" +
            hint);
  CHECK(refusal("Done!\n") ==
        "1 | bin/release of Elixir printed plain text where a map was expected (line 1, column 1)" +
            hint);
  CHECK(refusal("default_process_types: x\n")
            .find("plain text for default_process_types where a map") != std::string::npos);
  CHECK(refusal("addons: x\n").find("for addons where a list") != std::string::npos);
  CHECK(refusal("a: b: c\n").find("1 | bin/release of Elixir printed YAML that cannot be read: ") ==
        0);
  CHECK(refusal("a: b: c\n").find("(line 1, column 5)") != std::string::npos);
  CHECK(refusal("default_process_types: {\"a b\": x}\n")
            .find("'a b', which cannot be a process type's "
                  "name (line 1, column 25)") != std::string::npos);
  CHECK(refusal("config_vars: {a-b: x}\n").find("cannot be a config var's name") !=
        std::string::npos);
  CHECK(refusal(std::string("a: \0", 4)).find("a NUL byte at offset 3") != std::string::npos);
}

TEST_CASE("release YAML: bombs are refused or harmless (threats 7, 21)") {
  CHECK(refusal(std::string((1 << 20) + 1, ' ')).find("printed more than 1 MiB") !=
        std::string::npos);
  CHECK(refusal(std::string(500'000, '[')).find("1 | bin/release of Elixir printed YAML") == 0);
  CHECK(refusal(std::string(100'000, '{')).find("1 | bin/release of Elixir printed YAML") == 0);
  std::string laughs = "a0: &a0 [x]\n";
  for (int i = 1; i < 60; ++i)
    laughs += fmt::format("a{0}: &a{0} [*a{1},*a{1},*a{1},*a{1}]\n", i, i - 1);
  CHECK(refusal(laughs) == "no error");
  CHECK(refusal(laughs + "addons: *a59\n").find("a list for an add-on") != std::string::npos);
  CHECK(refusal("default_process_types: &x {web: *x}\n") != "no error");
}
