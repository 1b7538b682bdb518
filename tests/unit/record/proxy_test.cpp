#include "record/proxy.h"

#include "record/fixture.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;

namespace {

Server::Handler always(const std::string& headers, const std::string& body) {
  return [=](const Server::Asked&, record::Wire& wire) {
    return reply(wire, "200 OK", headers, body);
  };
}

}  // namespace

TEST_CASE("recorder: what was downloaded once is replayed offline, byte for byte") {
  Recorder recorder;
  const std::string body = noise(3'000'000);
  std::string url;
  Got first;
  {
    Server server(
        always("Content-Type: application/x-tar\r\nETag: \"v1\"\r\nX-Request-Id: 77\r\n"
               "Set-Cookie: session=abc\r\n",
               body));
    url = server.url("/node.tar?sha=1&token=hush");
    first = recorder.get(url);
    CHECK(first.code == CURLE_OK);
    CHECK(first.status == 200);
    CHECK(first.body == body);
    CHECK(first.header("content-type") == "application/x-tar");
    // Differs every time, or is a secret: not even while recording.
    CHECK(first.header("x-request-id").empty());
    CHECK(first.header("set-cookie").empty());
    const auto events = recorder.told();
    REQUIRE(events.size() == 1);
    CHECK(events[0].step == "step");
    CHECK(events[0].source == Source::upstream);
    CHECK(events[0].status == 200);
    CHECK(events[0].sha256 == sha256_hex(body));
    CHECK(events[0].size_bytes == body.size());
    CHECK(events[0].id > 0);
    CHECK(events[0].error.empty());
    CHECK(
        events[0].url ==
        fmt::format("http://127.0.0.1:{}/node.tar?sha=[redacted]&token=[redacted]", server.port()));
  }
  recorder.reopen(record::Mode::offline);
  const Got again = recorder.get(url);
  CHECK(again.status == 200);
  CHECK(again.body == body);
  CHECK(again.head == first.head);
  // Another token leads to the same thing, another parameter does not.
  CHECK(recorder.get(url + "2").body == body);
  CHECK(recorder.get(url + "&sha=2").status == 504);
  const auto events = recorder.told();
  REQUIRE(events.size() == 3);
  CHECK(events[0].source == Source::cache);
  CHECK(events[0].sha256 == sha256_hex(body));
  CHECK(events[2].source == Source::miss);
}

TEST_CASE("recorder: a miss offline is told with what would record it, and nobody is asked") {
  Server server(always("", "x"));
  Recorder recorder;
  recorder.reopen(record::Mode::offline);
  const Got got = recorder.get(server.url("/a?k=secret"));
  CHECK(got.status == 504);
  CHECK(got.body ==
        fmt::format("slipway: offline, and GET http://127.0.0.1:{}/a?k=[redacted] is not "
                    "recorded; build once without --offline to record it\n",
                    server.port()));
  CHECK(recorder.get(server.url("/a"), {.headers = {"Authorization: Basic eDp5"}}).status == 504);
  CHECK_THAT(recorder.get(server.url("/a"), {.method = "POST", .post = "x"}).body,
             Contains("is never recorded: it sends something"));
  CHECK(server.connections == 0);
  const auto events = recorder.told();
  REQUIRE(events.size() == 3);
  for (const Event& event : events) CHECK(event.source == Source::miss);
}

