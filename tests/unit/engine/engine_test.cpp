#include <thread>

#include "base/text.h"
#include "engine/rig.h"

using namespace slipway;
using namespace slipway::engine;
using slipway::tests::done;
using slipway::tests::FakeWorker;
using slipway::tests::Rig;

namespace {

graph::NodeRef source_node() {
  graph::LocalOp op;
  op.name = "source";
  op.prefix = "tmp/build";
  return graph::Node::make(op);
}

graph::ExecOp command_op(const std::string& word) {
  graph::ExecOp op;
  op.argv = {word};
  return op;
}

// source → workspace → "compile" → seal
struct Pipe1 {
  graph::NodeRef workspace, compile, seal;
  explicit Pipe1(const std::string& word = "compile", std::vector<std::string> config = {}) {
    graph::WorkspaceOp op;
    op.dirs = {{"tmp", 01777, {}}, {"tmp/build", 0755, {}}, {"tmp/cache", 0755, {}}};
    op.cache_id = "app";
    op.cache_path = "tmp/cache";
    op.watched_path = "tmp/build";
    workspace = graph::Node::make(op, {source_node()});
    graph::ExecOp exec = command_op(word);
    graph::Mount mount;
    mount.type = graph::MountType::workspace;
    mount.input = 0;
    mount.selector = "tmp";
    mount.dest = "/tmp";
    exec.mounts = {mount};
    exec.config_names = std::move(config);
    if (!exec.config_names.empty()) exec.config_dir = "/env";
    compile = graph::Node::make(exec, {workspace}, {.title = "compile x"});
    seal = graph::Node::make(graph::SealOp{"tmp/build"}, {compile}, {.title = "seal"});
  }
};

}  // namespace

TEST_CASE("an unchanged pipeline is answered from the store and starts no worker") {
  Rig rig;
  rig.write("a.txt", "one");
  rig.command = [](const auto&, const fs::path& upper, const auto&) {
    write_file_atomic(upper / "tmp/build/made", "result");
    return done();
  };
  const Pipe1 pipe;
  const Solved first = rig.build([&](Engine& engine) { return engine.solve(pipe.seal); });
  CHECK(rig.commands_run == 1);
  CHECK_FALSE(first.cached);
  const archive::Tree tree = rig.store->read_tree(first.result.trees.at(0));
  REQUIRE(tree.entries.size() == 2);
  CHECK(tree.entries[0].path == "a.txt");
  CHECK(tree.entries[1].path == "made");

  const auto second = rig.build([&](Engine& engine) {
    const auto known = engine.lookup(pipe.seal);
    CHECK_FALSE(engine.worker_started());
    return known;
  });
  REQUIRE(second);
  CHECK(second->result.snapshot == first.result.snapshot);
}

TEST_CASE("--explain names the first input that differs") {
  Rig rig;
  rig.write("lib/a.ex", "one");
  rig.config = {{"KEY", "old"}};
  const auto build = [&](const Pipe1& pipe) {
    rig.build([&](Engine& engine) { return engine.solve(pipe.seal); });
  };
  build(Pipe1("compile", {"KEY"}));
  CHECK(rig.why("compile x") == "never built before");
  rig.write("lib/a.ex", "two");
  build(Pipe1("compile", {"KEY"}));
  CHECK(rig.why("compile x") == "file lib/a.ex changed");
  rig.write("lib/b.ex", "new");
  build(Pipe1("compile", {"KEY"}));
  CHECK(rig.why("compile x") == "file lib/b.ex added");
  fs::remove(rig.source() / "lib/b.ex");
  build(Pipe1("compile", {"KEY"}));
  CHECK(rig.why("compile x") == "file lib/b.ex removed");
  rig.config["KEY"] = "new";
  build(Pipe1("compile", {"KEY"}));
  CHECK(rig.why("compile x") == "config var KEY changed");
  build(Pipe1("compile-2", {"KEY"}));
  CHECK(rig.why("compile x") == "command changed from '7:compile' to '9:compile-2'");
}

TEST_CASE("times and the cache's content are no inputs; a file's mode is") {
  Rig rig;
  rig.write("run.sh", "x");
  const Pipe1 pipe;
  const auto cached = [&] {
    return rig.build([&](Engine& engine) { return engine.lookup(pipe.seal).has_value(); });
  };
  rig.build([&](Engine& engine) { return engine.solve(pipe.seal); });
  fs::last_write_time(rig.source() / "run.sh",
                      fs::file_time_type::clock::now() - std::chrono::hours(100));
  CHECK(cached());
  fs::permissions(rig.source() / "run.sh", fs::perms(0755));
  CHECK_FALSE(cached());
}

