#include "sandbox/chroot_worker.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/chroot_places.h"
#include "sandbox/chroot_step.h"
#include "sandbox/direct_worker.h"
#include "sandbox/host_trust.h"
#include "sandbox/requests.h"
#include "sandbox/root_changes.h"
#include "sandbox/runtime_spec.h"
#include "sandbox/step_mounts.h"
#include "sandbox/step_output.h"

namespace slipway::sandbox {
namespace {

class ChrootWorker : public DirectWorker {
 public:
  explicit ChrootWorker(const WorkerOptions& options)
      : DirectWorker(options, false),
        program_(options.worker_program.empty() ? "/proc/self/exe" : options.worker_program) {
    caches_ = open_file(store_.caches_dir().string(), O_RDONLY | O_DIRECTORY);
  }
  std::string describe() const override {
    return "chroot (steps share the container's processes and network)";
  }

  ExecResult exec(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) override {
    check(spec);
    // A shell in a failed step goes on in what that left.
    std::vector<SnapshotId> stack = spec.root.layers;
    const SnapshotId upper = spec.root.upper;
    if (upper != 0 && stat_at(snapshots(), fmt::format("{}/fs", upper)))
      stack.insert(stack.begin(), upper);
    RootCopies::Root root = roots_.copy(stack);
    const int tree = root.fd.get();
    TreeState before = TreeState::of(tree);
    if (separate_names(tree, before)) before = TreeState::of(tree);
    before.settle();
    const ChrootCommand command = prepare(spec, tree);
    const ChrootHost host{
        &store_, &cancel, snapshots(), caches_.get(), host_resolv_conf("/"), host_trust().bundle};
    ChrootPlaces places(host, spec, tree, roots_);
    ExecResult result = run(spec, command, tree, places, io, cancel);
    places.restore();
    if (spec.root.upper != 0) finish(spec, std::move(root), before, places.held(), result);
    return result;
  }

 private:
  static void check(const ExecSpec& spec) {
    const auto refuse = [](const char* what, const char* instead) {
      throw Error(ExitCode::machine,
                  fmt::format("isolation \"chroot\" cannot give a step {}", what))
          .set_hint(instead);
    };
    if (spec.root.host || spec.workspace)
      refuse("the host's root or a workspace",
             "buildpacks run with --isolation=oci, or none on the host's stack");
  }

