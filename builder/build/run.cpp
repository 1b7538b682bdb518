#include "build/run.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/files.h"
#include "base/text.h"
#include "build/bases.h"
#include "build/launcher.h"
#include "build/project.h"
#include "engine/engine.h"
#include "sandbox/ids.h"
#include "source/procfile.h"
#include "stack/stacks.h"

namespace slipway::build {
namespace {

constexpr const char* default_stack = "debian-12";
constexpr int first_port = default_port, last_port = 5999;
// A step may open its output anew (/dev/stdout), which a file of the caller's would refuse to the
// step's user: such a file is written here, from a pipe.
class FileRelay {
 public:
  FileRelay(int fd, std::function<void(std::string_view)>& callback) {
    struct stat info {};
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return;
    callback = [this, fd](std::string_view piece) {
      if (failure_) return;
      try {
        write_all(fd, piece);
      } catch (Error& error) {
        failure_ = error;
      }
    };
  }
  FileRelay(const FileRelay&) = delete;
  FileRelay& operator=(const FileRelay&) = delete;
  /// After the step: what was lost on the way is an error.
  void check() {
    if (failure_) throw failure_->add_context("writing the output");
  }

 private:
  std::optional<Error> failure_;
};

// What is to be started: a tree, where the app lies in it, and what is known about it.
struct Target {
  cache::SnapshotId snapshot = 0;
  std::string path;  ///< folder of the app inside the layers
  archive::Tree tree;
  std::string app, stack;
  source::ProcessTypes types;
};

std::string sha256_of(int fd) {
  Sha256 hasher;
  std::vector<char> buffer(1 << 17);
  while (const size_t count = read_some(fd, buffer.data(), buffer.size()))
    hasher.update(buffer.data(), count);
  if (lseek(fd, 0, SEEK_SET) != 0) fail_errno("seek");
  return hasher.finish_hex();
}

void take_manifest(Target& target, const Json& manifest) {
  const slug::Manifest parsed = slug::Manifest::from_json(manifest);
  target.app = parsed.app;
  target.stack = parsed.stack;
  target.types = parsed.process_types;
}

Target slug_target(engine::Engine& engine, cache::Store& store, const std::string& file) {
  const Fd slug = open_file(file, O_RDONLY);
  const std::string sha256 = sha256_of(slug.get());
  Target target;
  target.path = "app";
  target.app = fs::path(file).filename().string();
  const Digest key =
      KeyBuilder("unpacked slug 1")
          .add("sha256", sha256)
          .add("ids", sandbox::plan_ids(store.id_base()).single_id() ? "single" : "mapped")
          .finish();
  auto known = store.find_result(key, engine.lease());
  if (!known) {
    cache::Snapshot snapshot;
    snapshot.id = store.allocate_snapshot(engine.lease());
    sandbox::UnpackOptions unpacking;
    unpacking.owner = graph::Owner{1000, 1000};
    archive::Tree tree;
    try {
      tree = engine.worker().unpack(snapshot.id, slug.get(), unpacking);
    } catch (Error& error) {
      throw Error(ExitCode::app_files, error.what()).add_context("unpacking " + file);
    }
    if (tree.find("app") == nullptr)
      fail(ExitCode::app_files, "{} is not a slug: it has no ./app/", file);
    snapshot.kind = "slug";
    snapshot.size_bytes = tree.total_size();
    snapshot.files = tree.entries.size();
    snapshot.tree = store.put_tree(tree);
    store.commit_snapshot(snapshot);
    cache::Result result;
    result.snapshot = snapshot.id;
    result.trees = {snapshot.tree};
    store.put_result({key}, result, "unpacked slugs", {});
    known = result;
  }
  target.snapshot = known->snapshot;
  target.tree = store.read_tree(known->trees.at(0)).below("app");
  if (const auto manifest = store.find_value("slug", sha256)) take_manifest(target, *manifest);
  return target;
}

Target app_target(cache::Store& store, cache::Lease& lease, const std::string& name) {
  std::optional<Json> newest;
  std::vector<std::string> names;
  for (const auto& [id, value] : store.list_values("app")) {
    names.push_back(value.value("name", id));
    if (value.value("name", std::string()) != name && id != name) continue;
    if (!value.contains("last") || !value["last"].is_object()) continue;
    if (!newest || value["last"]["build"] > (*newest)["build"]) newest = value["last"];
  }
  if (!newest) {
    Error error(ExitCode::usage,
                fmt::format("'{}' is neither a slug nor an app with a build", printable(name)));
    if (const auto near = closest(name, names))
      error.set_hint(fmt::format("did you mean '{}'?", *near));
    else
      error.set_hint("build it first: slipway build PATH --slug FILE");
    throw error;
  }
  Target target;
  target.snapshot = newest->at("snapshot").get<cache::SnapshotId>();
  target.path = newest->at("path").get<std::string>();
  lease.protect_snapshot(target.snapshot);
  if (!store.find_snapshot(target.snapshot))
    throw Error(ExitCode::machine,
                fmt::format("the last build of {} is no longer in the store", name))
        .set_hint("build it again");
  target.tree = store.read_tree(Digest::from_hex(newest->at("tree").get<std::string>()));
  take_manifest(target, newest->at("manifest"));
  return target;
}

bool port_is_free(int port) {
  const Fd socket_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  return bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

int choose_port(const std::optional<int>& asked) {
  if (asked) {
    if (!port_is_free(*asked))
      throw Error(ExitCode::machine, fmt::format("port {} is taken", *asked))
          .set_hint("leave --port out to get a free one");
    return *asked;
  }
  for (int port = first_port; port <= last_port; ++port)
    if (port_is_free(port)) return port;
  fail(ExitCode::machine, "no port between {} and {} is free", first_port, last_port);
}

// RUN-5: the first word may be a process type's name.
std::string resolve_command(const Target& target, const RunRequest& request, std::string& type) {
  std::string command = request.command;
  if (command.empty()) {
    if (target.types.contains("web"))
      command = "web";
    else
      throw Error(ExitCode::usage, "no command given, and the app has no web process")
          .set_hint("slipway run " + request.target + " \"COMMAND\"");
  }
  if (!request.is_words) {
    const auto found = target.types.find(command);
    if (found != target.types.end()) {
      type = command;
      return found->second;
    }
  }
  type = "run";
  return command;
}

}  // namespace

int run_app(const Session& session, const RunRequest& request) {
  cache::Store& store = session.store;
  stack::Stacks stacks(store, session.stream, session.cancel);
  Bases bases(session, make_fetcher(session), stacks, false);
  bases.serve(stacks);
  engine::Options options;
  options.store = &store;
  options.stream = &session.stream;
  options.cancel = &session.cancel;
  options.isolation = request.isolation;
  options.limits = request.limits;
  options.app_id = "run";
  options.resolve_image = [&](engine::Engine& engine, const graph::ImageOp& image) {
    return stacks.resolve(engine, image);
  };
  engine::Engine engine(std::move(options));

  std::error_code problem;
  Target target = fs::is_regular_file(request.target, problem)
                      ? slug_target(engine, store, request.target)
                      : app_target(store, engine.lease(), request.target);
  if (!request.stack.empty()) target.stack = request.stack;
  if (target.stack.empty()) target.stack = default_stack;
  const engine::ResolvedImage root =
      stacks.resolve(engine, graph::ImageOp{"stack:" + target.stack + "/run", {}});

  sandbox::ExecSpec spec;
  spec.root.host = root.host;
  spec.root.layers = root.layers;
  spec.root.readonly = true;
  const cache::SnapshotId upper = store.allocate_snapshot(engine.lease());
  const bool single = request.isolation == sandbox::Isolation::none ||
                      sandbox::plan_ids(store.id_base()).single_id();
  const graph::Owner owner = single ? graph::Owner{} : graph::Owner{1000, 1000};
  engine.worker().create(upper, {{"tmp", 01777, {}}, {target.path, 0755, owner}});
  spec.workspace = sandbox::Workspace{upper, store.chain(target.snapshot)};

  if (target.types.empty() && target.tree.find("Procfile") != nullptr) {
    // A slug of somebody else's: its Procfile is all there is to know.
    const auto reader = engine.worker().read_tree({0, store.chain(target.snapshot)}, target.path);
    target.types =
        source::parse_procfile(read_all(reader->open({"Procfile"}).at(0).get(), 1 << 20)).types;
  }
  std::string type;
  const std::string command = resolve_command(target, request, type);

  sandbox::StepMount app;
  app.kind = sandbox::StepMount::Kind::workspace;
  app.dest = "/app";
  app.source = target.path;
  spec.mounts = {app};
  // Without mounts the machine's own /tmp is the app's.
  if (request.isolation != sandbox::Isolation::none) {
    sandbox::StepMount tmp;
    tmp.kind = sandbox::StepMount::Kind::tmpfs;
    tmp.dest = "/tmp";
    tmp.mode = 01777;
    spec.mounts.push_back(tmp);
  }
  const std::string script =
      start_script(profile_scripts(target.tree), target.tree.find(".profile") != nullptr, command);
  spec.argv = {"/bin/bash", "-c", script};
  if (request.isolation != sandbox::Isolation::none)
    spec.argv = {"/bin/bash", "-c", first_process, "bash", script};
  std::map<std::string, std::string> env = request.config;
  env.try_emplace("PATH", base_path);
  env["HOME"] = "/app";
  env["DYNO"] = type == "run" ? "run.1" : type + ".1";
  int port = 0;
  if (type == "web") {
    port = choose_port(request.port);
    env["PORT"] = std::to_string(port);
  } else if (request.port) {
    env["PORT"] = std::to_string(*request.port);
  }
  const bool interactive = isatty(STDIN_FILENO) != 0;
  if (interactive) {
    const char* terminal = std::getenv("TERM");
    env.try_emplace("TERM", terminal != nullptr ? terminal : "xterm");
  }
  spec.env.assign(env.begin(), env.end());
  spec.cwd = "/app";
  spec.user = fmt::format("{}:{}", owner.uid, owner.gid);
  spec.hostname = "slipway";
  spec.network = request.network;
  spec.security = graph::Security::no_new_privileges;
  spec.terminal = true;

  if (port != 0) session.stream.plain(fmt::format("{} runs on http://localhost:{}/", type, port));
  sandbox::ExecIo io;
  io.stdin_fd = STDIN_FILENO;
  io.stdout_fd = STDOUT_FILENO;
  io.stderr_fd = STDERR_FILENO;
  FileRelay out(STDOUT_FILENO, io.on_stdout), err(STDERR_FILENO, io.on_stderr);
  sandbox::ExecResult result;
  {
    const SignalRelay signals;
    io.signals_fd = signals.fd();
    result = engine.worker().exec(spec, io, session.cancel);
  }
  store.sync();
  out.check();
  err.check();
  if (result.out_of_memory) session.stream.warning("the process ran out of memory (--memory)");
  engine.sweep();
  return result.status.shell_code();
}

}  // namespace slipway::build
