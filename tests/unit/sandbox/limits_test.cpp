#include "sandbox/limits.h"

#include "base/error.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using slipway::sandbox::testing::Sandbox;

TEST_CASE("limits: without any nothing is made") {
  const auto limits = BuildLimits::create({});
  CHECK(limits->out_of_memory_kills() == 0);
  limits->add(1);  // no cgroup, nothing happens
}

TEST_CASE("limits: memory is enforced and told, or refused with the reason") {
  const LimitsSupport support = probe_limits();
  if (!support.ok) {
    WARN("no limits here: " << support.detail);
    CHECK_FALSE(support.remedy.empty());
    try {
      const Sandbox box(Isolation::oci, {.memory_bytes = 100 << 20, .cpus = 0});
      FAIL("must throw");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::machine);
      CHECK_FALSE(error.hint().empty());
    }
    return;
  }
  Sandbox box(Isolation::oci, {.memory_bytes = 100 << 20, .cpus = 1});
  const auto small = box.shell("echo fine");
  CHECK(small.out == "fine\n");
  CHECK_FALSE(small.result.out_of_memory);
  // dd's buffer is touched whole.
  const auto large = box.shell("dd if=/dev/zero of=/dev/null bs=400M count=1 2>/dev/null");
  CHECK(large.result.out_of_memory);
  CHECK_FALSE(large.result.status.ok());
  CHECK(box.shell("echo still").out == "still\n");
}
