// Servers that misbehave, recorders that are killed, clients that say odd things.
#include "record/fixture.h"
#include "record/proxy.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;

namespace {

std::vector<cache::Download> recorded(const Recorder& recorder) {
  return cache::Downloads(*recorder.store).list();
}

/// What comes back for bytes sent to the recorder's port.
std::string raw(const Recorder& recorder, const std::string& sent) {
  const Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(recorder.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  write_all(client.get(), sent);
  shutdown(client.get(), SHUT_WR);
  return read_all(client.get());
}

Server::Handler ranged(const std::string& body, std::atomic<int>& cuts, const std::string& etag) {
  return [&, body, etag](const Server::Asked& asked, record::Wire& wire) {
    const std::string range = asked.header("range");
    const bool resumed = !range.empty() && asked.header("if-range") == etag;
    const size_t first = resumed ? std::stoul(range.substr(6)) : 0;
    wire.write(fmt::format("HTTP/1.1 {}\r\nETag: {}\r\nContent-Length: {}\r\n{}\r\n",
                           resumed ? "206 Partial Content" : "200 OK", etag, body.size() - first,
                           resumed ? fmt::format("Content-Range: bytes {}-{}/{}\r\n", first,
                                                 body.size() - 1, body.size())
                                   : ""),
               write_limit);
    if (cuts.fetch_sub(1) > 0) {
      wire.write(std::string_view(body).substr(first, (body.size() - first) / 2), write_limit);
      return false;
    }
    wire.write(std::string_view(body).substr(first), write_limit);
    return true;
  };
}

}  // namespace

TEST_CASE("hostile servers: a body that breaks off is no answer, for the client neither") {
  Recorder recorder;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    if (asked.target == "/length")
      wire.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", write_limit);
    else if (asked.target == "/chunks")
      wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc", write_limit);
    else if (asked.target == "/nonsense")
      wire.write("SSH-2.0-server\r\n\r\n", write_limit);
    else if (asked.target == "/nothing")
      return false;
    return false;
  });
  CHECK(recorder.get(server.url("/length")).code == CURLE_PARTIAL_FILE);
  CHECK(recorder.get(server.url("/chunks")).code != CURLE_OK);
  CHECK(recorder.get(server.url("/nonsense")).status == 502);
  CHECK(recorder.get(server.url("/nothing")).status == 502);
  const auto events = recorder.told();
  REQUIRE(events.size() == 4);
  for (const Event& event : events) {
    CHECK(event.id == 0);
    CHECK_FALSE(event.error.empty());
  }
  CHECK(recorded(recorder).empty());
}

TEST_CASE("hostile servers: an interrupted transfer is resumed under the same answer") {
  Recorder recorder;
  const std::string body = noise(5'000'000);
  std::atomic<int> cuts{2};
  Server server(ranged(body, cuts, "\"v1\""));
  const Got got = recorder.get(server.url("/f"));
  CHECK(got.code == CURLE_OK);
  CHECK(got.body == body);
  CHECK(server.requests == 3);
  const auto events = recorder.told();
  REQUIRE(events.size() == 1);
  CHECK(events[0].sha256 == sha256_hex(body));
}

TEST_CASE("hostile servers: halves of two different files are never put together") {
  Recorder recorder;
  const std::string body = noise(5'000'000);
  int answers = 0;
  Server server([&](const Server::Asked&, record::Wire& wire) {
    wire.write(fmt::format("HTTP/1.1 200 OK\r\nETag: \"v{}\"\r\nContent-Length: {}\r\n\r\n",
                           ++answers, body.size()),
               write_limit);
    wire.write(std::string_view(body).substr(0, 2'000'000), write_limit);
    return false;
  });
  const Got got = recorder.get(server.url("/f"));
  CHECK(got.code != CURLE_OK);
  CHECK(got.body.size() < body.size());
  CHECK(recorded(recorder).empty());
}

