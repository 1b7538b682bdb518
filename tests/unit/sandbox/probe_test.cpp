#include "catch2/catch.hpp"
#include "sandbox/fixture.h"
#include "sandbox/runtime.h"

#include "base/error.h"
#include "base/process.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

TEST_CASE("probe: every row that fails says what to do") {
  const MachineReport report = probe_machine(nullptr, SLIPWAY_TEST_WORKER);
  std::vector<std::string> names;
  for (const Capability& row : report.capabilities) {
    INFO(row.name << ": " << row.detail);
    names.push_back(row.name);
    CHECK(row.ok == row.remedy.empty());
    CHECK_FALSE(row.detail.empty());
  }
  for (const char* name : {"user namespaces", "subordinate ids", "seccomp", "build network",
                           "limits", "certificates", "disk space", "git"})
    CHECK(std::find(names.begin(), names.end(), name) != names.end());
  CHECK(report.rung == Isolation::oci);
}

TEST_CASE("probe: a runtime that is not there, or is none, is told") {
  CHECK_THROWS_WITH(find_runtime("/no/such/crun", nullptr), Contains("is not there"));
  CHECK_THROWS_WITH(find_runtime("/bin/false", nullptr), Contains("--version: exit 1"));
  const Runtime runtime = find_runtime("", nullptr);
  CHECK_FALSE(runtime.version.empty());
}

TEST_CASE("probe: runc runs steps too") {
  const std::string runc = find_program("runc");
  if (runc.empty()) {
    WARN("runc is not installed");
    return;
  }
  const TempDir dir = TempDir::create("slipway-runc");
  const auto store = cache::Store::open(dir.path() / "store");
  auto worker =
      Worker::start({.store = store.get(), .runtime = runc, .worker_program = SLIPWAY_TEST_WORKER});
  CHECK_THAT(worker->describe(), Contains("oci (runc "));
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/sh", "-c", "grep Seccomp: /proc/self/status; exit 9"};
  std::string out, err;
  ExecIo io;
  io.on_stdout = [&](std::string_view text) { out += text; };
  io.on_stderr = [&](std::string_view text) { err += text; };
  Cancel cancel;
  CHECK(worker->exec(spec, io, cancel).status.code == 9);
  CHECK(out == "Seccomp:\t2\n");
  CHECK(err == "");
  spec.argv = {"/no/such/program"};
  CHECK(worker->exec(spec, io, cancel).status.code == 127);
}
