#include "base/process.h"

#include <chrono>

#include "base/error.h"

using namespace slipway;

TEST_CASE("run captures both streams, the exit code and a signal") {
  const RunResult result = run({.argv = {"sh", "-c", "echo out; echo err >&2; exit 3"}});
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  CHECK(result.status.code == 3);
  CHECK(run({.argv = {"sh", "-c", "kill -9 $$"}}).status.signal == 9);
}

TEST_CASE("run gives the child its input and exactly the environment asked for") {
  RunOptions options{.argv = {"sh", "-c", "cat; echo $A; env | grep -c ^HOME="}};
  options.env = std::map<std::string, std::string>{{"A", "1 2"}};
  options.input = "given\n";
  CHECK(run(options).out == "given\n1 2\n0\n");
}

TEST_CASE("run does not wait for a daemon that keeps the pipes open (CMP-6)") {
  const auto started = std::chrono::steady_clock::now();
  const RunResult result = run({.argv = {"sh", "-c", "setsid sleep 30 & echo done"}});
  CHECK(result.out == "done\n");
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(5));
  (void)run({.argv = {"pkill", "-x", "-f", "sleep 30"}});
}

TEST_CASE("run kills at its time limit and on cancel") {
  RunOptions options{.argv = {"sleep", "30"}};
  options.timeout = std::chrono::milliseconds(50);
  CHECK(run(options).timed_out);
  Cancel cancel;
  cancel.request();
  options.timeout.reset();
  options.cancel = &cancel;
  CHECK_THROWS_AS(run(options), Interrupted);
}

TEST_CASE("a missing program is named") {
  CHECK_THROWS_WITH(run({.argv = {"no-such-program-x"}}),
                    "run no-such-program-x: the program is not installed");
}
