#include "fetch/fetcher.h"

#include <signal.h>

#include <thread>

#include "base/error.h"
#include "base/files.h"

using namespace slipway;
using namespace slipway::fetch;
using Catch::Matchers::Contains;

namespace {

/// A stand-in for slipway-fetch: a shell script.
struct Fake {
  TempDir temp = TempDir::create("fetcher-test");
  Fetcher fetcher;
  explicit Fake(const std::string& body) {
    const fs::path program = temp.path() / "slipway-fetch";
    write_file_atomic(program, "#!/bin/sh\n" + body, 0755);
    fs::create_directory(temp.path() / "downloads");
    fetcher.program = program.string();
    fetcher.temp_dir = (temp.path() / "downloads").string();
  }
  bool left_nothing() const { return fs::is_empty(fetcher.temp_dir); }
};

Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error");
  throw std::logic_error("unreachable");
}

const std::string commit(40, 'a');

}  // namespace

TEST_CASE("a download comes as a file without a name, at offset 0") {
  Fake fake(R"(
read -r request
output=$(printf %s "$request" | sed 's/.*"output":\([0-9]*\).*/\1/')
eval "printf 'the bytes' >&$output"
printf '%s\n' '{"progress":{"what":"u","done":3,"total":9}}'
printf '%s\n' '{"result":{"sha256":"ab","size_bytes":9,"final_url":"u","etag":"e","last_modified":0,"not_modified":false}}'
)");
  std::vector<uint64_t> seen;
  fake.fetcher.on_progress = [&](const std::string&, uint64_t done, uint64_t total) {
    seen = {done, total};
  };
  HttpRequest request;
  request.url = "https://example.com/x";
  const HttpResult result = fake.fetcher.http(request);
  CHECK(read_all(result.body.get()) == "the bytes");
  CHECK(result.size_bytes == 9);
  CHECK(result.etag == "e");
  CHECK(seen == std::vector<uint64_t>{3, 9});
  CHECK(fake.left_nothing());
}

TEST_CASE("an error arrives with its code, words, context and hint") {
  Fake fake(R"(
echo '{"error":{"code":5,"cause":"GET x: HTTP 404","hint":"look","context":["submodule a"]}}'
exit 5
)");
  const Error error = error_of([&] { (void)fake.fetcher.git_resolve("https://h/x", "main"); });
  CHECK(error.code() == ExitCode::outside);
  CHECK(error.cause() == "GET x: HTTP 404");
  CHECK(error.hint() == "look");
  CHECK(error.context() == std::vector<std::string>{"submodule a"});
  CHECK(fake.left_nothing());
}

TEST_CASE("a program that dies, talks nonsense or is missing is told apart from a failed fetch") {
  const auto cause = [](const std::string& script) {
    Fake fake(script);
    const Error error = error_of([&] { (void)fake.fetcher.git({.url = "https://h/x"}); });
    CHECK(error.code() == ExitCode::machine);
    CHECK(fake.left_nothing());
    return error.cause();
  };
  CHECK_THAT(cause("echo 'out of luck' >&2; exit 3"),
             Contains("ended without an answer (exit 3): out of luck"));
  CHECK_THAT(cause("kill -9 $$"), Contains("killed by signal 9"));
  CHECK_THAT(cause("exit 0"), Contains("ended without an answer"));
  CHECK_THAT(cause("echo '{not json'"), Contains("not valid JSON"));
  CHECK_THAT(cause("echo '{\"result\":{\"commit\":\"../../x\",\"commit_time\":1}}'"),
             Contains("'../../x' is no commit"));
  CHECK_THAT(cause("echo '{\"result\":{}}'"), Contains("answers oddly"));
  CHECK_THAT(cause("head -c 3000000 /dev/zero | tr '\\0' x"), Contains("answers without end"));
  Fetcher nowhere;
  nowhere.program = "/nonexistent/slipway-fetch";
  const Error error = error_of([&] { (void)nowhere.git_resolve("https://h/x", ""); });
  CHECK(error.code() == ExitCode::machine);
  CHECK_THAT(error.hint(), Contains("belongs beside"));
}

TEST_CASE("cancel kills the program and what it started") {
  Fake fake("sleep 1000 & echo $! > child; echo $$ > self; wait");
  const std::string script = read_file(fake.fetcher.program);
  const std::string folder = fake.temp.path().string();
  write_file_atomic(fake.fetcher.program, "#!/bin/sh\ncd " + folder + "\n" + script, 0755);
  Cancel cancel;
  fake.fetcher.cancel = &cancel;
  std::thread canceller([&] {
    while (!fs::exists(folder + "/self") || fs::file_size(folder + "/self") == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    cancel.request();
  });
  CHECK_THROWS_AS(fake.fetcher.git({.url = "https://h/x"}), Interrupted);
  canceller.join();
  const pid_t child = std::stoi(read_file(folder + "/child"));
  // Killed at once; its new parent may take a moment to reap it.
  bool gone = false;
  for (int i = 0; i < 200 && !gone; ++i) {
    const auto status = read_file_if_exists(fmt::format("/proc/{}/stat", child));
    gone = !status || status->find(") Z ") != std::string::npos;
    if (!gone) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(gone);
  CHECK(fake.left_nothing());
}
