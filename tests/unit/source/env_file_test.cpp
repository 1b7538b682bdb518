#include "source/env_file.h"

#include "helpers.h"

using namespace slipway;
using namespace slipway::source;

TEST_CASE("env file: docker's grammar") {
  const EnvFile file = parse_env_file(
      "\xef\xbb\xbf# comment\n\nA=1\r\n  B=two words \nC=\nD\nE==x=y # no comment\nQ=\"v\"\n",
      "dev.env");
  std::vector<std::string> shown;
  for (const EnvEntry& entry : file.entries)
    shown.push_back(entry.key + (entry.value ? "=" + *entry.value : "?"));
  CHECK(shown == std::vector<std::string>{"A=1", "B=two words ", "C=", "D?", "E==x=y # no comment",
                                          "Q=\"v\""});
  CHECK(file.entries[1].pos.to_string() == "dev.env:4:3");
  REQUIRE(file.warnings.size() == 2);
  CHECK(file.warnings[1].to_string() ==
        "dev.env:8:3: the quotes are part of the value of Q, as with docker");
}

TEST_CASE("env file: errors name the place") {
  const auto error = [](const std::string& text) {
    return error_of([&] { parse_env_file(text, "dev.env"); });
  };
  CHECK(error("A=1\n B C=2\n") == "4 | dev.env:2:2: 'B C' cannot be the name of a config var | " +
                                      std::string(config_key_rule));
  CHECK(error("=x\n").find("4 | dev.env:1:1: no name before '='") == 0);
  CHECK(error("export A=1\n") ==
        "4 | dev.env:1:1: 'export A' cannot be the name of a config var | this is no shell script; "
        "leave out 'export'");
  CHECK(error(std::string("A=\0x\n", 5)).find("4 | dev.env:1:3: NUL byte") == 0);
}

TEST_CASE("-e: K=V, K, values with newlines") {
  CHECK(parse_env_flag("A=1\n2=3").value == "1\n2=3");
  CHECK_FALSE(parse_env_flag("A").value);
  CHECK(parse_env_flag("A=").value == "");
  CHECK(error_of([] { parse_env_flag("A\nB=1"); }) ==
        "2 | -e: 'A\\x0aB' cannot be the name of a config var | " + std::string(config_key_rule));
  CHECK(error_of([] { parse_env_flag("1A=x", "--secret-env"); }).find("2 | --secret-env: '1A'") ==
        0);
  CHECK(error_of([] { parse_env_flag(std::string("A=\0", 3)); }) ==
        "2 | -e A: the value holds a NUL byte");
}

TEST_CASE("config vars: the keys a shell accepts (ENV-4)") {
  CHECK(is_config_key("_a1"));
  for (const char* bad : {"", "1a", "a-b", "a b", "a.b", "a*", "\xc3\xa9"})
    CHECK_FALSE(is_config_key(bad));
}

TEST_CASE("config vars: 64 KiB in total (ENV-8)") {
  check_config_size({{"A", std::string(65535, 'x')}});
  CHECK(error_of([] {
          check_config_size({{"B", "1"}, {"A", std::string(70'000, 'x')}});
        }) ==
        "2 | the config vars are 68.4K in total, the limit is 64K | the largest is A (68.4K); put "
        "files into the source or a download");
}
