#include "fetch/recorder.h"

#include "base/error.h"
#include "record/fixture.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;

namespace {

/// slipway-fetch of this build tree.
std::string program() {
  return (fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "slipway-fetch")
      .string();
}

struct Told {
  std::mutex mutex;
  std::vector<fetch::RecordedRequest> requests;
  std::function<void(const fetch::RecordedRequest&)> taker() {
    return [this](const fetch::RecordedRequest& request) {
      const std::lock_guard lock(mutex);
      requests.push_back(request);
    };
  }
};

}  // namespace

TEST_CASE("recorder program: serves the sockets it is given and tells what was asked") {
  Recorder client;
  client.close();
  const std::string body = noise(2'000'000);
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    return reply(wire, "200 OK", "ETag: \"1\"\r\n", asked.target == "/a" ? body : "small");
  });
  Told told;
  const fetch::RecorderOptions options{.store = (client.temp.path() / "store").string(),
                                       .program = program(),
                                       .allow_loopback = true};
  auto recorder = fetch::Recorder::start(options, told.taker());
  CHECK_THAT(recorder->certificate_pem(), Contains("BEGIN CERTIFICATE"));
  std::vector<fetch::RecordSocket> sockets;
  sockets.push_back({"web", listen_on_loopback(client.port)});
  recorder->attach("app step 2", std::move(sockets));
  CHECK(client.get(server.url("/a")).body == body);
  CHECK(client.get(server.url("/b")).body == "small");
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  recorder->settle();
  {
    const std::lock_guard lock(told.mutex);
    REQUIRE(told.requests.size() == 2);
    std::sort(told.requests.begin(), told.requests.end(),
              [](const auto& a, const auto& b) { return a.size_bytes > b.size_bytes; });
    const fetch::RecordedRequest& request = told.requests[0];
    CHECK(request.step == "app step 2");
    CHECK(request.source == "upstream");
    CHECK(request.sha256 == sha256_hex(body));
    CHECK(request.size_bytes == body.size());
    CHECK(request.id > 0);
    CHECK(request.recorded_s > 0);
  }
  // What is recorded is there for everybody, at once.
  CHECK(cache::Downloads(*client.store).list().size() == 2);
  recorder->detach("app step 2");
  recorder->stop();

  auto offline = options;
  offline.offline = true;
  recorder = fetch::Recorder::start(offline, told.taker());
  sockets.clear();
  sockets.push_back({"web", listen_on_loopback(client.port)});
  recorder->attach("again", std::move(sockets));
  CHECK(client.get(server.url("/a")).body == body);
  CHECK(client.get(server.url("/c")).status == 504);
  CHECK(server.requests == 2);
  recorder->stop();
}

TEST_CASE("recorder program: its errors are ours") {
  Told told;
  TempDir temp = TempDir::create("record-test");
  write_file_atomic(temp.path() / "format", "something else\n");
  fetch::RecorderOptions options{.store = temp.path().string(), .program = program()};
  try {
    (void)fetch::Recorder::start(options, told.taker());
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    CHECK_THAT(std::string(error.what()), Contains("recording downloads"));
  }
  options.program = "/nonexistent";
  CHECK_THROWS_AS(fetch::Recorder::start(options, told.taker()), Error);
}

TEST_CASE("recorder program: a download given by hand is served without asking anybody") {
  Recorder client;
  client.close();
  Server server([](const Server::Asked&, record::Wire& wire) {
    return reply(wire, "404 Not Found", "", "gone");
  });
  const fs::path file = client.temp.path() / "file";
  write_file_atomic(file, "by hand");
  const fetch::RecorderOptions options{.store = (client.temp.path() / "store").string(),
                                       .program = program()};
  const auto add = [&](const std::string& sha256) {
    const Fd opened = open_file(file.string(), O_RDONLY);
    return fetch::seed_download(options, server.url("/old.tar?token=x"), opened.get(), sha256);
  };
  CHECK_THROWS_WITH(add(std::string(64, 'a')), Contains("expected"));
  CHECK(add(sha256_hex("by hand")).sha256 == sha256_hex("by hand"));
  for (const auto mode : {record::Mode::record, record::Mode::offline}) {
    client.open(mode);
    CHECK(client.get(server.url("/old.tar")).body == "by hand");
    client.close();
  }
  CHECK(server.requests == 0);
  CHECK_THROWS_WITH(fetch::seed_download(options, "file:///etc/passwd", 0, ""),
                    Contains("is no address of the web"));
}
