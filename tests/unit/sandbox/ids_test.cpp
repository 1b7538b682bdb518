#include "sandbox/ids.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "catch2/catch.hpp"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;

TEST_CASE("ids: the largest range of the name or the number is taken") {
  const char* text =
      "other:1:999999\nme:100000:10\nme:200000:65536\n1000:300000:100\n"
      "me:abc:5\nme:1\nme:4294967295:10\nme:0:70000\n\n";
  CHECK(find_subids(text, "me", 1000)->outside == 200000);
  CHECK(find_subids(text, "me", 1000)->count == 65536);
  CHECK(find_subids(text, "", 1000)->outside == 300000);
  CHECK_FALSE(find_subids(text, "nobody", 7));
  CHECK_FALSE(find_subids("", "me", 1000));
}

TEST_CASE("ids: the plan fits the user and is never an identity map") {
  const IdPlan plan = plan_ids(1879048192);
  if (geteuid() == 0 && plan.kind == IdPlan::Kind::root_range) {
    CHECK(plan.uids.outside == 1879048192);
    CHECK(plan.uids.count == 65536);
    CHECK(plan.describe() == "ids 0-65535 at 1879048192");
  } else if (plan.kind == IdPlan::Kind::subids) {
    CHECK(plan.self_uid == geteuid());
    CHECK(plan.uids.count == 65535);
    CHECK(plan.uids.outside != 0);
  } else {
    CHECK(plan.single_id());
    CHECK_THAT(plan.describe(), Contains("a single id: "));
    CHECK_FALSE(plan.why_single.empty());
  }
}

TEST_CASE("ids: a program starts in namespaces of its own and its end is seen") {
  const TempDir dir = TempDir::create("slipway-ids");
  for (const char* name : {"snapshots", "caches"}) make_directories(dir.path() / name, 0700);
  auto [ours, theirs] = make_socket_pair();
  const Fd program = open_file("/bin/true", O_RDONLY);
  Child worker =
      start_in_namespaces({plan_ids(1879048192), dir.path().string(), program.get(), theirs.get()});
  theirs.reset();
  CHECK(worker.wait().ok());
  // Nobody else holds the control socket: its end is the parent's sign.
  std::string text;
  std::vector<Fd> fds;
  CHECK_FALSE(receive_message(ours.get(), text, fds));
}

TEST_CASE("ids: a store that is not there is told with what was being done") {
  auto [ours, theirs] = make_socket_pair();
  const Fd program = open_file("/bin/sh", O_RDONLY);
  try {
    (void)start_in_namespaces(
        {plan_ids(1879048192), "/no/such/store", program.get(), theirs.get()});
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    CHECK_THAT(error.what(), Contains("enter the store"));
    CHECK_THAT(error.what(), Contains("starting the sandbox"));
  }
}

TEST_CASE("ids: there is a remedy for every machine") {
  CHECK_FALSE(user_namespace_remedy().empty());
}
