#include "build/emulators.h"

#include <catch2/catch.hpp>

using namespace slipway;

TEST_CASE("emulators count when they are enabled and opened beforehand") {
  const TempDir dir = TempDir::create("emulators-test");
  const auto registered = [&](const std::string& name, const std::string& text) {
    write_file_atomic(dir.path() / name, text);
  };
  CHECK(build::emulated_platforms(dir.path() / "missing").empty());
  registered("qemu-aarch64", "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\n");
  registered("qemu-arm", "enabled\ninterpreter /usr/bin/qemu-arm\nflags: POC\n");
  registered("qemu-s390x", "disabled\ninterpreter /usr/bin/qemu-s390x\nflags: F\n");
  registered("qemu-unheard-of", "enabled\nflags: F\n");
  const std::vector<oci::Platform> found = build::emulated_platforms(dir.path());
  REQUIRE(found.size() == 1);
  CHECK(found[0].to_string() == "linux/arm64");
}
