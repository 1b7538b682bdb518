#include "fetch/url.h"

#include "fetch/fetcher.h"

using namespace slipway::fetch;

TEST_CASE("public_url drops credentials and signatures (threat 15)") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"https://example.com/a.tgz", "https://example.com/a.tgz"},
      {"https://user:secret@example.com/a", "https://example.com/a"},
      {"https://token@example.com:8443/a", "https://example.com:8443/a"},
      {"https://user:p@ss:word@example.com/a", "https://example.com/a"},
      {"https://u:p@[::1]:80/a", "https://[::1]:80/a"},
      {"https://example.com/a@b:c", "https://example.com/a@b:c"},
      {"https://example.com?x=u:p@h", "https://example.com?x=u:p@h"},
      {"ssh://git:pw@host/app", "ssh://git@host/app"},
      {"ssh://git@host:22/app", "ssh://git@host:22/app"},
      {"git@host:app.git", "git@host:app.git"},
      {"https://h/a?v=1&X-Amz-Signature=abc&x-amz-date=2&z=%3D#ref/x",
       "https://h/a?v=1&X-Amz-Signature=&x-amz-date=&z=%3D#ref/x"},
      {"https://h/a?access%5Ftoken=abc&token", "https://h/a?access%5Ftoken=&token"},
      {"https://h/a?sv=1&sig=abc&name=x", "https://h/a?sv=&sig=&name=x"},
      {"https://h/a?sv=1&name=x", "https://h/a?sv=1&name=x"},
      // Not a URL to parse_url(), and still nothing may leak.
      {"https://user:secret@-bad host/x", "https://-bad host/x"},
      {"/some/path", "/some/path"},
  };
  for (const auto& [given, expected] : cases) {
    INFO(given);
    CHECK(public_url(given) == expected);
  }
}

TEST_CASE("parse_url takes sound URLs apart and refuses the rest") {
  const auto url = parse_url("HTTPS://us%65r:p%40ss@Example.COM:8443/A?b#c");
  REQUIRE(url);
  CHECK(url->scheme == "https");
  CHECK(url->user() == "user");
  CHECK(url->password() == "p@ss");
  CHECK(url->host == "example.com");
  CHECK(url->origin() == "https://example.com:8443");
  CHECK(url->rest == "/A?b#c");
  CHECK(url->to_string() == "https://us%65r:p%40ss@example.com:8443/A?b#c");
  CHECK(parse_url("https://h/x")->origin() == parse_url("https://H:443/y")->origin());
  CHECK(parse_url("https://h/x")->origin() != parse_url("http://h/x")->origin());
  CHECK(parse_url("http://[::1]:8080/x")->host == "[::1]");
  CHECK(parse_url("file:///etc/x")->rest == "/etc/x");
  for (const std::string bad :
       {"", "example.com/x", "://x", "1http://x", "http://", "http:///x", "http://-oProxy=x/y",
        "http://h\n/x", "http://h /x", "http://h:99999999/x", "http://h:8o/x", "http://[::1/x",
        "http://a\\b/x", "ht tp://x"}) {
    INFO(bad);
    CHECK_FALSE(parse_url(bad));
  }
}
