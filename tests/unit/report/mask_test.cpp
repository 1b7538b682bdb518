#include "report/mask.h"

#include <random>

#include "report/encode.h"
#include "report/event.h"

using namespace slipway;
using namespace slipway::report;

namespace {

/// Keeps what it is told.
struct Collector : View {
  std::string output, notices;
  void on_event(const Event& event) override {
    if (const auto* piece = std::get_if<Output>(&event)) output += piece->data;
    if (const auto* notice = std::get_if<Notice>(&event)) {
      notices += notice->text + "\n";
      output += "<" + notice->text + ">";
    }
  }
};

std::string masked(const std::string& secret, const std::string& text) {
  Masker masker;
  masker.add(secret);
  return masker.mask(text);
}

}  // namespace

TEST_CASE("mask: a value is found wherever the pieces are cut") {
  const std::string secret = "s3cret-s3cr-value";
  const std::string text = "a s3cret-s3cret-s3cr-value b s3cret-s3cr-valu";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      Masker masker;
      masker.add(secret);
      std::string out = masker.push(1, text.substr(0, first));
      out += masker.push(1, text.substr(first, second - first));
      out += masker.push(1, text.substr(second));
      out += masker.flush(1);
      REQUIRE(out == "a s3cret-[redacted] b s3cret-s3cr-valu");
    }
  }
}

TEST_CASE("mask: only what may begin a secret is held back") {
  Masker masker;
  masker.add("password1");
  CHECK(masker.push(1, "-----> Fetching") == "-----> Fetching");
  CHECK(masker.push(1, " pass") == " ");
  CHECK(masker.push(2, "word1") == "word1");
  CHECK(masker.push(1, "ing\n") == "passing\n");
  CHECK(masker.held_streams().empty());
}

TEST_CASE("mask: of two values the longer one wins, also across pieces") {
  Masker masker;
  masker.add("abcdefgh");
  masker.add("abcdefghijkl");
  CHECK(masker.push(1, "abcdefgh").empty());
  CHECK(masker.push(1, "ijkl!") == "[redacted]!");
  CHECK(masker.push(1, "abcdefgh").empty());
  CHECK(masker.push(1, "x") == "[redacted]x");
  CHECK(masker.push(1, "abcdefghij").empty());
  CHECK(masker.flush(1) == "[redacted]ij");
}

TEST_CASE("mask: every form a secret takes in logs") {
  const std::string secret = "p@ss w\xc3\xb6rd/+?&=1";
  for (const std::string prefix : {"", "u", "us", "usr", "user"}) {
    const std::string header = base64(prefix + ":" + secret + "!");
    const std::string shown = masked(secret, header);
    INFO(header);
    CHECK(shown.find("[redacted]") != std::string::npos);
    CHECK(shown.size() < header.size());
  }
  CHECK(masked(secret, "x" + base64(secret)).starts_with("x[redacted]"));
  CHECK(masked(secret, "?p=p%40ss%20w%C3%B6rd%2F%2B%3F%26%3D1&") == "?p=[redacted]&");
  CHECK(masked("tab\tand \"quotes\"", "{\"a\":\"tab\\tand \\\"quotes\\\"\"}") ==
        "{\"a\":\"[redacted]\"}");
}

TEST_CASE("mask: a value of several lines is masked whole and line by line") {
  const std::string key = "-----BEGIN KEY-----\nMIIEabcdefgh\nshort\n-----END KEY-----\n";
  CHECK(masked(key, key) == "[redacted]");
  CHECK(masked(key, "    MIIEabcdefgh\n    short\n") == "    [redacted]\n    short\n");
  CHECK(masked(key, key.substr(0, key.size() - 1) + "|") == "[redacted]|");
  const std::string wrapped = base64(std::string(100, 'k') + std::string(20, 'z'));
  const std::string shown = masked(std::string(100, 'k') + std::string(20, 'z'),
                                   wrapped.substr(0, 76) + "\n" + wrapped.substr(76) + "\n");
  CHECK(shown.find(wrapped.substr(0, 12)) == std::string::npos);
  CHECK(shown.find(wrapped.substr(100, 12)) == std::string::npos);
}

TEST_CASE("mask: short values are refused, not half masked") {
  Masker masker;
  CHECK_FALSE(masker.add("1234567"));
  CHECK(masker.add("12345678"));
  CHECK_FALSE(masker.add(""));
  CHECK(masker.mask("1234567") == "1234567");
}

TEST_CASE("mask: random streams never show a secret and lose nothing else") {
  std::mt19937 random(11);
  const std::vector<std::string> secrets{"aabaabaab", "abababab", "bbbbbbbbb"};
  for (int round = 0; round < 300; ++round) {
    Masker masker;
    for (const std::string& secret : secrets) masker.add(secret);
    std::string text;
    for (int i = 0; i < 60; ++i) text += "ab"[random() % 8 == 0 ? 1 : random() % 2];
    std::string pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % 9;
      pieces += masker.push(1, text.substr(at, size));
      at += size;
    }
    pieces += masker.flush(1);
    REQUIRE(pieces == masker.mask(text));
    for (const std::string& secret : secrets) REQUIRE(pieces.find(secret) == std::string::npos);
  }
}

TEST_CASE("stream: masks output and notices, keeps their order, flushes at the end") {
  Stream stream;
  const auto seen = std::make_shared<Collector>();
  stream.add_view(seen);
  CHECK(stream.mask("supersecret"));
  CHECK_FALSE(stream.mask("short"));
  stream.emit(Output{1, "x super"});
  stream.step("token supersecret");
  stream.emit(Output{1, "secret y supe"});
  CHECK(seen->output == "x <token [redacted]>[redacted] y ");
  stream.emit(StepFinished{1, "t"});
  CHECK(seen->output == "x <token [redacted]>[redacted] y supe");
  stream.emit(Output{0, "s"});
  stream.detail("d");
  CHECK(seen->output.ends_with("supes<d>"));
  stream.emit(Output{2, "sup"});
  stream.emit(BuildFinished{});
  CHECK(seen->output.ends_with("<d>sup"));
}

TEST_CASE("stream: a view that fails is dropped and the others are told") {
  struct Broken : View {
    void on_event(const Event&) override { throw std::runtime_error("disk full"); }
  };
  Stream stream;
  stream.add_view(std::make_shared<Broken>());
  const auto seen = std::make_shared<Collector>();
  stream.add_view(seen);
  stream.detail("one");
  stream.detail("two");
  CHECK(seen->notices == "one\nan output ended early: disk full\ntwo\n");
}
