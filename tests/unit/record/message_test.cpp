#include "record/message.h"

using namespace slipway::record;

namespace {

Request request(Headers headers) {
  Request made;
  made.method = "GET";
  made.url = "http://a/";
  made.headers = std::move(headers);
  return made;
}

}  // namespace

TEST_CASE("keys: what signs a URL is no part of it, what names something is") {
  CHECK(key_url("https://a/b?x=1&y=2") == "https://a/b?x=1&y=2");
  CHECK(key_url("https://a/b?X-Amz-Signature=1&X-Amz-Date=2&v=3") == "https://a/b?v=3");
  CHECK(key_url("https://a/b?sig=1&se=2&sv=3&rsct=4") == "https://a/b?rsct=4");
  CHECK(key_url("https://a/b?Signature=1&Expires=2&Key-Pair-Id=3") == "https://a/b");
  CHECK(key_url("https://a/b?token=1&f=2") == "https://a/b?f=2");
  // Without the signature of their family these are names like others.
  CHECK(key_url("https://a/b?se=2&expires=3&policy=4&X-Amz-Date=1") ==
        "https://a/b?se=2&expires=3&policy=4&X-Amz-Date=1");
  CHECK(key_url("https://a/b#part") == "https://a/b");
}

TEST_CASE("shown URLs hold no value of a query and no user") {
  CHECK(shown_url("https://user:pw@a/b?x=1&y=&z") == "https://a/b?x=[redacted]&y=&z");
  CHECK(shown_url("https://a/b?ThisIsAVeryLongOpaqueValueInThere") == "https://a/b?[redacted]");
  CHECK(kept_location("/next?sig=1&se=2&a=3#f") == "/next?sig=&se=&a=3#f");
  CHECK(kept_location("https://u:p@a/b") == "https://a/b");
  // The redacted address leads to what the signed one did.
  const std::string signed_url = "https://a/b?X-Amz-Signature=1&X-Amz-Date=2&v=3";
  CHECK(key_url(kept_location(signed_url)) == key_url(signed_url));
}

TEST_CASE("ranges: one of bytes, of this version") {
  const Headers answer = {{"etag", "\"1\""}};
  const auto ask = [&](const std::string& range, const std::string& condition = {}) {
    Headers headers = {{"range", range}};
    if (!condition.empty()) headers.emplace_back("if-range", condition);
    return asked_range(answer, request(headers), 100);
  };
  CHECK(ask("bytes=0-9")->size == 10);
  CHECK(ask("bytes=90-")->size == 10);
  CHECK(ask("bytes=-200")->size == 100);
  CHECK(ask("bytes=50-1000")->size == 50);
  CHECK_FALSE(ask("bytes=100-")->satisfiable);
  CHECK_FALSE(ask("bytes=-0")->satisfiable);
  CHECK_FALSE(ask("bytes=9-0"));
  CHECK_FALSE(ask("bytes=0-1,5-6"));
  CHECK_FALSE(ask("lines=0-1"));
  CHECK_FALSE(ask("bytes=a-b"));
  CHECK_FALSE(ask("bytes=99999999999999999999999-"));
  CHECK(ask("bytes=0-0", "\"1\"")->size == 1);
  CHECK_FALSE(ask("bytes=0-0", "\"2\""));
}

TEST_CASE("conditions: tags before dates") {
  const Headers answer = {{"etag", "W/\"1\""}, {"last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"}};
  CHECK(is_not_modified(answer, request({{"if-none-match", "\"0\", \"1\""}})));
  CHECK(is_not_modified(answer, request({{"if-none-match", "*"}})));
  CHECK_FALSE(
      is_not_modified(answer, request({{"if-none-match", "\"2\""},
                                       {"if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}})));
  CHECK(is_not_modified(answer, request({{"if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"}})));
  CHECK_FALSE(
      is_not_modified(answer, request({{"if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT"}})));
  CHECK_FALSE(is_not_modified(answer, request({{"if-modified-since", "yesterday"}})));
  CHECK_FALSE(is_not_modified(answer, request({})));
}

TEST_CASE("freshness: as long as the server says, by a clock that goes forward") {
  slipway::cache::Download answer;
  answer.status = 200;
  answer.recorded_s = 1000;
  CHECK_FALSE(is_fresh(answer, request({}), 1001));
  answer.headers = {{"cache-control", "public, max-age=60"}};
  CHECK(is_fresh(answer, request({}), 1059));
  CHECK_FALSE(is_fresh(answer, request({}), 1060));
  CHECK_FALSE(is_fresh(answer, request({}), 900));
  CHECK_FALSE(is_fresh(answer, request({{"cache-control", "no-cache"}}), 1001));
  answer.headers = {{"cache-control", "no-cache, max-age=60"}};
  CHECK_FALSE(is_fresh(answer, request({}), 1001));
  answer.pinned = true;
  CHECK(is_fresh(answer, request({{"cache-control", "no-cache"}}), 1'000'000));
}

TEST_CASE("headers: those of a connection and of parts do not go to the server") {
  const Headers sent = upstream_headers({{"host", "a"},
                                         {"accept", "*/*"},
                                         {"connection", "keep-alive, x-hop"},
                                         {"x-hop", "1"},
                                         {"range", "bytes=0-1"},
                                         {"proxy-authorization", "Basic eDp5"},
                                         {"transfer-encoding", "chunked"}},
                                        true);
  CHECK(sent == Headers{{"accept", "*/*"}});
}