TEST_CASE("what a good build left in CACHE_DIR is there next time; a failed one leaves it alone") {
  Rig rig;
  rig.write("a", "1");
  std::string seen;
  bool fail_now = false;
  rig.command = [&](const sandbox::ExecSpec& spec, const fs::path& upper, const auto&) {
    seen.clear();
    for (const cache::SnapshotId id : spec.workspace->layers) {
      const fs::path file = rig.store->snapshots_dir() / std::to_string(id) / "fs/tmp/cache/deps";
      if (fs::exists(file)) {
        seen = read_file(file);
        break;
      }
    }
    write_file_atomic(upper / "tmp/cache/deps",
                      fail_now ? "broken" : "v" + read_file(rig.source() / "a"));
    return done(fail_now ? 7 : 0);
  };
  const Pipe1 pipe;
  const auto build = [&] { rig.build([&](Engine& engine) { return engine.solve(pipe.seal); }); };
  build();
  CHECK(seen.empty());
  rig.write("a", "2");
  build();
  CHECK(seen == "v1");
  rig.write("a", "3");
  fail_now = true;
  CHECK_THROWS_AS(build(), StepFailed);
  fail_now = false;
  build();
  CHECK(seen == "v2");
}

TEST_CASE("a failed step carries exit 1 and how it ended; nothing is cached") {
  Rig rig;
  rig.write("a", "1");
  rig.command = [](const auto&, const auto&, const auto&) { return done(7); };
  const Pipe1 pipe;
  try {
    rig.build([&](Engine& engine) { return engine.solve(pipe.seal); });
    FAIL("did not fail");
  } catch (const StepFailed& error) {
    CHECK(error.code() == ExitCode::build_failed);
    CHECK(error.cause() == "compile x: exit 7");
  }
  CHECK_FALSE(rig.build([&](Engine& engine) { return engine.lookup(pipe.seal).has_value(); }));
}

TEST_CASE("independent steps run side by side, a shared one once") {
  Rig rig;
  std::atomic<int> inside{0}, most{0};
  rig.command = [&](const sandbox::ExecSpec& spec, const auto&, const auto&) {
    if (spec.argv[0] == "base") return done();
    most = std::max(most.load(), ++inside);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    --inside;
    return done();
  };
  const graph::NodeRef base = graph::Node::make(command_op("base"));
  const graph::NodeRef left = graph::Node::make(command_op("left"), {base});
  const graph::NodeRef right = graph::Node::make(command_op("right"), {base});
  const graph::NodeRef top = graph::Node::make(command_op("base"), {left, right});
  rig.build([&](Engine& engine) { return engine.solve(top); });
  CHECK(most == 2);
  CHECK(rig.commands_run == 4);
}

TEST_CASE("the same step asked for by two engines at once runs once") {
  Rig rig;
  std::atomic<int> runs{0};
  rig.command = [&](const auto&, const auto&, const auto&) {
    ++runs;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    return done();
  };
  const graph::NodeRef node = graph::Node::make(command_op("once"));
  const auto other_store = cache::Store::open(rig.dir.path() / "store");
  const auto solve_in = [&](cache::Store& store) {
    Options options;
    options.store = &store;
    options.stream = &rig.stream;
    options.cancel = &rig.cancel;
    options.app_id = "app";
    options.start_worker = [&](const sandbox::WorkerOptions&) {
      return std::make_unique<FakeWorker>(store, rig.command);
    };
    Engine engine(std::move(options));
    (void)engine.solve(node);
  };
  std::thread second([&] { solve_in(*other_store); });
  solve_in(*rig.store);
  second.join();
  CHECK(runs == 1);
}

TEST_CASE("cancel stops before the next step and is exit 130") {
  Rig rig;
  rig.command = [&](const auto&, const auto&, const auto&) {
    rig.cancel.request();
    return done();
  };
  const graph::NodeRef first = graph::Node::make(command_op("first"));
  const graph::NodeRef second = graph::Node::make(command_op("second"), {first});
  try {
    rig.build([&](Engine& engine) { return engine.solve(second); });
    FAIL("went on");
  } catch (const Interrupted& error) {
    CHECK(error.code() == ExitCode::interrupted);
  }
  CHECK(rig.commands_run == 1);
}

