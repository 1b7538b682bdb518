#include "oci/reference.h"

#include "base/error.h"
#include "source/public_names.h"

using namespace slipway;
using namespace slipway::oci;
using Catch::Matchers::Contains;

namespace {

const std::string hub = source::public_names().images.domain;
const std::string hex64(64, 'a');

Error error_of(const std::string& text) {
  try {
    (void)parse_reference(text);
  } catch (const Error& error) {
    return error;
  }
  FAIL("no error for " << text);
  throw std::logic_error("unreachable");
}

}  // namespace

TEST_CASE("short names mean the default registry (F4)") {
  const Reference debian = parse_reference("debian");
  CHECK(debian == Reference{hub, "library/debian", "latest", ""});
  CHECK(debian.canonical() == hub + "/library/debian:latest");
  CHECK(debian.familiar() == "debian:latest");
  CHECK(parse_reference("debian:12") == Reference{hub, "library/debian", "12", ""});
  CHECK(parse_reference("me/app") == Reference{hub, "me/app", "latest", ""});
  CHECK(parse_reference("me/app").familiar() == "me/app:latest");
  CHECK(parse_reference(hub + "/debian") == debian);
  CHECK(parse_reference("index." + hub + "/debian") == debian);
  CHECK(parse_reference(hub + "/library/debian:12").familiar() == "debian:12");
  // A deeper path below the namespace is no short name.
  CHECK(parse_reference("library/a/b").familiar() == "library/a/b:latest");
}

TEST_CASE("a first part with a dot, a port or the name localhost is a domain") {
  CHECK(parse_reference("registry.example/app:1") == Reference{"registry.example", "app", "1", ""});
  CHECK(parse_reference("localhost/app") == Reference{"localhost", "app", "latest", ""});
  CHECK(parse_reference("localhost:5000/a/b:t") == Reference{"localhost:5000", "a/b", "t", ""});
  CHECK(parse_reference("Registry.Example:443/app").domain == "registry.example:443");
  CHECK(parse_reference("[::1]:5000/app:1") == Reference{"[::1]:5000", "app", "1", ""});
  CHECK(parse_reference("registry.example/app").familiar() == "registry.example/app:latest");
  // Without a slash a colon begins a tag.
  CHECK(parse_reference("localhost:5000") == Reference{hub, "library/localhost", "5000", ""});
}

TEST_CASE("a digest stands alone or beside a tag") {
  const std::string digest = "sha256:" + hex64;
  CHECK(parse_reference("debian@" + digest) == Reference{hub, "library/debian", "", digest});
  CHECK(parse_reference("debian:12@" + digest) == Reference{hub, "library/debian", "12", digest});
  CHECK(parse_reference("debian:12@" + digest).familiar() == "debian:12@" + digest);
  CHECK(parse_reference("debian@" + digest).canonical() == hub + "/library/debian@" + digest);
}

TEST_CASE("what is wrong with a reference is said") {
  const auto cause = [](const std::string& text) {
    const Error error = error_of(text);
    CHECK(error.code() == ExitCode::usage);
    return error.cause();
  };
  CHECK_THAT(cause(""), Contains("it is empty"));
  CHECK_THAT(cause("Debian"), Contains("'Debian' must be lower case"));
  CHECK(error_of("Debian:12").hint() == "did you mean 'debian'?");
  CHECK(error_of("Me/App").hint() == "did you mean 'me/app'?");
  CHECK(error_of("https://registry.example/app").hint() == "leave out 'https://'");
  CHECK_THAT(cause("a@sha256:abc"), Contains("'sha256:abc' is no digest"));
  CHECK_THAT(cause("a@sha512:" + std::string(128, 'a')), Contains("is no digest"));
  CHECK_THAT(cause("a:" + std::string(129, 't')), Contains("its tag is 129 bytes long"));
  CHECK_THAT(cause("a:-x"), Contains("'-x' is no tag"));
  CHECK_THAT(cause("a:"), Contains("'' is no tag"));
  CHECK_THAT(cause("r.example/" + std::string(256, 'p')), Contains("256 bytes long"));
  CHECK_NOTHROW(parse_reference("r.example/" + std::string(255, 'p')));
  CHECK_THAT(cause("r.example/"), Contains("the name is empty"));
  CHECK_THAT(cause("r.example//a"), Contains("a part of its name is empty"));
  CHECK_THAT(cause("r.example/../a"), Contains("'..' is no name"));
  CHECK_THAT(cause("r.example/a b"), Contains("'a b' is no name"));
  CHECK_THAT(cause("a/b\n"), Contains("\\x0a"));
  CHECK_THAT(cause(hex64), Contains("64 hex digits"));
  CHECK_THAT(cause("-evil.example/a"), Contains("neither a host"));
  CHECK_THAT(cause("h.example:99999999/a"), Contains("neither a host"));
  CHECK_THAT(cause("user:pw@h.example/a"), Contains("is no digest"));
}

TEST_CASE("path parts follow the distribution grammar") {
  for (const char* good : {"a", "a.b", "a_b", "a__b", "a-b", "a---b", "a0/b1/c2"})
    CHECK(is_repository(good));
  for (const char* bad :
       {"", "/", "a/", "/a", "a..b", "a___b", "a.-b", "-a", "a-", "A", "a:b", "a@b"})
    CHECK_FALSE(is_repository(bad));
}

TEST_CASE("only an exact digest is one (threat 19)") {
  std::string digest = "sha256:" + hex64;
  CHECK(is_digest(digest));
  CHECK_FALSE(is_digest(""));
  CHECK_FALSE(is_digest(hex64));
  CHECK_FALSE(is_digest("SHA256:" + hex64));
  CHECK_FALSE(is_digest("sha256-" + hex64));
  CHECK_FALSE(is_digest(digest + "\n"));
  CHECK_FALSE(is_digest(digest.substr(0, 70)));
  for (const char bad : {'A', 'g', '/', '.', '\0'}) {
    digest.back() = bad;
    CHECK_FALSE(is_digest(digest));
  }
}

TEST_CASE("domains that could lead elsewhere are none") {
  for (const char* good : {"localhost", "a.example", "a.example:443", "127.0.0.1:5000", "[::1]:80"})
    CHECK(is_domain(good));
  for (const char* bad : {"", ".", "..", "a..b", "a/b", "a:", "a:b", "a b", "-a", "a@b", "[::1",
                          "a:1:2", "[../x]", "a%2fb"})
    CHECK_FALSE(is_domain(bad));
}

TEST_CASE("a registry is named by its host") {
  CHECK(parse_registry("") == hub);
  CHECK(parse_registry("index." + hub) == hub);
  CHECK(parse_registry(source::public_names().images.credentials_key) == hub);
  CHECK(parse_registry("https://Registry.Example:5000/") == "registry.example:5000");
  for (const char* bad : {"a/b", "https://", "user:pw@host", "-x", "a b"})
    CHECK_THROWS_AS(parse_registry(bad), Error);
}