TEST_CASE("recorder: https is taken with a certificate of the store's authority") {
  Recorder recorder;
  auto other = cache::Store::open(recorder.temp.path() / "other");
  record::Authority authority(*other);
  const std::string body = noise(700'000);
  Server server(always("ETag: \"1\"\r\n", body), &authority);
  SECTION("a server that is not trusted") {
    unsetenv("SSL_CERT_FILE");
    const Got got = recorder.get(server.url("/a"));
    CHECK(got.status == 502);
    CHECK_THAT(got.body, Contains("certificate"));
    const auto events = recorder.told();
    REQUIRE(events.size() == 1);
    CHECK(events[0].source == Source::failed);
  }
  SECTION("one that is") {
    write_file_atomic(recorder.temp.path() / "ca.pem", authority.certificate_pem());
    setenv("SSL_CERT_FILE", (recorder.temp.path() / "ca.pem").c_str(), 1);
    recorder.reopen(record::Mode::record);
    CHECK(recorder.get(server.url("/a")).body == body);
    CHECK(recorder.get(server.url("/b"), {.explicit_proxy = true}).body == body);
    unsetenv("SSL_CERT_FILE");
    recorder.reopen(record::Mode::offline);
    CHECK(recorder.get(server.url("/a")).body == body);
    CHECK(recorder.get(server.url("/a"), {.explicit_proxy = true}).body == body);
    CHECK(recorder.get(server.url("/b")).body == body);
  }
  const fs::path key = recorder.temp.path() / "store" / "recorder-ca.pem";
  CHECK((fs::status(key).permissions() & fs::perms::mask) ==
        (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("recorder: fifty parallel downloads are one request") {
  Recorder recorder;
  const std::string body = noise(2'000'000);
  Server server([&](const Server::Asked&, record::Wire& wire) {
    wire.write(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.size()),
               write_limit);
    for (size_t at = 0; at < body.size(); at += 200'000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      wire.write(body.substr(at, 200'000), write_limit);
    }
    return true;
  });
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int i = 0; i < 50; ++i)
    clients.emplace_back([&] { good += recorder.get(server.url("/big")).body == body ? 1 : 0; });
  for (std::thread& client : clients) client.join();
  CHECK(good == 50);
  CHECK(server.requests == 1);
  const auto events = recorder.told();
  CHECK(events.size() == 50);
  for (const Event& event : events) CHECK(event.sha256 == sha256_hex(body));
}

TEST_CASE("recorder: ranges, HEAD and conditions are answered out of the whole") {
  Recorder recorder;
  const std::string body = noise(100'000);
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    CHECK(asked.header("range").empty());
    CHECK(asked.header("if-none-match") != "\"mine\"");
    if (asked.header("if-none-match") == "\"v1\"") {
      wire.write("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n", write_limit);
      return true;
    }
    return reply(wire, "200 OK", "ETag: \"v1\"\r\n", body);
  });
  const Got part = recorder.get(server.url("/f"), {.range = "10-19"});
  CHECK(part.status == 206);
  CHECK(part.body == body.substr(10, 10));
  CHECK(part.header("content-range") == "bytes 10-19/100000");
  CHECK(recorder.get(server.url("/f"), {.headers = {"If-None-Match: \"v1\""}}).status == 304);
  CHECK(recorder.get(server.url("/f"), {.headers = {"If-None-Match: \"mine\""}}).status == 200);
  recorder.reopen(record::Mode::offline);
  CHECK(recorder.get(server.url("/f"), {.range = "-5"}).body == body.substr(body.size() - 5));
  CHECK(recorder.get(server.url("/f"), {.range = "100000-"}).status == 416);
  CHECK(recorder.get(server.url("/f"), {.range = "99990-200000"}).body == body.substr(99990));
  const Got changed =
      recorder.get(server.url("/f"), {.headers = {"If-Range: \"v0\""}, .range = "5-6"});
  CHECK(changed.status == 200);
  const Got head = recorder.get(server.url("/f"), {.method = "HEAD"});
  CHECK(head.status == 200);
  CHECK(head.header("content-length") == "100000");
  CHECK(recorder.get(server.url("/f"), {.headers = {"If-None-Match: W/\"v1\""}}).status == 304);
  CHECK(recorder.get(server.url("/f")).body == body);
}

TEST_CASE("recorder: a server that says 'the same' is not asked for the body again") {
  Recorder recorder;
  std::atomic<int> bodies{0};
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    if (asked.header("if-none-match") == "\"v1\"") {
      wire.write("HTTP/1.1 304 Not Modified\r\n\r\n", write_limit);
      return true;
    }
    ++bodies;
    return reply(wire, "200 OK", "ETag: \"v1\"\r\n", "hello");
  });
  CHECK(recorder.get(server.url("/f")).body == "hello");
  (void)recorder.told();
  CHECK(recorder.get(server.url("/f")).body == "hello");
  const auto events = recorder.told();
  REQUIRE(events.size() == 1);
  CHECK(events[0].source == Source::confirmed);
  CHECK(events[0].sha256 == sha256_hex("hello"));
  CHECK(bodies == 1);
  CHECK(server.requests == 2);
}