TEST_CASE("--no-cache runs what is known, and stores it again") {
  Rig rig;
  const graph::NodeRef node = graph::Node::make(command_op("x"));
  const auto solve = [&](bool no_cache) {
    return rig.build([&](Engine& engine) { return engine.solve(node).cached; }, no_cache);
  };
  CHECK_FALSE(solve(false));
  CHECK(solve(false));
  CHECK_FALSE(solve(true));
  CHECK(solve(false));
}

TEST_CASE(
    "what came from a cache, or stands on it, is for builds that name the cache (threat 18)") {
  Rig rig;
  const graph::NodeRef first = graph::Node::make(command_op("first"));
  const graph::NodeRef second = graph::Node::make(command_op("second"), {first});
  Digest key;
  rig.build([&](Engine& engine) { return key = engine.key(first); });
  RemoteResults branch;
  branch.origins = {"branch"};
  branch.first_key = [&](const Digest& asked) {
    return asked == key ? std::optional(key) : std::nullopt;
  };
  branch.find = [&](Engine&, const Digest& asked) -> std::optional<cache::Result> {
    if (asked != key) return std::nullopt;
    cache::Result result;
    result.extra = {{"key", key.hex()}, {"created", 1}, {"origin", {"branch"}}};
    return result;
  };
  const auto solve = [&](const RemoteResults& remote) {
    rig.remote = remote;
    const bool cached = rig.build([&](Engine& engine) { return engine.solve(second).cached; });
    return std::pair(cached, rig.commands_run);
  };
  // The first step comes from the cache, the second runs on it; then both are known.
  CHECK(solve(branch) == std::pair(false, 1));
  CHECK(solve(branch) == std::pair(true, 0));
  // Another cache's name opens nothing.
  RemoteResults other;
  other.origins = {"main"};
  CHECK(solve(other) == std::pair(false, 2));
  // What was made here is for all.
  CHECK(solve({}) == std::pair(true, 0));
  CHECK(solve(branch) == std::pair(true, 0));
}

TEST_CASE("a cache that knows only first keys leads to results above them") {
  Rig rig;
  const graph::NodeRef first = graph::Node::make(command_op("first"));
  const graph::NodeRef second = graph::Node::make(command_op("second"), {first});
  const Digest unusual = hash_bytes("as after --no-cache");
  const Digest below = rig.build([&](Engine& engine) { return engine.key(first); });
  rig.remote.first_key = [&](const Digest& asked) {
    return asked == below ? std::optional(unusual) : std::nullopt;
  };
  const Digest above = rig.build([&](Engine& engine) { return engine.key(second); });
  rig.remote.origins = {"cache"};
  rig.remote.find = [&](Engine&, const Digest& asked) -> std::optional<cache::Result> {
    if (asked != above) return std::nullopt;
    cache::Result result;
    result.extra = {{"key", above.hex()}, {"origin", {"cache"}}};
    return result;
  };
  CHECK(rig.build([&](Engine& engine) { return engine.solve(second).cached; }));
  CHECK(rig.commands_run == 0);
  rig.remote.first_key = nullptr;
  CHECK(rig.build([&](Engine& engine) { return engine.key(second); }) != above);
}

TEST_CASE("a second copy of a changed source stacks on the first and hides what is gone") {
  Rig rig;
  rig.write("same", "same");
  rig.write("dir/gone", "x");
  rig.write("change", "1");
  rig.write("deep/er/file", "1");
  rig.write("deep/er/gone", "1");
  const graph::NodeRef node = source_node();
  const auto solve = [&] {
    return rig.build([&](Engine& engine) { return engine.solve(node).result; });
  };
  const cache::Result first = solve();
  fs::remove_all(rig.source() / "dir");
  rig.write("deep/er/file", "2");
  fs::remove(rig.source() / "deep/er/gone");
  rig.write("change", "2");
  const cache::Result second = solve();
  const auto chain = rig.store->chain(second.snapshot);
  REQUIRE(chain.size() == 2);
  CHECK(chain[1] == first.snapshot);
  const fs::path layer =
      rig.store->snapshots_dir() / std::to_string(second.snapshot) / "fs/tmp/build";
  CHECK(read_file(layer / "change") == "2");
  CHECK_FALSE(fs::exists(layer / "same"));
  CHECK(fs::is_character_file(fs::symlink_status(layer / "dir")));
  const archive::Tree tree = rig.store->read_tree(second.trees.at(0));
  REQUIRE(tree.entries.size() == 5);
  CHECK(read_file(layer / "deep/er/file") == "2");
  CHECK(fs::is_character_file(fs::symlink_status(layer / "deep/er/gone")));
}
