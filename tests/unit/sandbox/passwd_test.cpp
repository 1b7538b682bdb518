#include "sandbox/passwd.h"

#include "base/error.h"
#include "catch2/catch.hpp"

using namespace slipway;
using namespace slipway::sandbox;

namespace {

constexpr const char* passwd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment\n"
    "broken line\n"
    "short:x:1\n"
    "app:x:1000:1001::/app:/bin/sh\n"
    "huge:x:4294967296:0::/:/bin/sh\n"
    "negative:x:-1:0::/:/bin/sh\n"
    "keep:x:4294967295:0::/:/bin/sh\n";
constexpr const char* group =
    "root:x:0:\n"
    "dyno:x:1001:app\n"
    "docker:x:999:other,app,root\n"
    "audio:x:29:app\n"
    "audio2:x:29:app\n"
    "bad:x:99999999999:app\n";

ExitCode failure(std::string_view user) {
  try {
    (void)resolve_user(user, passwd, group);
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::ok;
}

}  // namespace

TEST_CASE("passwd: a name has its entry's group, home and supplementary groups") {
  const StepUser user = resolve_user("app", passwd, group);
  CHECK(user.uid == 1000);
  CHECK(user.gid == 1001);
  CHECK(user.home == "/app");
  CHECK(user.groups == std::vector<uint32_t>{29, 999, 1001});
}

TEST_CASE("passwd: numbers need no entry; a group given stands alone") {
  CHECK(resolve_user("1234", passwd, group).uid == 1234);
  CHECK(resolve_user("1234", passwd, group).gid == 0);
  CHECK(resolve_user("1000", passwd, group).gid == 1001);
  const StepUser both = resolve_user("app:audio", passwd, group);
  CHECK(both.gid == 29);
  CHECK(both.groups == std::vector<uint32_t>{29});
  CHECK(resolve_user("1234", passwd, group).groups == std::vector<uint32_t>{0});
  CHECK(resolve_user("7:8", "", "").gid == 8);
}

TEST_CASE("passwd: ids are unsigned 32-bit decimals (17)") {
  for (const char* user :
       {"-1",   "4294967296",   "4294967295", "0x0",    "+0",
        "1 ",   " 1",           "root ",      "",       ":0",
        "0:-1", "0:4294967296", "0:",         "0:0x1",  "0:nogroup",
        "huge", "negative",     "keep",       "nobody", "00000000000000000000000000000000001x"}) {
    INFO(user);
    CHECK(failure(user) == ExitCode::app_files);
  }
}

TEST_CASE("passwd: hostile files are read within bounds (7)") {
  // A line of megabytes is passed over; the entry after it is found.
  const std::string long_line = "evil:x:0:0:" + std::string(1 << 20, 'a') + ":/:/bin/sh\n";
  CHECK(resolve_user("app", long_line + passwd, group).uid == 1000);
  const std::string many_members = "g:x:5:" + std::string(1 << 20, ',') + "\n";
  CHECK(resolve_user("app", passwd, many_members + group).groups ==
        std::vector<uint32_t>{29, 999, 1001});
  CHECK(resolve_user("app", std::string(passwd) + std::string("\0\n\0", 3), group).uid == 1000);
  // Past the limit nothing is looked at.
  std::string endless(passwd_file_max, '\n');
  endless += passwd;
  CHECK_THROWS_AS(resolve_user("app", endless, group), Error);
}
