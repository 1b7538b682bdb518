// What makes a Dockerfile's steps run again (dockerfile.md §7 and catalogue 29, 63, 64, 70, 75).
#include <thread>

#include "base/text.h"
#include "engine/rig.h"

using namespace slipway;
using namespace slipway::engine;
using slipway::tests::Rig;

namespace {

graph::NodeRef context() {
  return graph::Node::make(graph::LocalOp{.name = "context"}, {}, {.title = "context"});
}
graph::NodeRef image(const std::string& name) {
  return graph::Node::make(graph::ImageOp{name}, {}, {.title = "FROM " + name});
}

graph::NodeRef run(const graph::NodeRef& root, const std::string& command,
                   std::vector<graph::Mount> mounts = {}, std::vector<graph::NodeRef> more = {},
                   bool no_cache = false) {
  graph::ExecOp op;
  op.argv = {"/bin/sh", "-c", command};
  graph::Mount at;
  at.dest = "/";
  at.input = root ? 0 : -1;
  at.output = 0;
  op.mounts = {at};
  op.mounts.insert(op.mounts.end(), mounts.begin(), mounts.end());
  std::vector<graph::NodeRef> inputs;
  if (root) inputs.push_back(root);
  inputs.insert(inputs.end(), more.begin(), more.end());
  return graph::Node::make(op, inputs, {.title = "RUN " + command, .ignore_cache = no_cache});
}

graph::NodeRef copy(const graph::NodeRef& root, const graph::NodeRef& from,
                    const std::string& source, const std::string& dest,
                    const std::function<void(graph::FileAction&)>& change = {}) {
  graph::FileAction action;
  action.source = source;
  action.dest = dest;
  action.source_input = root ? 1 : 0;
  if (change) change(action);
  graph::FileOp op{{action}, !root};
  std::vector<graph::NodeRef> inputs;
  if (root) inputs.push_back(root);
  inputs.push_back(from);
  return graph::Node::make(op, inputs,
                           {.title = "COPY " + source + " " + dest, .file = "Dockerfile:3"});
}

/// Steps that ran, in order of their titles, heredocs and sources left out.
std::string ran(const Rig& rig) {
  std::string titles;
  for (const auto& step : rig.finished)
    if (step.outcome == report::StepFinished::Outcome::ran && !starts_with(step.title, "context"))
      titles += (titles.empty() ? "" : ", ") + step.title;
  return titles;
}

void solve(Rig& rig, const graph::NodeRef& node, bool no_cache = false) {
  (void)rig.build([&](Engine& engine) { return engine.solve(node); }, no_cache);
}

/// The file that a result's own layer has.
std::string layer_file(Rig& rig, const graph::NodeRef& node, const std::string& path) {
  const Solved solved = rig.build([&](Engine& engine) { return engine.solve(node); });
  const fs::path file =
      rig.store->snapshots_dir() / std::to_string(solved.result.snapshot) / "fs" / path;
  return fs::exists(file) ? read_file(file) : "(absent)";
}

}  // namespace

TEST_CASE("keys: a copy depends on what it names, and on nothing else of the context (K7, K8)") {
  Rig rig;
  rig.write("foo1", "1");
  rig.write("foo2", "2");
  rig.write("bar", "3");
  rig.write("d/x", "4");
  const graph::NodeRef node = copy(nullptr, context(), "foo*", "/files/");
  solve(rig, node);
  CHECK(ran(rig) == "COPY foo* /files/");
  rig.write("bar", "changed");
  rig.write("d/x", "changed");
  fs::last_write_time(rig.source() / "foo1",
                      fs::file_time_type::clock::now() - std::chrono::hours(9));
  solve(rig, node);
  CHECK(ran(rig).empty());
  rig.write("foo2", "changed");
  solve(rig, node);
  CHECK(ran(rig) == "COPY foo* /files/");
  CHECK(rig.why("COPY foo* /files/") == "file foo2 changed");
  fs::permissions(rig.source() / "foo2", fs::perms(0700));
  solve(rig, node);
  CHECK(rig.why("COPY foo* /files/") == "file foo2: mode changed from 644 to 700");
  fs::rename(rig.source() / "foo1", rig.source() / "foo3");
  solve(rig, node);
  CHECK(rig.why("COPY foo* /files/") == "file foo1 removed");
}

