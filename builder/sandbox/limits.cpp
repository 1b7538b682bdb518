#include "sandbox/limits.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr const char* cgroup_root = "/sys/fs/cgroup";
constexpr uint64_t period_us = 100000;
constexpr const char* delegate_remedy =
    "run the build in a cgroup of its own: systemd-run --user --scope -p Delegate=yes slipway …";

bool is_version2() {
  return access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
}

/// This process's cgroup in the hierarchy of `controller` ("" = version 2), such as "/a/b".
std::string own_cgroup(std::string_view controller) {
  for (const std::string& line : split(read_file("/proc/self/cgroup", 1 << 20), '\n')) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    for (const std::string& name : split(line.substr(first + 1, second - first - 1), ','))
      if (name == controller) return line.substr(second + 1);
  }
  return {};
}

/// Where the version 1 hierarchy of a controller is mounted; empty when it is not.
std::string version1_mount(std::string_view controller) {
  for (const std::string& line : split(read_file("/proc/self/mounts", 4 << 20), '\n')) {
    const std::vector<std::string> fields = split(line, ' ');
    if (fields.size() < 4 || fields[2] != "cgroup") continue;
    for (const std::string& option : split(fields[3], ','))
      if (option == controller) return fields[1];
  }
  return {};
}

void write_value(const std::string& path, const std::string& value) {
  const Fd file = open_file(path, O_WRONLY);
  if (write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size()))
    fail_errno("write {} to {}", value, path);
}

[[noreturn]] void cannot_limit(const std::string& why, const std::string& remedy) {
  throw Error(ExitCode::machine, "limits cannot be enforced here: " + why).set_hint(remedy);
}

std::string new_name() {
  return "slipway-" + to_hex(random_bytes(6));
}

}  // namespace

std::unique_ptr<BuildLimits> BuildLimits::create(const Limits& limits) {
  std::unique_ptr<BuildLimits> result(new BuildLimits);
  if (limits.memory_bytes == 0 && limits.cpus <= 0) return result;
  try {
    if (is_version2())
      result->create_version2(limits);
    else
      result->create_version1(limits);
  } catch (const Error& error) {
    if (starts_with(error.cause(), "limits cannot")) throw;
    cannot_limit(error.cause(), geteuid() == 0 ? "mount the cgroup filesystem writable (docker run "
                                                 "--privileged), or leave the limits out"
                                               : delegate_remedy);
  }
  return result;
}

BuildLimits::~BuildLimits() {
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder) {
    // The last process may still be on its way out.
    for (int attempt = 0; attempt < 100; ++attempt) {
      if (rmdir(folder->c_str()) == 0 || errno != EBUSY) break;
      usleep(10000);
    }
  }
}

void BuildLimits::create_version1(const Limits& limits) {
  const std::string name = new_name();
  const auto make = [&](const char* controller) {
    const std::string base = version1_mount(controller);
    if (base.empty())
      cannot_limit(fmt::format("the {} cgroup controller is not mounted", controller),
                   "use a system with cgroup v2, or leave the limits out");
    std::string folder = base + own_cgroup(controller) + "/" + name;
    // In a container the path names the host's tree; the mount shows ours at its root.
    if (access((base + own_cgroup(controller)).c_str(), F_OK) != 0) folder = base + "/" + name;
    if (mkdir(folder.c_str(), 0755) != 0) fail_errno("create {}", folder);
    folders_.push_back(folder);
    return folder;
  };
  if (limits.memory_bytes > 0) {
    const std::string folder = make("memory");
    write_value(folder + "/memory.limit_in_bytes", std::to_string(limits.memory_bytes));
    if (access((folder + "/memory.memsw.limit_in_bytes").c_str(), F_OK) == 0)
      write_value(folder + "/memory.memsw.limit_in_bytes", std::to_string(limits.memory_bytes));
    procs_[0] = folder + "/cgroup.procs";
    events_ = folder + "/memory.oom_control";
  }
  if (limits.cpus > 0) {
    const std::string folder = make("cpu");
    write_value(folder + "/cpu.cfs_period_us", std::to_string(period_us));
    write_value(folder + "/cpu.cfs_quota_us",
                std::to_string(static_cast<uint64_t>(limits.cpus * period_us)));
    procs_[1] = folder + "/cgroup.procs";
  }
}

void BuildLimits::create_version2(const Limits& limits) {
  const bool root = geteuid() == 0;
  // The hierarchy's root is the one place where processes and limited groups may stand side by
  // side.
  std::string parent = cgroup_root;
  if (!root || access("/sys/fs/cgroup/cgroup.type", F_OK) == 0) {
    parent += own_cgroup("");
    if (access(parent.c_str(), W_OK) != 0)
      cannot_limit("no cgroup is delegated to this user", delegate_remedy);
  }
  const auto enable = [&] { write_value(parent + "/cgroup.subtree_control", "+memory +cpu"); };
  const std::string enabled = read_file(parent + "/cgroup.subtree_control", 4096);
  if (enabled.find("memory") == std::string::npos || enabled.find("cpu") == std::string::npos) {
    try {
      enable();
    } catch (const Error&) {
      // Busy: this process itself stands in the way. It moves one floor down.
      const std::string own = parent + "/" + new_name();
      if (mkdir(own.c_str(), 0755) != 0) fail_errno("create {}", own);
      for (const std::string& pid : split(read_file(parent + "/cgroup.procs", 1 << 20), '\n'))
        if (!pid.empty()) write_value(own + "/cgroup.procs", pid);
      enable();
    }
  }
  const std::string folder = parent + "/" + new_name();
  if (mkdir(folder.c_str(), 0755) != 0) fail_errno("create {}", folder);
  folders_.push_back(folder);
  if (limits.memory_bytes > 0) {
    write_value(folder + "/memory.max", std::to_string(limits.memory_bytes));
    if (access((folder + "/memory.swap.max").c_str(), F_OK) == 0)
      write_value(folder + "/memory.swap.max", "0");
    events_ = folder + "/memory.events";
  }
  if (limits.cpus > 0)
    write_value(folder + "/cpu.max",
                fmt::format("{} {}", static_cast<uint64_t>(limits.cpus * period_us), period_us));
  procs_[0] = folder + "/cgroup.procs";
}

void BuildLimits::add(pid_t pid) {
  for (const std::string& procs : procs_)
    if (!procs.empty()) write_value(procs, std::to_string(pid));
}

uint64_t BuildLimits::out_of_memory_kills() const {
  if (events_.empty()) return 0;
  for (const std::string& line : split(read_file_if_exists(events_, 65536).value_or(""), '\n'))
    if (starts_with(line, "oom_kill ")) return std::strtoull(line.c_str() + 9, nullptr, 10);
  return 0;
}

LimitsSupport probe_limits() {
  try {
    const auto limits = BuildLimits::create({.memory_bytes = 64ULL << 20, .cpus = 1});
    return {true, is_version2() ? "cgroup v2" : "cgroup v1", {}};
  } catch (const Error& error) {
    return {false, error.cause(), error.hint()};
  }
}

}  // namespace slipway::sandbox