TEST_CASE("recorder: what may be kept is not asked for again, unless the client insists") {
  Recorder recorder;
  Server server(always("Cache-Control: public, max-age=3600\r\n", "kept"));
  for (int i = 0; i < 3; ++i) {
    CHECK(recorder.get(server.url("/f")).body == "kept");
    (void)recorder.told();
  }
  CHECK(server.requests == 1);
  CHECK(recorder.get(server.url("/f"), {.headers = {"Cache-Control: no-cache"}}).body == "kept");
  CHECK(server.requests == 2);
}

TEST_CASE("recorder: without a network what was recorded is used at once, and said") {
  Recorder recorder;
  std::string url;
  {
    Server server(always("ETag: \"1\"\r\n", "old"));
    url = server.url("/f");
    CHECK(recorder.get(url).body == "old");
  }
  (void)recorder.told();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) CHECK(recorder.get(url).body == "old");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
  auto events = recorder.told();
  REQUIRE(events.size() == 3);
  for (const Event& event : events) {
    CHECK(event.source == Source::stale);
    CHECK(event.recorded_s > 0);
  }
  CHECK(recorder.get(url + "other").status == 502);
  events = recorder.told();
  REQUIRE(events.size() == 1);
  CHECK(events[0].source == Source::failed);
  CHECK_THAT(events[0].error, Contains("check the network"));
}

TEST_CASE("recorder: redirects and errors are answers too; broken servers are not recorded") {
  Recorder recorder;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    if (asked.target == "/moved")
      return reply(wire, "302 Found",
                   "Location: http://127.0.0.1:1/x?X-Amz-Signature=hush&X-Amz-Date=1&a=b\r\n", "");
    if (asked.target == "/none") return reply(wire, "404 Not Found", "", "no");
    return reply(wire, "503 Service Unavailable", "Retry-After: 3\r\n", "busy");
  });
  const Got moved = recorder.get(server.url("/moved"));
  CHECK(moved.status == 302);
  CHECK(moved.header("location") == "http://127.0.0.1:1/x?X-Amz-Signature=hush&X-Amz-Date=1&a=b");
  CHECK(recorder.get(server.url("/none")).status == 404);
  const Got busy = recorder.get(server.url("/busy"));
  CHECK(busy.status == 503);
  CHECK(busy.header("retry-after") == "3");
  const auto events = recorder.told();
  REQUIRE(events.size() == 3);
  CHECK(std::count_if(events.begin(), events.end(), [](const Event& event) {
          return event.status == 503 && event.source == Source::passed && event.id == 0;
        }) == 1);
  recorder.reopen(record::Mode::offline);
  const Got replayed = recorder.get(server.url("/moved"));
  CHECK(replayed.status == 302);
  CHECK(replayed.header("location") == "http://127.0.0.1:1/x?X-Amz-Signature=&X-Amz-Date=&a=b");
  CHECK(recorder.get(server.url("/none")).status == 404);
  CHECK(recorder.get(server.url("/busy")).status == 504);
}

TEST_CASE("recorder: what carries credentials or sends something passes through unrecorded") {
  Recorder recorder;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    return reply(wire, "200 OK", "Set-Cookie: a=b\r\n",
                 asked.method + " " + asked.body + " " + asked.header("authorization"));
  });
  const Got secret = recorder.get(server.url("/f"), {.headers = {"Authorization: Bearer hush"}});
  CHECK(secret.body == "GET  Bearer hush");
  CHECK(secret.header("set-cookie") == "a=b");
  CHECK(recorder.get(server.url("/f"), {.method = "POST", .post = "data"}).body == "POST data ");
  CHECK(recorder.get(server.url("/f"), {.method = "POST", .post = std::string(2'000'000, 'x')})
            .body.size() == 2'000'006);
  CHECK_THAT(
      recorder.get(server.url("/f"), {.method = "POST", .post = "data", .chunked_post = true}).body,
      Contains("4\r\ndata\r\n"));
  const auto events = recorder.told();
  REQUIRE(events.size() == 4);
  for (const Event& event : events) {
    CHECK(event.source == Source::passed);
    CHECK(event.id == 0);
  }
  CHECK(cache::Downloads(*recorder.store).list().empty());
}

