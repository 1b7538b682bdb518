// What `slipway doctor` prints: each row is found by really doing it.
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "sandbox/chroot_step.h"
#include "sandbox/host_trust.h"
#include "sandbox/ids.h"
#include "sandbox/limits.h"
#include "sandbox/network.h"
#include "sandbox/runtime.h"
#include "sandbox/seccomp.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {
namespace {

constexpr uint64_t free_bytes_min = 4ULL << 30;
constexpr uint32_t subids_start = 100000;

/// "/proc/sys/kernel/…" in one line; empty when the file is not there.
std::string system_name() {
  utsname name{};
  return uname(&name) == 0 ? fmt::format("{} {} {}", name.sysname, name.release, name.machine)
                           : std::string("unknown");
}

Capability program_row(const std::string& name, const std::string& program,
                       const std::string& package, bool required) {
  const std::string path = find_program(program);
  if (!path.empty()) return {name, true, required, path, {}};
  return {name, false, required, "not installed", "sudo apt-get install -y " + package};
}

Capability ids_row(const IdPlan& ids) {
  Capability row{"subordinate ids", !ids.single_id(), false, ids.describe(), {}};
  if (row.ok) return row;
  row.detail += "; all files of a build belong to one user, and steps run as root in the sandbox";
  if (find_program("newuidmap").empty())
    row.remedy = "sudo apt-get install -y uidmap";
  else
    row.remedy =
        fmt::format("sudo usermod --add-subuids {0}-{1} --add-subgids {0}-{1} \"$(id -un)\"",
                    subids_start, subids_start + 65535);
  return row;
}

Capability network_row() {
  const NetworkHelper helper = find_network_helper();
  if (helper.usable) return {"build network", true, false, helper.program, {}};
  return {"build network", false, false,
          "steps can have no network of their own (only --network=none or host)", helper.remedy};
}

Capability limits_row() {
  const LimitsSupport support = probe_limits();
  return {"limits", support.ok, false, support.detail, support.remedy};
}

Capability seccomp_row() {
  const auto actions = read_file_if_exists("/proc/sys/kernel/seccomp/actions_avail", 4096);
  if (actions && actions->find("errno") != std::string::npos)
    return {"seccomp",
            true,
            true,
            fmt::format("profile compiles to {} instructions", compile_seccomp().size() / 8),
            {}};
  return {"seccomp", false, true, "the kernel has no seccomp filters",
          "use a kernel built with CONFIG_SECCOMP_FILTER"};
}

Capability disk_row(const fs::path& where) {
  fs::path existing = where;
  while (!existing.empty() && !fs::exists(existing)) existing = existing.parent_path();
  struct statvfs info {};
  if (statvfs(existing.c_str(), &info) != 0)
    return {"disk space", false, false, fmt::format("{} cannot be read", existing.string()), {}};
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  const bool enough = free >= free_bytes_min;
  return {"disk space", enough, false,
          fmt::format("{} free for {}", format_size(free), where.string()),
          enough ? std::string() : "slipway cache prune, or set SLIPWAY_HOME to a larger disk"};
}

Capability trust_row() {
  const HostTrust& trust = host_trust();
  if (trust.bundle.empty())
    return {"certificates", false, false, "no bundle of certificate authorities was found",
            "sudo apt-get install -y ca-certificates"};
  std::string detail =
      trust.extra
          ? fmt::format("{} of the machine's own are handed to build steps", trust.extra_count)
          : std::string("the distribution's");
  return {"certificates", true, false, detail, {}};
}

/// Starts a worker and runs a command in it: user namespace, overlay and runtime at once.
void sandbox_rows(cache::Store& store, const std::string& worker_program,
                  std::vector<Capability>& rows) {
  const auto failed = [&](const char* name, const Error& error) {
    rows.push_back({name, false, true, error.what(),
                    error.hint().empty() ? std::string("see docs/security.md") : error.hint()});
  };
  std::unique_ptr<Worker> worker;
  try {
    worker = Worker::start({.store = &store, .worker_program = worker_program});
    rows.push_back({"user namespaces", true, true, worker->describe(), {}});
  } catch (const Error& error) {
    failed("user namespaces", error);
    return;
  }
  cache::Lease lease = store.lease();
  std::vector<SnapshotId> made;
  const auto layer = [&] {
    made.push_back(store.allocate_snapshot(lease));
    worker->create(made.back(), {{"tmp", 0755, {}}});
    return made.back();
  };
  try {
    FileRequest request;
    request.base = {layer()};
    graph::FileAction action;
    action.kind = graph::FileAction::Kind::mkfile;
    action.dest = "/tmp/probe";
    request.actions.push_back({action, {}, {}});
    worker->apply_files(layer(), request);
    rows.push_back({"overlay", true, true, "mounts in a user namespace", {}});
  } catch (Error& error) {
    rows.push_back(
        {"overlay", false, true, error.what(),
         "put the store on ext4, xfs or btrfs (SLIPWAY_HOME), with Linux 5.11 or newer"});
  }
  try {
    ExecSpec spec;
    spec.root.host = true;
    spec.argv = {"/bin/true"};
    Cancel cancel;
    const auto start = std::chrono::steady_clock::now();
    const ExecResult result = worker->exec(spec, {}, cancel);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - start);
    if (!result.status.ok())
      fail(ExitCode::machine, "a command ended with {}", result.status.to_string());
    rows.push_back({"runtime",
                    true,
                    true,
                    fmt::format("ran a command in {} ms; its protections hold", took.count()),
                    {}});
  } catch (const Error& error) {
    failed("runtime", error);
  }
  try {
    worker->remove(made);
  } catch (const Error&) {
    // Forgotten numbers are removed by the next build.
  }
}

}  // namespace

MachineReport probe_machine(cache::Store* store, const std::string& worker_program) {
  MachineReport report;
  std::vector<Capability>& rows = report.capabilities;
  rows.push_back({"system", true, false, system_name(), {}});
  std::optional<TempDir> folder;
  std::unique_ptr<cache::Store> own;
  if (store == nullptr) {
    folder.emplace(TempDir::create("slipway-doctor"));
    own = cache::Store::open(folder->path() / "store");
    store = own.get();
  }
  sandbox_rows(*store, worker_program, rows);
  rows.push_back(ids_row(plan_ids(store->id_base())));
  rows.push_back(seccomp_row());
  rows.push_back(network_row());
  rows.push_back(limits_row());
  rows.push_back(trust_row());
  rows.push_back(disk_row(own ? cache::Store::default_root() : store->root()));
  rows.push_back(program_row("git", "git", "git", false));
  rows.push_back(program_row("making stacks", "mmdebstrap", "mmdebstrap", false));
  bool complete = true;
  for (const Capability& row : rows) complete = complete && (row.ok || !row.required);
  report.rung = Isolation::oci;
  if (!complete) {
    const std::string obstacle = chroot_obstacle();
    rows.push_back(
        {"chroot", obstacle.empty(), false,
         obstacle.empty() ? std::string("Dockerfiles build with --isolation=chroot")
                          : "--isolation=chroot: " + obstacle,
         obstacle.empty() ? std::string() : "run as root, with a container's usual capabilities"});
    report.rung = obstacle.empty() ? Isolation::chroot : Isolation::none;
  }
  return report;
}

}  // namespace slipway::sandbox
