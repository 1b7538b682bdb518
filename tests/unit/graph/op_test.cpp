#include "graph/op.h"

using namespace slipway;
using namespace slipway::graph;

namespace {
NodeRef exec(std::vector<std::string> argv, std::vector<NodeRef> inputs = {}, Description d = {}) {
  ExecOp op;
  op.argv = std::move(argv);
  return Node::make(op, std::move(inputs), std::move(d));
}
}  // namespace

TEST_CASE("equal definitions have one digest, titles do not count") {
  CHECK(exec({"a"})->digest() == exec({"a"}, {}, {.title = "other"})->digest());
  CHECK(exec({"a"})->digest() != exec({"b"})->digest());
}

TEST_CASE("different definitions never share a digest (threat 18)") {
  CHECK(exec({"a b"})->digest() != exec({"a", "b"})->digest());
  CHECK(exec({"1:a"})->digest() != exec({"a"})->digest());
  ExecOp with_env;
  with_env.argv = {"a"};
  with_env.env = {{"X", "1"}, {"Y", "2"}};
  ExecOp swapped = with_env;
  std::swap(swapped.env[0], swapped.env[1]);
  CHECK(Node::make(with_env)->digest() != Node::make(swapped)->digest());
  ExecOp quiet = with_env;
  quiet.network = Network::none;
  CHECK(Node::make(with_env)->digest() != Node::make(quiet)->digest());
}

TEST_CASE("a digest covers the inputs, all the way down") {
  const NodeRef left = exec({"top"}, {exec({"a"})});
  const NodeRef right = exec({"top"}, {exec({"b"})});
  CHECK(left->digest() != right->digest());
}

TEST_CASE("which cache a workspace restores is no part of its digest") {
  WorkspaceOp one, two;
  one.cache_id = "app-1";
  two.cache_id = "app-2";
  CHECK(Node::make(one)->digest() == Node::make(two)->digest());
}

TEST_CASE("topological order lists inputs first and a shared one once, at any depth") {
  const NodeRef base = exec({"base"});
  const NodeRef left = exec({"l"}, {base});
  const NodeRef right = exec({"r"}, {base});
  const NodeRef top = Node::make(MergeOp{}, {left, right});
  const auto order = topological_order(top);
  REQUIRE(order.size() == 4);
  CHECK(order.front() == base);
  CHECK(order.back() == top);
  NodeRef deep = base;
  for (int i = 0; i < 100000; ++i) deep = exec({"step"}, {deep});
  CHECK(topological_order(deep).size() == 100001);
  // Release the chain from the top without recursion deep enough to overflow the stack.
  while (!deep->inputs().empty()) deep = NodeRef(deep->inputs()[0]);
}
