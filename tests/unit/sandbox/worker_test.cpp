#include "sandbox/worker.h"

#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using slipway::sandbox::testing::Sandbox;

TEST_CASE("worker: a command runs in the host stack") {
  Sandbox box;
  const auto outcome = box.shell("echo hello; echo oops >&2; exit 7");
  CHECK(outcome.out == "hello\n");
  CHECK(outcome.err == "oops\n");
  CHECK(outcome.result.status.code == 7);
}
