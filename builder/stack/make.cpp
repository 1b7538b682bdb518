// Making a stack: the run variant with mmdebstrap, the build variant by installing the rest on top
// of it in the sandbox.
#include <ctime>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "stack/stacks.h"

namespace slipway::stack {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Stack files carry one fixed time (DESIGN, "Times"): 1980-01-01T00:00:01Z.
constexpr const char* stack_time = "315532801";
constexpr const char* parts_dir = "/mnt";

std::string iso_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// The last words of a tool that failed.
std::string tail(const std::string& text) {
  const std::string_view trimmed = trim(text);
  return std::string(trimmed.size() > 1500 ? trimmed.substr(trimmed.size() - 1500) : trimmed);
}

}  // namespace

Json Stacks::make_run(engine::Engine& engine, const Definition& definition) {
  if (find_program("mmdebstrap").empty())
    throw Error(ExitCode::machine, "mmdebstrap is not installed")
        .set_hint(
            "sudo apt-get install -y mmdebstrap, or build on this machine's own root with "
            "--stack host");
  const TempDir parts = TempDir::create("slipway-stack");
  write_file_atomic(parts.path() / "setup.sh", definition.setup_script, 0755);
  write_file_atomic(parts.path() / "dpkg.cfg", definition.dpkg_options, 0644);

  const Pipe tar = Pipe::create();
  const Fd log = open_file((parts.path() / "log").string(), O_RDWR | O_CREAT, 0600);
  SpawnOptions spawning;
  spawning.argv = {
      "mmdebstrap",
      "--variant=minbase",
      "--format=tar",
      "--include=" + join(definition.run_packages, ","),
      "--aptopt=APT::Install-Recommends \"false\"",
      "--customize-hook=copy-in " + shell_quote((parts.path() / "setup.sh").string()) + " /",
      "--customize-hook=chroot \"$1\" bash /setup.sh",
      "--customize-hook=rm \"$1/setup.sh\""};
  if (!definition.dpkg_options.empty())
    spawning.argv.push_back("--dpkgopt=" + (parts.path() / "dpkg.cfg").string());
  spawning.argv.insert(spawning.argv.end(), {definition.suite, "-"});
  std::map<std::string, std::string> env;
  for (const char* name : {"PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy"})
    if (const char* value = std::getenv(name)) env[name] = value;
  env["SOURCE_DATE_EPOCH"] = stack_time;
  env["LC_ALL"] = "C.UTF-8";
  spawning.env = env;
  spawning.stdout_fd = tar.write.get();
  spawning.stderr_fd = log.get();
  Child child = spawn(spawning);
  const_cast<Fd&>(tar.write).reset();

  const cache::SnapshotId id = store_.allocate_snapshot(engine.lease());
  archive::Tree tree;
  std::optional<Error> unpack_error;
  try {
    tree = engine.worker().unpack(id, tar.read.get(), {});
  } catch (const Error& error) {
    // Half a tar is the consequence; mmdebstrap's own words are the cause.
    unpack_error = error;
  }
  const ExitStatus status = child.wait();
  cancel_.check();
  if (!status.ok()) {
    throw Error(ExitCode::outside, fmt::format("mmdebstrap failed ({}): {}", status.to_string(),
                                               tail(read_file(parts.path() / "log"))))
        .set_hint("the packages come from Debian's mirrors; --stack host needs none of them");
  }
  if (unpack_error) throw *unpack_error;

  cache::Snapshot snapshot;
  snapshot.id = id;
  snapshot.kind = "stack";
  snapshot.size_bytes = tree.total_size();
  snapshot.files = tree.entries.size();
  snapshot.tree = store_.put_tree(tree);
  snapshot.content = archive::tree_digest(tree);
  store_.commit_snapshot(snapshot);
  return {{"snapshot", id},
          {"identity", snapshot.content.hex()},
          {"bytes", snapshot.size_bytes},
          {"definition", definition.digest.hex()},
          {"created", iso_now()}};
}

