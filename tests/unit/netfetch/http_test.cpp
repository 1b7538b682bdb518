#include "netfetch/http.h"

#include <sys/mman.h>

#include "base/digest.h"
#include "base/error.h"
#include "netfetch/server.h"

using namespace slipway;
using namespace slipway::netfetch;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

std::string data() {
  std::string text;
  for (int i = 0; i < 400; ++i)
    for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  return text;
}

test::Server& server() {
  static test::Server one;
  return one;
}

struct Got {
  fetch::HttpResult result;
  std::string body;
};

Got get(fetch::HttpRequest request) {
  request.retry_delay = std::chrono::milliseconds(1);
  const Fd output(memfd_create("body", MFD_CLOEXEC));
  Got got;
  got.result = download(request, output.get(), {});
  lseek(output.get(), 0, SEEK_SET);
  got.body = read_all(output.get());
  return got;
}
Got get(const std::string& url) {
  return get(fetch::HttpRequest{.url = url});
}

Error error_of(const fetch::HttpRequest& request) {
  try {
    (void)get(request);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error for " << request.url);
  throw std::logic_error("unreachable");
}

}  // namespace

TEST_CASE("a download is complete and described") {
  NEEDS_SERVER();
  const Got got = get(server().url("/file?token=abc"));
  CHECK(got.body == data());
  CHECK(got.result.sha256 == sha256_hex(data()));
  CHECK(got.result.size_bytes == data().size());
  CHECK(got.result.etag == "\"v1\"");
  CHECK(got.result.final_url == server().url("/file?token="));
  // Bytes as they are: a packed file must keep its checksum.
  CHECK(get(server().url("/encoded")).body.substr(0, 2) == "\x1f\x8b");
}

TEST_CASE("a transfer that breaks off is resumed when it is the same file") {
  NEEDS_SERVER();
  server().requests();
  CHECK(get(server().url("/cut-once")).body == data());
  const auto requests = server().requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[1]["range"] == "bytes=40000-");
}

TEST_CASE("halves of two different files are never put together") {
  NEEDS_SERVER();
  // The server has another version by now, or does not know ranges: the file comes whole again.
  const Got replaced = get(server().url("/cut-and-replaced"));
  CHECK(replaced.body == data());
  CHECK(replaced.result.etag == "\"v2\"");
  CHECK(replaced.result.sha256 == sha256_hex(data()));
  CHECK(get(server().url("/cut-no-range")).body == data());
  CHECK_THAT(error_of({.url = server().url("/wrong-range")}).cause(), Contains("another range"));
}

TEST_CASE("a body that always ends early fails after the retries (threat 20)") {
  NEEDS_SERVER();
  server().requests();
  const Error error = error_of({.url = server().url("/cut-always"), .retries = 2});
  CHECK(error.code() == ExitCode::outside);
  CHECK_THAT(error.cause(), StartsWith("GET " + server().url("/cut-always")) &&
                                Contains("remaining") && Contains("tried 3 times"));
  CHECK(server().requests().size() == 3);
}

TEST_CASE("server errors are tried again, others are not") {
  NEEDS_SERVER();
  CHECK(get(server().url("/flaky")).body == "fine");
  server().requests();
  const Error broken = error_of({.url = server().url("/broken"), .retries = 1});
  CHECK(broken.code() == ExitCode::outside);
  CHECK(broken.cause() ==
        "GET " + server().url("/broken") + ": HTTP 500 Internal Server Error (tried 2 times)");
  CHECK(broken.hint() == "try again later");
  CHECK(server().requests().size() == 2);
  const Error missing = error_of({.url = server().url("/missing", "me:hidden@")});
  CHECK(missing.cause() == "GET " + server().url("/missing") + ": HTTP 404 Not Found");
  CHECK_THAT(missing.hint(), Contains("check the address"));
  CHECK(server().requests().size() == 1);
}

TEST_CASE("a checksum is verified over the bytes that came") {
  NEEDS_SERVER();
  CHECK(get(fetch::HttpRequest{.url = server().url("/file"),
                               .checksum = "sha256:" + sha256_hex(data())})
            .body == data());
  const std::string other = "sha256:" + sha256_hex("other");
  const Error error = error_of({.url = server().url("/file"), .checksum = other});
  CHECK(error.code() == ExitCode::outside);
  CHECK_THAT(error.cause(), Contains("the checksum does not match: expected " + other +
                                     ", got sha256:" + sha256_hex(data())));
  CHECK(error_of({.url = server().url("/file"), .checksum = "sha256:12"}).code() ==
        ExitCode::usage);
  CHECK(
      error_of({.url = server().url("/file"), .checksum = "md5:" + std::string(64, 'a')}).code() ==
      ExitCode::usage);
}