TEST_CASE("keys: what is excluded does not count, a missing file is told with its place") {
  Rig rig;
  rig.write("src/main.go", "1");
  rig.write("src/notes.md", "2");
  const graph::NodeRef node = copy(nullptr, context(), "src", "/app/",
                                   [](graph::FileAction& action) { action.exclude = {"**/*.md"}; });
  solve(rig, node);
  rig.write("src/notes.md", "changed");
  rig.write("src/more.md", "new");
  solve(rig, node);
  CHECK(ran(rig).empty());
  try {
    solve(rig, copy(nullptr, context(), "src/mian.go", "/app/"));
    FAIL("must not be found");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::app_files);
    CHECK(error.cause() == "'/src/mian.go' does not exist");
    CHECK(error.hint() == "did you mean '/src/main.go'?");
    REQUIRE(error.pos());
    CHECK(error.pos()->to_string() == "Dockerfile:3");
  }
  CHECK(rig.commands_run == 0);
}

TEST_CASE("keys: steps below a changed copy run again, those above and beside do not") {
  Rig rig;
  rig.write("package.json", "1");
  rig.write("app.js", "2");
  const graph::NodeRef base = image("base");
  const graph::NodeRef deps = copy(base, context(), "package.json", "/app/");
  const graph::NodeRef install = run(deps, "npm ci");
  const graph::NodeRef all = copy(install, context(), ".", "/app/");
  const graph::NodeRef build = run(all, "npm run build");
  solve(rig, build);
  CHECK(ran(rig) ==
        "FROM base, COPY package.json /app/, RUN npm ci, COPY . /app/, "
        "RUN npm run build");
  rig.write("app.js", "changed");
  solve(rig, build);
  CHECK(ran(rig) == "COPY . /app/, RUN npm run build");
  CHECK(rig.why("RUN npm run build") == "file app.js changed");
  solve(rig, build);
  CHECK(ran(rig).empty());
  CHECK(rig.commands_run == 0);
}

TEST_CASE("keys: a stage that ran again to the same content changes nothing after it (K1)") {
  Rig rig;
  rig.write("a.c", "1");
  rig.command = [](const sandbox::ExecSpec& spec, const fs::path& upper, const auto&) {
    make_directories(upper / "out");
    // The comment in the source does not change what is built.
    write_file_atomic(upper / "out/bin", "program");
    write_file_atomic(upper / "out/log", spec.argv[2]);
    return slipway::tests::done();
  };
  const auto final = [&](const std::string& command) {
    const graph::NodeRef stage = run(copy(nullptr, context(), "a.c", "/src/"), command);
    const graph::NodeRef copied = copy(image("base"), stage, "/out/bin", "/usr/bin/");
    return run(copied, "test");
  };
  solve(rig, final("make"));
  rig.write("a.c", "2");
  solve(rig, final("make"));
  CHECK(ran(rig) == "COPY a.c /src/, RUN make");
  // From now on the definition leads there at once: the stage is not even looked at.
  solve(rig, final("make"));
  CHECK(ran(rig).empty());
  solve(rig, final("make all"));
  CHECK(ran(rig) == "RUN make all");
}

TEST_CASE("keys: the content of a mount counts, the rest of its source does not (catalogue 64)") {
  Rig rig;
  rig.write("a.txt", "1");
  rig.write("b.txt", "2");
  rig.write("c.txt", "3");
  const auto bind = [](const std::string& source) {
    graph::Mount mount;
    mount.input = 0;
    mount.selector = source;
    mount.dest = "/tmp/" + source;
    mount.readonly = true;
    return mount;
  };
  std::vector<graph::Mount> mounts{bind("a.txt"), bind("b.txt")};
  const graph::NodeRef node = run(nullptr, "cat", mounts, {context()});
  solve(rig, node);
  rig.write("c.txt", "changed");
  solve(rig, node);
  CHECK(ran(rig).empty());
  rig.write("b.txt", "changed");
  solve(rig, node);
  CHECK(ran(rig) == "RUN cat");
  CHECK(rig.why("RUN cat") == "file b.txt changed");
}

TEST_CASE("keys: COPY --link does not depend on what lies below (K9)") {
  Rig rig;
  rig.write("app", "1");
  const auto linked = [&](const std::string& base) {
    const graph::NodeRef files = copy(nullptr, context(), "app", "/app");
    return graph::Node::make(graph::MergeOp{}, {run(image("b"), base), files},
                             {.title = "COPY app /app"});
  };
  solve(rig, linked("one"));
  solve(rig, linked("two"));
  CHECK(ran(rig) == "RUN two");
}