TEST_CASE("recorder: variants by encoding are apart") {
  Recorder recorder;
  Server server([&](const Server::Asked& asked, record::Wire& wire) {
    const bool packed = asked.header("accept-encoding").find("gzip") != std::string::npos;
    return reply(wire, "200 OK",
                 packed ? "Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"
                        : "Vary: Accept-Encoding\r\n",
                 packed ? "PACKED" : "plain");
  });
  CHECK(recorder.get(server.url("/f"), {.headers = {"Accept-Encoding: gzip"}}).body == "PACKED");
  CHECK(recorder.get(server.url("/f")).body == "plain");
  CHECK(recorder.get(server.url("/g"), {.headers = {"Accept-Encoding: gzip"}}).body == "PACKED");
  recorder.reopen(record::Mode::offline);
  CHECK(recorder.get(server.url("/f"), {.headers = {"Accept-Encoding: gzip"}}).body == "PACKED");
  CHECK(recorder.get(server.url("/f")).body == "plain");
  CHECK(recorder.get(server.url("/g"), {.headers = {"Accept-Encoding: br, gzip"}}).body ==
        "PACKED");
  // What it could not read is no answer.
  CHECK(recorder.get(server.url("/g")).status == 504);
}

TEST_CASE("recorder: a step cannot reach this machine through it") {
  Server server(always("", "private"));
  Recorder recorder;
  recorder.allow_loopback = false;
  recorder.reopen(record::Mode::record);
  for (const std::string host : {"127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254",
                                 "[::ffff:127.0.0.1]", "x.localhost"}) {
    const Got got =
        recorder.get(fmt::format("http://{}:{}/", host, server.port()), {.explicit_proxy = true});
    INFO(host << ": " << got.body);
    CHECK(got.status == 502);
    CHECK_THAT(got.body, Contains("cannot reach this machine's own services") ||
                             Contains("Could not resolve"));
  }
  CHECK(server.connections == 0);
}

TEST_CASE("recorder: offline, what an earlier build was given goes before newer answers") {
  Recorder recorder;
  std::atomic<int> n{0};
  Server server([&](const Server::Asked&, record::Wire& wire) {
    return reply(wire, "200 OK", "", fmt::format("index {}", ++n));
  });
  CHECK(recorder.get(server.url("/index")).body == "index 1");
  const auto first = recorder.told();
  REQUIRE(first.size() == 1);
  CHECK(recorder.get(server.url("/index")).body == "index 2");
  (void)recorder.told();
  recorder.reopen(record::Mode::offline);
  CHECK(recorder.get(server.url("/index")).body == "index 2");
  recorder.options.preferred = {first[0].id};
  recorder.reopen(record::Mode::offline);
  CHECK(recorder.get(server.url("/index")).body == "index 1");
}

TEST_CASE("recorder: rows of another store are found by its key") {
  Recorder from, to;
  std::string url;
  {
    Server server([](const Server::Asked&, record::Wire& wire) {
      return reply(wire, "200 OK", "", "vendored");
    });
    url = server.url("/f?k=secret");
    CHECK(from.get(url).body == "vendored");
    (void)from.told();
  }
  cache::Downloads there(*from.store), here(*to.store);
  std::vector<cache::Finished> batch;
  for (const cache::Download& download : there.list()) {
    cache::Finished& one = batch.emplace_back();
    one.download = download;
    one.body = read_all(there.open_body(download).get());
  }
  (void)here.publish(batch);
  to.reopen(record::Mode::offline);
  CHECK(to.get(url).status == 504);
  here.add_sharing_key(there.sharing_key());
  to.reopen(record::Mode::offline);
  CHECK(to.get(url).body == "vendored");
  CHECK(to.get(url + "2").status == 504);
  CHECK_THROWS_AS(here.add_sharing_key("../x"), Error);
}
