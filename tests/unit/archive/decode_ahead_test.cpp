#include "archive/decode_ahead.h"

#include "base/error.h"

using namespace slipway;
using namespace slipway::archive;
using Catch::Matchers::Contains;

namespace {

// `size` bytes of a pattern in pieces of odd sizes; then an error, if asked for.
class Source : public Decoder {
 public:
  Source(size_t size, bool fails) : size_(size), fails_(fails) {}
  size_t read(char* out, size_t size) override {
    if (done_ == size_) {
      if (fails_) fail(ExitCode::outside, "damaged");
      return 0;
    }
    const size_t part = std::min({size, size_ - done_, size_t{1013}});
    for (size_t i = 0; i < part; ++i) out[i] = byte(done_ + i);
    done_ += part;
    return part;
  }
  bool trailing_garbage() const override { return true; }
  static char byte(size_t at) { return static_cast<char>(at * 31 + at / 251); }

 private:
  size_t size_, done_ = 0;
  bool fails_;
};

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = Source::byte(i);
  return text;
}

}  // namespace

TEST_CASE("ahead: every byte comes once, in order, whatever the sizes") {
  for (const size_t size : {0U, 1U, 262'143U, 262'144U, 262'145U, 5'000'000U}) {
    INFO(size);
    DecodeAhead ahead(std::make_unique<Source>(size, false), true);
    std::string text(size + 10, '\0');
    size_t done = 0;
    size_t want = 1;
    while (const size_t count =
               ahead.read(text.data() + done, std::min(want, text.size() - done))) {
      done += count;
      want = want % 70'000 + 997;
    }
    CHECK(done == size);
    text.resize(done);
    CHECK(text == pattern(size));
    CHECK(ahead.sha256() == sha256_hex(pattern(size)));
    CHECK(ahead.trailing_garbage());
  }
}

TEST_CASE("ahead: damage is told after what came before it") {
  DecodeAhead ahead(std::make_unique<Source>(300'000, true), false);
  std::string text;
  char buffer[4096];
  try {
    while (const size_t count = ahead.read(buffer, sizeof buffer)) text.append(buffer, count);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.cause() == "damaged");
  }
  // Whole blocks; what was decoded with the damage in one block is lost with it.
  CHECK(text == pattern(300'000).substr(0, text.size()));
  CHECK(text.size() == 262'144);
}

TEST_CASE("ahead: who stops reading early waits for nobody") {
  for (const size_t read : {0U, 10U, 600'000U}) {
    DecodeAhead ahead(std::make_unique<Source>(50'000'000, false), true);
    std::string text(read, '\0');
    for (size_t done = 0; done < read;) done += ahead.read(text.data() + done, read - done);
    CHECK(text == pattern(read));
  }
}