TEST_CASE("keys: environment, user and command count; proxies and addresses do not (K3)") {
  Rig rig;
  const auto with = [](const std::function<void(graph::ExecOp&)>& change) {
    const graph::NodeRef plain = run(nullptr, "env");
    graph::ExecOp op = std::get<graph::ExecOp>(plain->op());
    op.env = {{"A", "1"}};
    op.extra_hosts = {{"db", "10.0.0.1"}};
    change(op);
    return graph::Node::make(op, {}, {.title = "RUN env"});
  };
  solve(rig, with([](auto&) {}));
  solve(rig, with([](auto& op) { op.proxy_env = {{"http_proxy", "http://p:1"}}; }));
  CHECK(ran(rig).empty());
  solve(rig, with([](auto& op) { op.extra_hosts[0].second = "10.9.9.9"; }));
  CHECK(ran(rig).empty());
  solve(rig, with([](auto& op) { op.env[0].second = "2"; }));
  CHECK(rig.why("RUN env") == "env A changed from '1' to '2'");
  solve(rig, with([](auto& op) { op.extra_hosts[0].first = "cache"; }));
  CHECK(ran(rig) == "RUN env");
  solve(rig, with([](auto& op) { op.user = "app"; }));
  CHECK(ran(rig) == "RUN env");
}

TEST_CASE("keys: different plans have different keys (threat 18)") {
  Rig rig;
  std::vector<graph::NodeRef> nodes;
  const auto exec = [&](const std::function<void(graph::ExecOp&)>& change) {
    graph::ExecOp op;
    op.argv = {"a", "b"};
    change(op);
    nodes.push_back(graph::Node::make(op));
  };
  exec([](auto&) {});
  exec([](auto& op) { op.argv = {"a b"}; });
  exec([](auto& op) { op.argv = {"ab"}; });
  exec([](auto& op) { op.argv = {"a", "b", ""}; });
  exec([](auto& op) { op.env = {{"A", "1"}, {"B", "2"}}; });
  exec([](auto& op) { op.env = {{"B", "2"}, {"A", "1"}}; });
  exec([](auto& op) { op.env = {{"A", "1\nB=2"}}; });
  exec([](auto& op) { op.cwd = "/x"; });
  exec([](auto& op) { op.network = graph::Network::none; });
  exec([](auto& op) { op.security = graph::Security::no_new_privileges; });
  exec([](auto& op) { op.shm_size_bytes = 1; });
  exec([](auto& op) { op.ulimits = {{"nofile", 1, 2}}; });
  exec([](auto& op) { op.ulimits = {{"nofile", 2, 2}}; });
  graph::Mount mount;
  mount.type = graph::MountType::tmpfs;
  mount.dest = "/t";
  exec([&](auto& op) { op.mounts = {mount}; });
  mount.tmpfs_size_bytes = 7;
  exec([&](auto& op) { op.mounts = {mount}; });
  mount.type = graph::MountType::cache;
  exec([&](auto& op) { op.mounts = {mount}; });
  mount.readonly = true;
  exec([&](auto& op) { op.mounts = {mount}; });
  mount = {};
  mount.type = graph::MountType::secret;
  mount.dest = "/run/secrets/a";
  mount.secret_id = "a";
  exec([&](auto& op) { op.mounts = {mount}; });
  mount.secret_id = "b";
  exec([&](auto& op) { op.mounts = {mount}; });
  mount.mode = 0444;
  exec([&](auto& op) { op.mounts = {mount}; });
  const auto file = [&](const std::function<void(graph::FileAction&)>& change) {
    graph::FileAction action;
    action.kind = graph::FileAction::Kind::mkfile;
    action.dest = "/f";
    action.data = "x";
    change(action);
    nodes.push_back(graph::Node::make(graph::FileOp{{action}, true}));
  };
  file([](auto&) {});
  file([](auto& action) {
    action.dest = "/fx";
    action.data = "";
  });
  file([](auto& action) { action.mode = 0600; });
  file([](auto& action) { action.mode_text = "0600"; });
  file([](auto& action) { action.owner = graph::Owner{1, 0}; });
  file([](auto& action) { action.owner_names = "1:0"; });
  file([](auto& action) { action.timestamp_ns = 0; });
  file([](auto& action) { action.kind = graph::FileAction::Kind::mkdir; });
  std::map<Digest, size_t> seen;
  rig.build([&](Engine& engine) {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const auto [at, fresh] = seen.emplace(engine.key(nodes[i]), i);
      INFO("plans " << at->second << " and " << i);
      CHECK(fresh);
    }
    return 0;
  });
}