TEST_CASE("the size limit holds with and without an announced length (threat 21)") {
  NEEDS_SERVER();
  CHECK_THAT(error_of({.url = server().url("/file"), .size_max_bytes = 1000}).cause(),
             Contains("it is 102400 bytes long, over the limit of 1000"));
  CHECK_THAT(error_of({.url = server().url("/endless"), .size_max_bytes = 1 << 20}).cause(),
             Contains("it is longer than the limit of 1048576 bytes"));
  CHECK_THROWS_AS(get(fetch::HttpRequest{.url = server().url("/endless-headers"), .retries = 0}),
                  Error);
  CHECK(
      get(fetch::HttpRequest{.url = server().url("/file"), .size_max_bytes = 102400}).body.size() ==
      102400);
}

TEST_CASE("a server that stops sending is given up") {
  NEEDS_SERVER();
  const auto started = std::chrono::steady_clock::now();
  const Error error = error_of(
      {.url = server().url("/stall"), .retries = 0, .stall_limit = std::chrono::seconds(1)});
  CHECK(error.code() == ExitCode::outside);
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(10));
}

TEST_CASE("credentials go to their own origin only (threat 14)") {
  NEEDS_SERVER();
  CHECK(get(server().url("/private-file", "user:s3cret@")).body == "for your eyes");
  const Error denied = error_of({.url = server().url("/private-file", "user:wrong-one@")});
  CHECK(denied.cause() == "GET " + server().url("/private-file") + ": HTTP 401 Unauthorized");
  CHECK_THAT(denied.hint(), Contains("credentials"));

  const auto authorizations = [&](const std::string& path) {
    server().requests();
    CHECK(get(server().url(path, "user:s3cret@")).body == "landed");
    std::vector<bool> sent;
    for (const Json& request : server().requests())
      sent.push_back(!request["authorization"].is_null());
    return sent;
  };
  CHECK(authorizations("/near") == std::vector<bool>{true, true});
  CHECK(authorizations("/away") == std::vector<bool>{true, false});
  // Not even on the way back: the other origin chose where that goes.
  CHECK(authorizations("/away-and-back") == std::vector<bool>{true, false, false});
}

TEST_CASE("TLS is checked, and a CA of the host's is trusted when named") {
  NEEDS_SERVER();
  const Error unknown = error_of({.url = server().secure_url("/landed"), .retries = 0});
  CHECK(unknown.code() == ExitCode::outside);
  CHECK_THAT(unknown.cause(), Contains("certificate"));
  CHECK_THAT(unknown.hint(), Contains("SSL_CERT_FILE"));
  setenv("SSL_CERT_FILE", server().certificate().c_str(), 1);
  CHECK(get(server().secure_url("/landed")).body == "landed");
  const Error downgrade = error_of({.url = server().secure_url("/downgrade")});
  unsetenv("SSL_CERT_FILE");
  CHECK_THAT(downgrade.cause(),
             Contains("from https to http://127.0.0.1") && Contains("without encryption"));
}

TEST_CASE("redirects lead to HTTP addresses and end") {
  NEEDS_SERVER();
  CHECK(get(server().url("/away")).result.final_url == server().other_url("/landed"));
  CHECK_THAT(error_of({.url = server().url("/loop")}).cause(), Contains("more than 10 redirects"));
  CHECK_THAT(error_of({.url = server().url("/to-file")}).cause(), Contains("no HTTP address"));
  CHECK_THAT(error_of({.url = server().url("/to-gopher")}).cause(), Contains("no HTTP address"));
}

TEST_CASE("hosts that cannot be reached are named with the resolver's words") {
  test::have_tools() ? (void)server() : (void)0;
  const Error unknown = error_of({.url = "http://u:pw@no-such-host.invalid/x", .retries = 0});
  CHECK(unknown.code() == ExitCode::outside);
  CHECK(unknown.cause() ==
        "GET http://no-such-host.invalid/x: Could not resolve host: no-such-host.invalid");
  CHECK_THAT(unknown.hint(), Contains("check the network"));
  const Error closed = error_of({.url = "http://127.0.0.1:1/x", .retries = 0});
  CHECK_THAT(closed.cause(), Contains("127.0.0.1") && Contains("port 1"));
}

TEST_CASE("files of this machine are copied without curl, other schemes are refused") {
  const TempDir temp = TempDir::create("http-test");
  write_file_atomic(temp.path() / "a b", "content");
  const Got got = get(fetch::HttpRequest{.url = "file://" + temp.path().string() + "/a%20b",
                                         .checksum = "sha256:" + sha256_hex("content")});
  CHECK(got.body == "content");
  CHECK(error_of({.url = "file://" + temp.path().string()}).code() == ExitCode::outside);
  CHECK_THAT(error_of({.url = "file:///dev/zero"}).cause(), Contains("not a regular file"));
  CHECK(error_of({.url = "file://elsewhere/etc/passwd"}).code() == ExitCode::usage);
  for (const std::string url :
       {"ftp://h/x", "gopher://h/x", "scp://h/x", "h/x", "-o/x", "http://h\r\n/x"})
    CHECK(error_of({.url = url}).code() == ExitCode::usage);
}
