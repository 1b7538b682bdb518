#include "base/text.h"

using namespace slipway;

TEST_CASE("format_size follows the platform's transcript") {
  CHECK(format_size(0) == "0K");
  CHECK(format_size(10) == "10 bytes");
  CHECK(format_size(35ULL << 20) == "35M");
  CHECK(format_size(363227955) == "346.4M");
  CHECK(format_size(3ULL << 30) == "3G");
}

TEST_CASE("shell_quote leaves plain words and protects the rest") {
  CHECK(shell_quote("a-b/c.d") == "a-b/c.d");
  CHECK(shell_quote("") == "''");
  CHECK(shell_quote("it's $HOME") == "'it'\\''s $HOME'");
}

TEST_CASE("closest finds slips and refuses strangers") {
  CHECK(closest("biuld", {"build", "run"}) == "build");
  CHECK(closest("rnu", {"build", "run"}) == "run");
  CHECK_FALSE(closest("deploy", {"build", "run"}));
}

TEST_CASE("parse_size and parse_duration") {
  CHECK(parse_size("1.5G") == 1610612736ULL);
  CHECK(parse_size("500MB") == 500ULL << 20);
  CHECK(parse_size("12") == 12U);
  CHECK_FALSE(parse_size("12x"));
  CHECK_FALSE(parse_size("-1"));
  CHECK(parse_duration("1h30m") == std::chrono::minutes(90));
  CHECK(parse_duration("90") == std::chrono::seconds(90));
  CHECK_FALSE(parse_duration("5x"));
}