TEST_CASE("keys: a secret's value is outside the key, and its change is told") {
  Rig rig;
  graph::Mount mount;
  mount.type = graph::MountType::secret;
  mount.secret_id = "token";
  mount.dest = "/run/secrets/token";
  mount.required = true;
  const graph::NodeRef node = run(nullptr, "fetch", {mount});
  CHECK_THROWS_WITH(solve(rig, node),
                    Catch::Matchers::Contains("the secret 'token' was not given"));
  rig.options = [](Options& options) { options.secrets["token"] = {"first value", {}}; };
  std::string seen;
  rig.command = [&](const sandbox::ExecSpec& spec, const auto&, const auto&) {
    seen = spec.mounts.at(0).data;
    return slipway::tests::done();
  };
  solve(rig, node);
  CHECK(seen == "first value");
  rig.options = [](Options& options) { options.secrets["token"] = {"second value", {}}; };
  solve(rig, node);
  REQUIRE(rig.finished.size() == 1);
  CHECK(rig.finished[0].outcome == report::StepFinished::Outcome::cached);
  CHECK(rig.finished[0].missed_because == "the value of the secret 'token' has changed since");
  rig.options = [](Options& options) {
    options.secrets["token"] = {"second value", {}};
    options.secrets_in_keys = true;
  };
  solve(rig, node);
  CHECK(ran(rig) == "RUN fetch");
  CHECK(seen == "second value");
  // Nothing of it is in the index in clear.
  const std::string index = read_file(rig.dir.path() / "store/index.sqlite-wal") +
                            read_file(rig.dir.path() / "store/index.sqlite");
  CHECK(index.find("second value") == std::string::npos);
}

