#include "sandbox/mode_text.h"

#include "base/error.h"
#include "catch2/catch.hpp"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;

namespace {

uint32_t applied(const char* text, uint32_t mode, bool folder = false) {
  return ModeChange::parse(text).apply(mode, folder);
}

}  // namespace

TEST_CASE("mode text: octal replaces, setuid and sticky bits included") {
  CHECK(applied("755", 0600) == 0755);
  CHECK(applied("0", 0600) == 0);
  CHECK(applied("4755", 0600) == 04755);
  CHECK(applied("7777", 0600) == 07777);
}

TEST_CASE("mode text: symbolic forms are chmod's") {
  CHECK(applied("u=rw,g=r,o=r", 0777) == 0644);
  CHECK(applied("a+X", 0644) == 0644);
  CHECK(applied("a+X", 0744) == 0755);
  CHECK(applied("a+X", 0644, true) == 0755);
  CHECK(applied("u=rwX,go=rX", 0600) == 0644);
  CHECK(applied("u=rwX,go=rX", 0700) == 0755);
  CHECK(applied("g=u", 0740) == 0770);
  CHECK(applied("go-rwx", 0777) == 0700);
  CHECK(applied("+x", 0644) == 0755);
  CHECK(applied("-x", 0755) == 0644);
  CHECK(applied("=r", 0777) == 0444);
  CHECK(applied("u+s,g+s", 0755) == 06755);
  CHECK(applied("o+s", 0755) == 0755);
  CHECK(applied("+t", 0755) == 01755);
  CHECK(applied("u=,g+w-r", 0640) == 0020);
  CHECK(applied("u=rwx", 04000) == 0700);
  // X looks at the file as it was, not at what earlier clauses made of it.
  CHECK(applied("a-x,a+X", 0744) == 0755);
}

TEST_CASE("mode text: anything else is the user's mistake") {
  for (const char* text : {"64a", "8", "10000", "u", "u=q", "x", "u+rw,", ",u+r", "", "u~r", "rwx",
                           "u=rw g=r", "99999999999999999999"}) {
    INFO(text);
    try {
      (void)ModeChange::parse(text);
      FAIL("was accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::app_files);
      CHECK_THAT(error.hint(), Contains("octal"));
    }
  }
}