Json Stacks::make_build(engine::Engine& engine, const Definition& definition, const Json& run) {
  const auto run_id = run.at("snapshot").get<cache::SnapshotId>();
  const cache::SnapshotId id = store_.allocate_snapshot(engine.lease());
  engine.worker().create(id, {});
  sandbox::ExecSpec spec;
  spec.root.layers = store_.chain(run_id);
  spec.root.upper = id;
  sandbox::StepMount parts;
  parts.kind = sandbox::StepMount::Kind::files;
  parts.dest = parts_dir;
  parts.files = {{"setup.sh", definition.setup_script}, {"dpkg.cfg", definition.dpkg_options}};
  spec.mounts.push_back(parts);
  spec.argv = {"/bin/bash", "-euc",
               "cp /mnt/dpkg.cfg /etc/dpkg/dpkg.cfg.d/slipway\n"
               "apt-get -q update\n"
               "apt-get -q install -y --no-install-recommends -- \"$@\"\n"
               "rm /etc/dpkg/dpkg.cfg.d/slipway\n"
               "bash /mnt/setup.sh\n",
               "bash"};
  spec.argv.insert(spec.argv.end(), definition.build_packages.begin(),
                   definition.build_packages.end());
  spec.env = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
              {"HOME", "/root"},
              {"DEBIAN_FRONTEND", "noninteractive"},
              {"LC_ALL", "C.UTF-8"},
              {"SOURCE_DATE_EPOCH", stack_time}};
  spec.network = graph::Network::open;
  std::string log;
  std::mutex log_mutex;
  sandbox::ExecIo io;
  const auto keep = [&](std::string_view piece) {
    const std::lock_guard lock(log_mutex);
    log.append(piece);
    if (log.size() > 1 << 20) log.erase(0, log.size() - (1 << 19));
  };
  io.on_stdout = io.on_stderr = keep;
  const sandbox::ExecResult result = engine.worker().exec(spec, io, cancel_);
  if (!result.status.ok())
    throw Error(ExitCode::outside, fmt::format("installing the build packages failed ({}): {}",
                                               result.status.to_string(), tail(log)));
  sandbox::ScanRequest scan;
  scan.tree = {id, store_.chain(run_id)};
  scan.lower = store_.read_tree(store_.find_snapshot(run_id)->tree);
  const sandbox::ScanResult listing = engine.worker().scan(scan);
  cache::Snapshot snapshot;
  snapshot.id = id;
  snapshot.parent = run_id;
  snapshot.kind = "stack";
  snapshot.size_bytes = listing.tree.total_size() - scan.lower.total_size();
  snapshot.files = listing.tree.entries.size() - scan.lower.entries.size();
  snapshot.tree = store_.put_tree(listing.tree);
  snapshot.content = archive::tree_digest(listing.tree);
  store_.commit_snapshot(snapshot);
  return {{"snapshot", id},
          {"identity", snapshot.content.hex()},
          {"bytes", snapshot.size_bytes},
          {"definition", definition.digest.hex()},
          {"created", iso_now()}};
}

Json Stacks::make(engine::Engine& engine, const Definition& definition,
                  const std::string& variant) {
  const std::string what = fmt::format("making stack {} ({})", definition.name, variant);
  if (variant == "build") {
    const engine::ResolvedImage run =
        resolve(engine, graph::ImageOp{"stack:" + definition.name + "/run", {}});
    SLIPWAY_CHECK(!run.layers.empty());
  }
  const auto started = steady_clock::now();
  stream_.step(fmt::format("Making the {} stack's {} root from Debian's packages (once)",
                           definition.name, variant));
  stream_.emit(report::Progress{0, what, 0, 0, false});
  Json made;
  try {
    made = variant == "run" ? make_run(engine, definition)
                            : make_build(engine, definition,
                                         *store_.find_value("stack", definition.name + "/run"));
  } catch (Error& error) {
    throw error.add_context(what);
  }
  stream_.emit(report::Progress{0, what, made.at("bytes").get<uint64_t>(), 0, true});
  stream_.detail(
      fmt::format("{} in {}", format_size(made.at("bytes").get<uint64_t>()),
                  format_duration(duration_cast<milliseconds>(steady_clock::now() - started))));
  store_.put_value("stack", definition.name + "/" + variant, made);
  store_.sync();
  return made;
}

}  // namespace slipway::stack