TEST_CASE("keys: a secret as a variable wins over the environment; an absent one is empty (V26)") {
  Rig rig;
  graph::Mount mount;
  mount.type = graph::MountType::secret;
  mount.secret_id = "token";
  mount.secret_env = "TOKEN";
  graph::ExecOp op;
  op.argv = {"env"};
  op.env = {{"TOKEN", "from ENV"}, {"http_proxy", "mine"}};
  op.proxy_env = {{"HTTP_PROXY", "given"}, {"NO_PROXY", "x"}};
  op.mounts = {mount};
  std::map<std::string, std::string> env;
  size_t mounts = 9;
  rig.command = [&](const sandbox::ExecSpec& spec, const auto&, const auto&) {
    env = {spec.env.begin(), spec.env.end()};
    CHECK(env.size() == spec.env.size());
    mounts = spec.mounts.size();
    return slipway::tests::done();
  };
  solve(rig, graph::Node::make(op));
  CHECK(env["TOKEN"].empty());
  CHECK(mounts == 0);
  CHECK(env["HTTP_PROXY"] == "given");
  CHECK(env["http_proxy"] == "mine");
  CHECK(env["no_proxy"] == "x");
  CHECK(env["PATH"] == "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  rig.options = [](Options& options) { options.secrets["token"] = {"top secret", {}}; };
  op.cwd = "/x";
  solve(rig, graph::Node::make(op));
  CHECK(env["TOKEN"] == "top secret");
}

TEST_CASE("no-cache: a step runs anew with what stands on it; equal content joins again (S5)") {
  Rig rig;
  int number = 0;
  rig.command = [&](const sandbox::ExecSpec&, const fs::path& upper, const auto&) {
    make_directories(upper / "out");
    write_file_atomic(upper / "out/same", "same");
    write_file_atomic(upper / "out/number", std::to_string(++number));
    return slipway::tests::done();
  };
  const auto graph = [&](bool fresh) {
    const graph::NodeRef stage = run(nullptr, "update", {}, {}, fresh);
    const graph::NodeRef above = run(stage, "above");
    const graph::NodeRef beside = copy(image("base"), above, "/out/same", "/x");
    return run(beside, "last");
  };
  solve(rig, graph(false));
  solve(rig, graph(true));
  // What is copied is the same, so the last stage stays.
  CHECK(ran(rig) == "RUN update, RUN above");
  solve(rig, graph(false));
  CHECK(ran(rig).empty());
}

TEST_CASE("no-cache: a cache mount is fresh once a build and id") {
  Rig rig;
  std::vector<bool> fresh;
  rig.command = [&](const sandbox::ExecSpec& spec, const auto&, const auto&) {
    for (const auto& mount : spec.mounts) fresh.push_back(mount.fresh);
    return slipway::tests::done();
  };
  graph::Mount mount;
  mount.type = graph::MountType::cache;
  mount.cache_id = "/x";
  mount.dest = "/x";
  mount.mode = 0755;
  const graph::NodeRef node = run(run(nullptr, "one", {mount}), "two", {mount});
  solve(rig, node);
  CHECK(fresh == std::vector<bool>{false, false});
  fresh.clear();
  solve(rig, node, true);
  CHECK(fresh == std::vector<bool>{true, false});
}

TEST_CASE("caches: shared by id, private ones apart, locked ones one after the other (K11)") {
  Rig rig;
  std::mutex mutex;
  std::map<std::string, std::string> names;  // command → cache
  std::map<std::string, int> inside, most;
  rig.command = [&](const sandbox::ExecSpec& spec, const auto&, const auto&) {
    const std::string name = spec.mounts.at(0).name;
    {
      const std::lock_guard lock(mutex);
      names[spec.argv[2]] = name;
      most[name] = std::max(most[name], ++inside[name]);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    const std::lock_guard lock(mutex);
    --inside[name];
    return slipway::tests::done();
  };
  const auto both = [&](const std::string& id, graph::CacheSharing sharing) {
    graph::Mount mount;
    mount.type = graph::MountType::cache;
    mount.cache_id = id;
    mount.dest = "/c";
    mount.mode = 0755;
    mount.sharing = sharing;
    const graph::NodeRef left = run(nullptr, id + " left", {mount});
    const graph::NodeRef right = run(nullptr, id + " right", {mount});
    solve(rig, graph::Node::make(graph::MergeOp{}, {left, right}));
    return std::pair(names[id + " left"], names[id + " right"]);
  };
  const auto shared = both("s", graph::CacheSharing::shared);
  CHECK(shared.first == shared.second);
  CHECK(most[shared.first] == 2);
  const auto apart = both("p", graph::CacheSharing::private_);
  CHECK(apart.first != apart.second);
  const auto locked = both("l", graph::CacheSharing::locked);
  CHECK(locked.first == locked.second);
  CHECK(most[locked.first] == 1);
  // Ids are no paths (threat 3), and odd ones are caches like any other.
  for (const std::string& id :
       {std::string("../../etc"), std::string("/"), std::string(4096, 'x')}) {
    const auto odd = both(id, graph::CacheSharing::shared);
    CHECK(odd.first.size() == 64);
    CHECK(odd.first.find_first_not_of("0123456789abcdef") == std::string::npos);
  }
}

TEST_CASE("grants: insecure steps and the host's network need one (threat 6)") {
  Rig rig;
  graph::ExecOp op;
  op.argv = {"x"};
  op.security = graph::Security::insecure;
  CHECK_THROWS_WITH(solve(rig, graph::Node::make(op)),
                    Catch::Matchers::Contains("security=insecure was not granted"));
  op.security = graph::Security::sandbox;
  op.network = graph::Network::host;
  CHECK_THROWS_WITH(solve(rig, graph::Node::make(op)),
                    Catch::Matchers::Contains("the host's network was not granted"));
  CHECK(rig.commands_run == 0);
  rig.options = [](Options& options) { options.allow_host_network = true; };
  solve(rig, graph::Node::make(op));
  CHECK(rig.commands_run == 1);
}

TEST_CASE("context: only what is asked for is read, links are followed to what they need (C23)") {
  Rig rig;
  rig.write("wanted/a", "1");
  rig.write("big/b", "2");
  rig.write("deep/er/c", "3");
  fs::create_symlink("../deep/er", rig.source() / "wanted/way");
  fs::create_symlink("deep", rig.source() / "short");
  std::string seen;
  rig.build([&](Engine& engine) {
    (void)engine.solve(copy(nullptr, context(), "wanted/a", "/x"));
    return 0;
  });
  const auto known = rig.store->list_values("local");
  REQUIRE(known.size() == 1);
  const auto snapshot = rig.store->find_snapshot(known[0].second["snapshot"].get<uint64_t>());
  for (const auto& entry : rig.store->read_tree(snapshot->tree).entries) seen += entry.path + " ";
  CHECK(seen == "wanted wanted/a ");
  CHECK(layer_file(rig, copy(nullptr, context(), "wanted/way/c", "/x"), "x") == "3");
  CHECK(layer_file(rig, copy(nullptr, context(), "short/er/c", "/x"), "x") == "3");
  CHECK(layer_file(rig, copy(nullptr, context(), "wanted", "/w"), "w/a") == "1");
}

TEST_CASE("context: its ignore file hides; folders stay for what it does not hide (G5, G6)") {
  Rig rig;
  rig.write("keep/a", "1");
  rig.write("drop/b", "2");
  rig.write("drop/sub/c", "3");
  rig.write("drop/other/d", "4");
  rig.options = [](Options& options) {
    options.locals["context"].patterns =
        source::PathPatterns(std::vector<std::string>{"drop", "!drop/sub/c"});
  };
  const graph::NodeRef all = copy(nullptr, context(), ".", "/x/");
  CHECK(layer_file(rig, all, "x/keep/a") == "1");
  CHECK(layer_file(rig, all, "x/drop/sub/c") == "3");
  CHECK(layer_file(rig, all, "x/drop/b") == "(absent)");
  const Solved solved = rig.build([&](Engine& engine) { return engine.solve(all); });
  CHECK_FALSE(fs::exists(rig.store->snapshots_dir() / std::to_string(solved.result.snapshot) /
                         "fs/x/drop/other"));
  CHECK_THROWS_WITH(solve(rig, copy(nullptr, context(), "drop/b", "/x")),
                    Catch::Matchers::Contains("'/drop/b' does not exist"));
  rig.write("drop/b", "changed");
  solve(rig, all);
  CHECK(ran(rig).empty());
}

TEST_CASE("files: what is known of a layer's files is kept for who writes it out") {
  Rig rig;
  rig.write("d/a", "text");
  const Solved solved =
      rig.build([&](Engine& engine) { return engine.solve(copy(nullptr, context(), "d", "/x/")); });
  REQUIRE(solved.result.extra.contains("known"));
  const archive::Tree known =
      rig.store->read_tree(Digest::from_hex(solved.result.extra["known"].get<std::string>()));
  REQUIRE(known.entries.size() == 1);
  CHECK(known.entries[0].path == "x/a");
  CHECK(known.entries[0].digest == hash_bytes("text"));
  CHECK(known.entries[0].size == 4);
}

TEST_CASE("several targets are solved side by side and share what is equal") {
  Rig rig;
  rig.write("a", "1");
  rig.write("b", "2");
  const graph::NodeRef base = run(nullptr, "base");
  const graph::NodeRef one = copy(base, context(), "a", "/x"),
                       two = copy(base, context(), "b", "/x");
  const auto solved = rig.build([&](Engine& engine) {
    return engine.solve(std::vector<graph::NodeRef>{one, two});
  });
  REQUIRE(solved.size() == 2);
  CHECK(solved[0].result.snapshot != solved[1].result.snapshot);
  CHECK(rig.commands_run == 1);
  CHECK(std::count_if(rig.finished.begin(), rig.finished.end(),
                      [](const auto& step) { return step.title == "context"; }) == 1);
}

TEST_CASE("a chain of thousands of steps is solved without a deep stack") {
  Rig rig;
  graph::NodeRef node;
  for (int i = 0; i < 1000; ++i) {
    graph::FileAction action;
    action.kind = graph::FileAction::Kind::mkfile;
    action.dest = "/f" + std::to_string(i);
    graph::FileOp op{{action}, node == nullptr};
    // Every tenth starts anew: the chain of keys is what is tested, not of layers.
    std::vector<graph::NodeRef> inputs;
    if (node) inputs.push_back(node);
    if (i % 10 == 0) op.on_scratch = true;
    node =
        graph::Node::make(op, op.on_scratch && node ? std::vector<graph::NodeRef>{node} : inputs);
  }
  solve(rig, node);
  solve(rig, node);
  CHECK(ran(rig).empty());
}
