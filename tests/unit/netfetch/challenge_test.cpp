#include "netfetch/challenge.h"

#include "base/error.h"
#include "netfetch/registry_token.h"
#include "netfetch/registry_trust.h"

using namespace slipway;
using namespace slipway::netfetch;
using Catch::Matchers::Contains;

TEST_CASE("a challenge is read with its values") {
  const auto list = parse_challenges(
      R"(Bearer realm="https://auth.example/token",service = "reg,istry",scope="repository:a/b:pull,push",error=x)");
  REQUIRE(list.size() == 1);
  CHECK(list[0].scheme == "bearer");
  CHECK(list[0].value("realm") == "https://auth.example/token");
  CHECK(list[0].value("service") == "reg,istry");
  CHECK(list[0].value("scope") == "repository:a/b:pull,push");
  CHECK(list[0].value("error") == "x");
  CHECK(list[0].value("nothing").empty());
}

TEST_CASE("several challenges, in one header or more, and Bearer first") {
  const auto list = parse_challenges(R"(Basic realm="a \"b\"", Bearer realm="c", Negotiate)");
  REQUIRE(list.size() == 3);
  CHECK(list[0].value("realm") == "a \"b\"");
  CHECK(list[1].scheme == "bearer");
  CHECK(list[2].scheme == "negotiate");
  CHECK(choose_challenge({R"(Basic realm="x")", R"(Bearer realm="y")"})->value("realm") == "y");
  CHECK(choose_challenge({R"(Digest realm="x")", R"(Basic realm="y")"})->scheme == "basic");
  CHECK_FALSE(choose_challenge({"Negotiate abc", "", "=,=,"}));
  CHECK_FALSE(choose_challenge({}));
}

TEST_CASE("what cannot be read does no harm") {
  for (const char* text : {"Bearer realm=\"unended", "Bearer realm", "Bearer =", ",,,", "\"\"",
                           "Bearer realm=\"a\\", "Bearer a=b c=d"})
    CHECK_NOTHROW(parse_challenges(text));
  CHECK(parse_challenges("Bearer realm=\"first\",realm=\"second\"")[0].value("realm") == "first");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "Basic realm=x, ";
  CHECK(parse_challenges(many).size() <= 16);
}

TEST_CASE("names of one site belong together, others do not (threat 14)") {
  for (const auto& [a, b] : std::vector<std::pair<const char*, const char*>>{
           {"registry.example.org", "auth.example.org"},
           {"example.org", "auth.example.org"},
           {"a.b.example.org", "c.example.org"},
           {"registry.example.co.uk", "auth.example.co.uk"},
           {"10.0.0.1", "10.0.0.1"},
           {"registry", "registry"}})
    CHECK(same_site(a, b));
  for (const auto& [a, b] :
       std::vector<std::pair<const char*, const char*>>{{"registry.example.org", "auth.evil.org"},
                                                        {"registry.co.uk", "evil.co.uk"},
                                                        {"registry.com.au", "evil.com.au"},
                                                        {"10.0.0.1", "10.0.0.2"},
                                                        {"1.10.0.1", "2.10.0.1"},
                                                        {"[::1]", "[::2]"},
                                                        {"registry", "evil"},
                                                        {"example.org", "example.org.evil.net"},
                                                        {"org", "evil.org"},
                                                        {"co.uk", "evil.co.uk"},
                                                        {"", "evil.org"}})
    CHECK_FALSE(same_site(a, b));
}

TEST_CASE("a realm is an address that may be told a password (threat 14)") {
  const fetch::Url https = *fetch::parse_url("https://registry.example"),
                   http = *fetch::parse_url("http://127.0.0.1:5000");
  CHECK(parse_realm("https://user:pw@auth.example/token?x=y", https).to_string() ==
        "https://auth.example/token?x=y");
  CHECK(parse_realm("http://127.0.0.1:5001/token", http).port == "5001");
  CHECK(parse_realm("http://localhost:5001/token", http).host == "localhost");
  for (const char* bad : {"http://auth.example/token", "ftp://auth.example", "", "/token",
                          "http://registry.example/token", "https://a b/", "https://a\r\nb/"})
    CHECK_THROWS_AS(parse_realm(bad, https), Error);
  CHECK_THROWS_AS(parse_realm("http://auth.example/token", http), Error);
}

TEST_CASE("locations are taken as seen from where they were said") {
  const fetch::Url base =
      *fetch::parse_url("https://registry.example:5000/v2/a/blobs/uploads/?x=1");
  const auto resolved = [&](const std::string& location) {
    const auto url = resolve_location(base, location);
    return url ? url->to_string() : "";
  };
  CHECK(resolved("/v2/a/blobs/uploads/1?_state=a%2Fb%3D") ==
        "https://registry.example:5000/v2/a/blobs/uploads/1?_state=a%2Fb%3D");
  CHECK(resolved("2?y") == "https://registry.example:5000/v2/a/blobs/uploads/2?y");
  CHECK(resolved("https://other.example/x#fragment") == "https://other.example/x");
  CHECK(resolved("//other.example/x") == "https://other.example/x");
  CHECK(resolved("https://user:pw@other.example/x") == "https://other.example/x");
  for (const char* bad : {"file:///etc/passwd", "gopher://x/", "javascript:1", "https://"})
    CHECK(resolved(bad).empty());
}

TEST_CASE("the loopback is what it says, not what looks like it (N8)") {
  for (const char* host : {"localhost", "127.0.0.1", "127.1.2.3", "[::1]"})
    CHECK(is_loopback(host));
  for (const char* host : {"localhost.evil.example", "127.0.0.1.evil.example", "127.evil.example.x",
                           "128.0.0.1", "127.0.0", "[::2]", "", "127.0.0.1x"})
    CHECK_FALSE(is_loopback(host));
}

TEST_CASE("a registry's words are short and printable") {
  const auto words = [](const std::string& type, const std::string& body) {
    HttpReply reply;
    reply.headers = {{"content-type", type}};
    reply.body = body;
    return refusal_words(reply);
  };
  CHECK(words("application/json; charset=utf-8",
              R"({"errors":[{"code":"DENIED","message":"no\nway"}]})") == "DENIED: no\\x0away");
  CHECK(words("application/json", R"({"details":"incorrect username or password"})") ==
        "incorrect username or password");
  CHECK(words("application/json", R"({"errors":[]})").empty());
  CHECK(words("application/json", R"([1,2)").empty());
  CHECK(words("application/json", R"({"errors":[5]})").empty());
  CHECK(words("text/plain", "first line\nsecond") == "first line");
  CHECK(words("text/html", "<html>").empty());
  CHECK(words("text/plain", std::string(5000, 'x')).size() == 300);
}
