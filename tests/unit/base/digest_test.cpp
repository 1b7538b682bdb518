#include "base/digest.h"

#include "base/error.h"

using namespace slipway;

TEST_CASE("SHA-256 goes on from a saved state as if it had never stopped") {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  const std::string expected = sha256_hex(text);
  for (const size_t at : {0U, 1U, 63U, 64U, 65U, 128U, 200U, 300U}) {
    INFO(at);
    Sha256 first;
    first.update(text.data(), at);
    const std::string saved = first.save();
    CHECK(saved.size() == 40 + at % 64);
    CHECK(first.save() == saved);
    Sha256 second = Sha256::resume(saved);
    CHECK(second.save() == saved);
    second.update(text.data() + at, text.size() - at);
    CHECK(second.finish_hex() == expected);
    // Saving changed nothing.
    first.update(text.data() + at, text.size() - at);
    CHECK(first.finish_hex() == expected);
  }
}

TEST_CASE("a saved SHA-256 state is the same on every machine") {
  Sha256 hasher;
  hasher.update("abc", 3);
  CHECK(to_hex(hasher.save()) ==
        "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd190000000000000003616263");
}

TEST_CASE("what is no saved SHA-256 state is refused") {
  Sha256 hasher;
  hasher.update("abc", 3);
  const std::string good = hasher.save();
  std::string long_count = good;
  long_count[32] = '\x20';
  for (const std::string& bad :
       {std::string(), good.substr(0, 39), good.substr(0, 42), good + "x", long_count}) {
    try {
      (void)Sha256::resume(bad);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::machine);
      CHECK(error.cause() == "a kept state of a SHA-256 is malformed");
    }
  }
}