  /// Resolves the user and makes the working directory, which stays (X9).
  static ChrootCommand prepare(const ExecSpec& spec, int root) {
    const auto read = [&](const std::string& path) {
      const Fd file = try_open_in_root(root, path, O_RDONLY | O_NONBLOCK);
      struct stat info {};
      if (!file || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::string();
      return read_all(file.get(), passwd_file_max);
    };
    const StepUser user = resolve_user(spec.user, read("/etc/passwd"), read("/etc/group"));
    ChrootCommand command;
    command.argv = spec.argv;
    command.env = spec.env;
    command.uid = user.uid;
    command.gid = user.gid;
    command.groups = user.groups;
    const bool has_home = std::any_of(spec.env.begin(), spec.env.end(),
                                      [](const auto& one) { return one.first == "HOME"; });
    if (!has_home)
      command.env.emplace_back("HOME", starts_with(user.home, "/") ? user.home : std::string("/"));
    command.no_new_privileges = spec.security == graph::Security::no_new_privileges;
    command.all_capabilities = spec.security == graph::Security::insecure;
    command.no_network = spec.network == graph::Network::none;
    command.ulimits = spec.ulimits;
    for (const graph::Ulimit& limit : spec.ulimits) check_limit(limit);
    command.timeout = spec.timeout;
    MountPoints points(root);
    const Fd cwd = points.prepare(clean_cwd(spec.cwd), true, 0755, {user.uid, user.gid}, true);
    const std::string path = path_of(cwd.get()), top = path_of(root);
    command.cwd = clean_cwd(path.size() > top.size() ? path.substr(top.size()) : "/");
    return command;
  }

  ExecResult run(const ExecSpec& spec, ChrootCommand command, int root, const ChrootPlaces& places,
                 const ExecIo& io, Cancel& cancel) {
    StepOutput output(spec, io);
    std::vector<int> fds{root};
    if (output.terminal()) {
      // The user's own terminal: there is no place to make another one.
      command.present = 7;
      for (const int fd :
           {io.stdin_fd, io.stdout_fd, io.stderr_fd >= 0 ? io.stderr_fd : io.stdout_fd})
        fds.push_back(fd);
    } else {
      command.present = output.present();
      for (const int fd : output.step_fds()) fds.push_back(fd);
    }
    auto [ours, theirs] = make_socket_pair();
    const uint64_t kills = limits_->out_of_memory_kills();
    SpawnOptions spawning;
    spawning.argv = {program_, "__worker", "chroot", std::to_string(theirs.get())};
    spawning.env.emplace();
    spawning.keep_fds = {theirs.get()};
    spawning.own_process_group = !output.terminal();
    Child child = spawn(spawning);
    theirs.reset();
    limits_->add(child.pid());
    send_message(ours.get(), encode(command), fds);
    output.close_step_ends();
    std::vector<std::unique_ptr<AgentProxy>> agents;
    for (const auto& [index, listener] : places.agents())
      agents.push_back(std::make_unique<AgentProxy>(Fd(fcntl(listener.get(), F_DUPFD_CLOEXEC, 0)),
                                                    spec.mounts.at(index).source));
    ExecResult result = output.relay(ours.get(), cancel);
    (void)child.wait();
    result.out_of_memory = limits_->out_of_memory_kills() > kills;
    return result;
  }

  void finish(const ExecSpec& spec, RootCopies::Root root, const TreeState& before,
              const std::set<std::string>& held, ExecResult& result) {
    const Fd upper = make_layer(snapshots(), spec.root.upper);
    const std::vector<Fd> base = open_stack(snapshots(), {0, spec.root.layers});
    LayerTarget target(upper.get(), numbers(base), false);
    const auto [files, bytes] = store_changes(root.fd.get(), before, target, held);
    result.files = files;
    result.size_bytes = bytes;
    std::vector<SnapshotId> now{spec.root.upper};
    now.insert(now.end(), spec.root.layers.begin(), spec.root.layers.end());
    roots_.keep(std::move(root), std::move(now));
  }

  const std::string program_;
  Fd caches_;
};

}  // namespace

namespace {

constexpr const char* owners_area = "sandbox";
constexpr const char* owners_row = "owners";

std::string kept_owners(const cache::Store& store) {
  const auto known = store.find_value(owners_area, owners_row);
  return known && known->is_string() ? known->get<std::string>() : std::string();
}

}  // namespace

void check_owners(const cache::Store& store, Owners owners) {
  const std::string kept = kept_owners(store);
  if (kept.empty() || kept == owners_name(owners)) return;
  throw Error(ExitCode::machine,
              fmt::format("{} holds layers of another isolation", store.snapshots_dir().string()))
      .set_hint("set SLIPWAY_HOME to a folder of this isolation's own");
}

void claim_owners(cache::Store& store, Owners owners) {
  if (kept_owners(store).empty()) store.put_value(owners_area, owners_row, owners_name(owners));
}

std::unique_ptr<Worker> start_chroot_worker(const WorkerOptions& options) {
  const std::string obstacle = chroot_obstacle();
  if (!obstacle.empty())
    throw Error(ExitCode::machine, "isolation \"chroot\" does not work here: " + obstacle)
        .set_hint("run as root in the container, with its usual capabilities");
  check_owners(*options.store, Owners::own);
  // Rung oci may have been tried before, and gave them to its ids.
  for (const fs::path& path : {options.store->snapshots_dir(), options.store->caches_dir()}) {
    make_directories(path, 0700);
    if (chown(path.c_str(), 0, 0) != 0) fail_errno("chown {}", path.string());
  }
  claim_owners(*options.store, Owners::own);
  return std::make_unique<ChrootWorker>(options);
}

}  // namespace slipway::sandbox