TEST_CASE("recorder: what came before it was stopped is not asked for again") {
  Recorder recorder;
  const std::string body = noise(8'000'000);
  std::atomic<bool> slow{true};
  std::vector<std::string> ranges;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    const std::string range = asked.header("range");
    ranges.push_back(range);
    const size_t first = range.empty() ? 0 : std::stoul(range.substr(6));
    wire.write(fmt::format("HTTP/1.1 {}\r\nETag: \"v1\"\r\nContent-Length: {}\r\n{}\r\n",
                           range.empty() ? "200 OK" : "206 Partial Content", body.size() - first,
                           range.empty() ? ""
                                         : fmt::format("Content-Range: bytes {}-{}/{}\r\n", first,
                                                       body.size() - 1, body.size())),
               write_limit);
    wire.write(std::string_view(body).substr(first, 4'000'000), write_limit);
    while (slow && first == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    wire.write(std::string_view(body).substr(std::min(first + 4'000'000, body.size())),
               write_limit);
    return true;
  });
  std::thread client([&] { CHECK(recorder.get(server.url("/f")).code != CURLE_OK); });
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  recorder.close();
  client.join();
  slow = false;
  CHECK(recorded(recorder).empty());
  recorder.open(record::Mode::record);
  (void)recorder.told();
  CHECK(recorder.get(server.url("/f")).body == body);
  REQUIRE(ranges.size() == 2);
  CHECK(ranges[1].starts_with("bytes="));
  CHECK(std::stoul(ranges[1].substr(6)) > 1'000'000);
  const auto events = recorder.told();
  REQUIRE(events.size() == 1);
  CHECK(events[0].sha256 == sha256_hex(body));
}

TEST_CASE("recorder: two of them bring one download once") {
  Recorder one, two;
  two.close();
  two.store = cache::Store::open(one.temp.path() / "store");
  two.open();
  const std::string body = noise(3'000'000);
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    const std::string text = asked.target == "/small" ? "small" : body;
    wire.write(
        fmt::format("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n", text.size()),
        write_limit);
    for (size_t at = 0; at < text.size(); at += 300'000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      wire.write(text.substr(at, 300'000), write_limit);
    }
    return true;
  });
  for (const std::string path : {"/big", "/small"}) {
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      CHECK(two.get(server.url(path)).body == (path == "/small" ? "small" : body));
    });
    CHECK(one.get(server.url(path)).body == (path == "/small" ? "small" : body));
    other.join();
  }
  CHECK(server.requests == 2);
  CHECK(two.told().size() == 2);
  CHECK(recorded(one).size() == 2);
  two.close();
  two.store.reset();
}

TEST_CASE("hostile servers: silence ends") {
  Recorder recorder;
  recorder.options.upstream.stall_limit = std::chrono::seconds(1);
  recorder.reopen(record::Mode::record);
  std::atomic<bool> over{false};
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    if (asked.target == "/body")
      wire.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc", write_limit);
    while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return false;
  });
  CHECK(recorder.get(server.url("/head")).status == 502);
  CHECK(recorder.get(server.url("/body")).code != CURLE_OK);
  over = true;
  CHECK(recorded(recorder).empty());
}

TEST_CASE("hostile servers: headers without end, and a body past the limit") {
  Recorder recorder;
  recorder.options.body_bytes_max = 1'000'000;
  recorder.reopen(record::Mode::record);
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    wire.write("HTTP/1.1 200 OK\r\n", write_limit);
    if (asked.target == "/headers")
      for (int i = 0; i < 100; ++i)
        wire.write("X-A: " + std::string(8000, 'a') + "\r\n", write_limit);
    wire.write("Content-Length: 2000000\r\n\r\n" + std::string(2'000'000, 'x'), write_limit);
    return true;
  });
  CHECK(recorder.get(server.url("/headers")).status == 502);
  CHECK(recorder.get(server.url("/long")).code != CURLE_OK);
  const auto events = recorder.told();
  REQUIRE(events.size() == 2);
  CHECK_THAT(events[1].error, Contains("longer than"));
  CHECK(recorded(recorder).empty());
}

TEST_CASE("hostile servers: bytes that change are a new answer, the old one stays") {
  Recorder recorder;
  std::atomic<int> n{0};
  Server server([&](const Server::Asked&, record::Wire& wire) {
    return reply(wire, "200 OK", "", fmt::format("take {}", ++n));
  });
  CHECK(recorder.get(server.url("/f")).body == "take 1");
  (void)recorder.told();
  CHECK(recorder.get(server.url("/f")).body == "take 2");
  (void)recorder.told();
  const auto rows = recorded(recorder);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].sha256 == sha256_hex("take 1"));
  CHECK(rows[1].sha256 == sha256_hex("take 2"));
  recorder.reopen(record::Mode::offline);
  CHECK(recorder.get(server.url("/f")).body == "take 2");
}

