// Hidden (run with "[bench]"): what a step costs.
#include <chrono>
#include <cstdio>

#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using slipway::sandbox::testing::Sandbox;

namespace {

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace

TEST_CASE("overhead: a step", "[.][bench]") {
  std::unique_ptr<Sandbox> box;
  std::printf("store and worker  %6.1f ms\n",
              milliseconds([&] { box = std::make_unique<Sandbox>(); }));
  std::printf("first step        %6.1f ms\n", milliseconds([&] { (void)box->shell("true"); }));
  constexpr int rounds = 50;
  ExecSpec spec = Sandbox::host_step();
  spec.argv = {"/bin/true"};
  const double host = milliseconds([&] {
    for (int i = 0; i < rounds; ++i) (void)box->run(spec);
  });
  std::printf("host stack step   %6.1f ms\n", host / rounds);
  std::printf("stop              %6.1f ms\n", milliseconds([&] { box.reset(); }));
}
