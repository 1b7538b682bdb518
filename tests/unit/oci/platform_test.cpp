#include "oci/platform.h"

#include "base/error.h"

using namespace slipway;
using namespace slipway::oci;

namespace {

const Platform amd64{"linux", "amd64", "", ""};

std::string parsed(const std::string& text, const Platform& base = amd64) {
  return parse_platform(text, base).to_full_string();
}

std::string refusal(const std::string& text) {
  try {
    return "no error: " + parsed(text);
  } catch (const Error& error) {
    return fmt::format("{} | {} | {}", static_cast<int>(error.code()), error.what(), error.hint());
  }
}

}  // namespace

TEST_CASE("platform: spellings are normalised (V23)") {
  CHECK(parsed("linux/amd64") == "linux/amd64");
  CHECK(parsed("linux/x86_64") == "linux/amd64");
  CHECK(parsed("Linux/AMD64/v1") == "linux/amd64");
  CHECK(parsed("linux/amd64/v3") == "linux/amd64/v3");
  CHECK(parsed("linux/aarch64") == "linux/arm64");
  CHECK(parsed("linux/arm64/v8") == "linux/arm64");
  CHECK(parsed("linux/arm64/9.0") == "linux/arm64/v9");
  CHECK(parsed("linux/armhf") == "linux/arm/v7");
  CHECK(parsed("linux/armel") == "linux/arm/v6");
  CHECK(parsed("linux/arm") == "linux/arm/v7");
  CHECK(parsed("linux/arm/6") == "linux/arm/v6");
  CHECK(parsed("linux/i386") == "linux/386");
  CHECK(parsed("macos/arm64") == "darwin/arm64");
  CHECK(parsed("darwin/ppc64le") == "darwin/ppc64le");
  CHECK(parsed("windows(10.0.17763)/amd64") == "windows(10.0.17763)/amd64");
  CHECK(parse_platform("windows(10.0.17763)/amd64", amd64).to_string() == "windows/amd64");
}

TEST_CASE("platform: one part alone takes the rest from the base (V23)") {
  const Platform arm{"linux", "arm64", "", ""};
  CHECK(parsed("linux", arm) == "linux/arm64");
  CHECK(parsed("windows", arm) == "windows/arm64");
  CHECK(parsed("aarch64") == "linux/arm64");
  CHECK(parsed("armhf") == "linux/arm/v7");
  CHECK(parsed("386", Platform{"darwin", "arm64", "", ""}) == "darwin/386");
}

TEST_CASE("platform: what is none is refused with its text, exit 2") {
  const std::string hint = " | write os/architecture, such as linux/amd64 or linux/arm64";
  CHECK(refusal("") == "2 | '' is no platform: it is empty" + hint);
  CHECK(refusal("linux/amd64/v1/x") ==
        "2 | 'linux/amd64/v1/x' is no platform: it has more than three parts" + hint);
  CHECK(refusal("plan") ==
        "2 | 'plan' is no platform: neither a known system nor a known architecture" + hint);
  CHECK(refusal("windows(10/amd64").find("is not closed with ')'") != std::string::npos);
  CHECK(refusal("windows()/amd64").find("the system's version is not one") != std::string::npos);
  for (const char* text : {"linux/", "/amd64", "linux//v7", "linux/amd 64", "linux/*", "a\nb/c",
                           "../../etc", "linux/am;d", "$os/amd64"})
    CHECK(refusal(text).find("a part is empty or has a sign that no name has") !=
          std::string::npos);
}

TEST_CASE("platform: the nearest compatible image wins (N1)") {
  const auto match = [](const char* wanted, const char* offered) {
    return platform_match(parse_platform(wanted, amd64), parse_platform(offered, amd64));
  };
  CHECK(match("linux/amd64", "linux/amd64") > match("linux/amd64", "linux/386"));
  CHECK(match("linux/amd64", "linux/386") > 0);
  CHECK(match("linux/amd64", "linux/amd64/v2") == 0);
  CHECK(match("linux/amd64/v3", "linux/amd64/v3") > match("linux/amd64/v3", "linux/amd64/v2"));
  CHECK(match("linux/amd64/v3", "linux/amd64/v2") > match("linux/amd64/v3", "linux/amd64"));
  CHECK(match("linux/amd64", "linux/arm64") == 0);
  CHECK(match("linux/amd64", "windows/amd64") == 0);
  CHECK(match("linux/arm/v7", "linux/arm/v7") > match("linux/arm/v7", "linux/arm/v6"));
  CHECK(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"));
  CHECK(match("linux/arm/v6", "linux/arm/v7") == 0);
  CHECK(match("linux/arm64", "linux/arm64/v8") == 1000);
  CHECK(match("linux/arm64", "linux/arm/v7") > 0);
  CHECK(match("linux/arm64", "linux/arm64/v9") == 0);
  CHECK(match("linux/arm64/v9", "linux/arm64/v8.5") > match("linux/arm64/v9", "linux/arm64"));
  CHECK(match("linux/arm64/v9", "linux/arm64/v8.6") == 0);
  CHECK(match("linux/arm64", "linux/arm64/odd") == 0);
  CHECK(match("linux/riscv64", "linux/riscv64") == 1000);
  CHECK(match("windows(10.0.17763.1)/amd64", "windows(10.0.17763.9)/amd64") > 0);
  CHECK(match("windows(10.0.17763)/amd64", "windows(10.0.20348)/amd64") == 0);
  CHECK(platform_match(amd64, {"unknown", "unknown", "", ""}) == 0);
}

TEST_CASE("platform: ours can be written and read") {
  CHECK(parse_platform(native_platform().to_string(), {}) == native_platform());
}