TEST_CASE("odd clients: pipelines, HTTP/1.0, websockets, long headers, nonsense") {
  Recorder recorder;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", write_limit);
    wire.write(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", asked.target.size(), asked.target),
               write_limit);
    return true;
  });
  const std::string host = fmt::format("Host: 127.0.0.1:{}\r\n\r\n", server.port());
  const std::string both =
      raw(recorder, "GET /one HTTP/1.1\r\n" + host + "GET /two HTTP/1.1\r\n" + host);
  const size_t one = both.find("/one"), two = both.find("/two");
  REQUIRE(two != std::string::npos);
  CHECK(both.find("HTTP/1.1 200 OK", one) < two);
  // A client of HTTP/1.0 knows no chunks: the end is the connection's.
  const std::string old = raw(recorder, "GET /old HTTP/1.0\r\n" + host);
  CHECK_THAT(old, Contains("connection: close\r\n\r\n/old"));
  CHECK_THAT(old, !Contains("chunked"));
  CHECK_THAT(raw(recorder,
                 "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: x\r\n" +
                     host),
             Contains("501 Not Implemented") && Contains("websockets are not recorded"));
  CHECK_THAT(raw(recorder, "GET / HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n" + host),
             Contains("HTTP/1.1 431"));
  CHECK_THAT(raw(recorder, "nonsense\r\n\r\n"), Contains("HTTP/1.1 400"));
  CHECK_THAT(raw(recorder, "GET ftp://x/ HTTP/1.1\r\n" + host), Contains("HTTP/1.1 400"));
  CHECK_THAT(raw(recorder, "CONNECT a/b HTTP/1.1\r\n" + host), Contains("HTTP/1.1 400"));
  CHECK_THAT(raw(recorder,
                 "POST /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" + host + "hi"),
             Contains("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
}

TEST_CASE("recorder: a clone of git is replayed") {
  if (find_program("git").empty()) {
    WARN("skipped: needs git");
    return;
  }
  Recorder recorder;
  const fs::path root = recorder.temp.path();
  const auto git = [&](std::vector<std::string> words) {
    RunOptions options;
    options.argv = {"git"};
    options.argv.insert(options.argv.end(), words.begin(), words.end());
    options.env = {{{"PATH", "/usr/bin:/bin"},
                    {"HOME", root.string()},
                    {"GIT_CONFIG_NOSYSTEM", "1"},
                    {"GIT_AUTHOR_NAME", "a"},
                    {"GIT_AUTHOR_EMAIL", "a@b"},
                    {"GIT_COMMITTER_NAME", "a"},
                    {"GIT_COMMITTER_EMAIL", "a@b"}}};
    return run(options);
  };
  const std::string repo = (root / "repo").string();
  REQUIRE(git({"init", "-q", repo}).status.ok());
  write_file_atomic(root / "repo" / "file", noise(400'000));
  REQUIRE(git({"-C", repo, "add", "."}).status.ok());
  REQUIRE(git({"-C", repo, "commit", "-qm", "one"}).status.ok());
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    const size_t query = asked.target.find('?');
    RunOptions options;
    options.argv = {"git", "http-backend"};
    options.input = asked.body;
    options.env = {
        {{"PATH", "/usr/bin:/bin"},
         {"GIT_PROJECT_ROOT", root.string()},
         {"GIT_HTTP_EXPORT_ALL", "1"},
         {"REQUEST_METHOD", asked.method},
         {"PATH_INFO", asked.target.substr(0, query)},
         {"QUERY_STRING", query == std::string::npos ? "" : asked.target.substr(query + 1)},
         {"REMOTE_ADDR", "127.0.0.1"},
         {"CONTENT_TYPE", asked.header("content-type")},
         {"CONTENT_LENGTH", std::to_string(asked.body.size())},
         {"HTTP_CONTENT_ENCODING", asked.header("content-encoding")},
         {"GIT_PROTOCOL", asked.header("git-protocol")}}};
    const RunResult result = run(options);
    const size_t end = result.out.find("\r\n\r\n");
    return reply(wire, "200 OK", result.out.substr(0, end) + "\r\n", result.out.substr(end + 4));
  });
  const auto clone = [&](const std::string& to) {
    return git({"-c", fmt::format("http.proxy=http://127.0.0.1:{}", recorder.port), "clone", "-q",
                server.url("/repo/.git"), (root / to).string()});
  };
  const RunResult first = clone("one");
  INFO(first.err);
  REQUIRE(first.status.ok());
  CHECK(read_file(root / "one" / "file") == noise(400'000));
  (void)recorder.told();
  recorder.reopen(record::Mode::offline);
  const int asked = server.requests;
  const RunResult second = clone("two");
  INFO(second.err);
  CHECK(second.status.ok());
  CHECK(read_file_if_exists(root / "two" / "file") == noise(400'000));
  CHECK(server.requests == asked);
}
