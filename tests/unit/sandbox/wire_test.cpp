#include "sandbox/wire.h"

#include "base/error.h"
#include "catch2/catch.hpp"
#include "sandbox/protocol.h"

using namespace slipway;
using namespace slipway::sandbox;

TEST_CASE("wire: a step's whole specification comes over as it was") {
  ExecSpec spec;
  spec.root.layers = {3, 2, 1};
  spec.workspace = Workspace{9, {8, 7}};
  StepMount mount;
  mount.kind = StepMount::Kind::files;
  mount.files = {{"A", std::string("\0\n", 2)}};
  mount.owner = {1000, 1001};
  spec.mounts = {mount};
  spec.argv = {"sh", ""};
  spec.env = {{"K", "V"}};
  spec.timeout = std::chrono::milliseconds(1500);
  spec.network = graph::Network::host;
  Decoder decoder("");
  const std::string text = message(Request::exec, spec);
  decoder = Decoder(text);
  CHECK(decoder.next<Request>() == Request::exec);
  const auto copy = decoder.next<ExecSpec>();
  decoder.finish();
  CHECK(copy.root.layers == spec.root.layers);
  CHECK(copy.workspace->layers == spec.workspace->layers);
  CHECK(copy.mounts[0].files == mount.files);
  CHECK(copy.mounts[0].owner == mount.owner);
  CHECK(copy.argv == spec.argv);
  CHECK(copy.env == spec.env);
  CHECK(copy.timeout == spec.timeout);
  CHECK(copy.network == graph::Network::host);
}

TEST_CASE("wire: every cut of a message is an error, never a wild read (7)") {
  ExecSpec spec;
  spec.argv = {"sh", "-c", "true"};
  spec.env = {{"A", "B"}};
  const std::string text = message(spec);
  for (size_t size = 0; size < text.size(); ++size) {
    Decoder decoder(std::string_view(text).substr(0, size));
    CHECK_THROWS_AS(decoder.next<ExecSpec>(), Error);
  }
  const std::string longer = text + "x";
  Decoder surplus(longer);
  (void)surplus.next<ExecSpec>();
  CHECK_THROWS_AS(surplus.finish(), Error);
  // A count that promises more than came must not allocate.
  const std::string hostile(8, '\xff');
  Decoder huge(hostile);
  CHECK_THROWS_AS(huge.next<std::vector<std::string>>(), Error);
}

TEST_CASE("wire: errors keep code, cause, context and hint") {
  auto [ours, theirs] = make_socket_pair();
  CHECK_FALSE(reply_errors(theirs.get(), [] {
    Error error(ExitCode::app_files, "broken");
    error.add_context("unpacking");
    throw error.set_hint("repair it");
  }));
  std::string text;
  try {
    (void)read_reply(ours.get(), text);
    FAIL("must throw");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK(error.cause() == "broken");
    CHECK(error.context() == std::vector<std::string>{"unpacking"});
    CHECK(error.hint() == "repair it");
  }
  CHECK_FALSE(reply_errors(theirs.get(), [] { throw std::logic_error("impossible"); }));
  CHECK_THROWS_AS(read_reply(ours.get(), text), std::logic_error);
  theirs.reset();
  CHECK_THROWS_AS(read_reply(ours.get(), text), Error);
}
