#include "sandbox/runtime_spec.h"

#include <sys/resource.h>

#include "sandbox/seccomp.h"

namespace slipway::sandbox {
namespace {

using nlohmann::json;

constexpr const char* capability_name[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
};

json mount(const char* destination, const char* type, std::vector<std::string> options) {
  return {{"destination", destination}, {"type", type}, {"source", type}, {"options", options}};
}

json mounts(const RuntimeInput& input) {
  json list = json::array();
  list.push_back(mount("/proc", "proc", {"nosuid", "noexec", "nodev"}));
  list.push_back(mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
  std::vector<std::string> pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  if (!input.setup.single_id) pts.push_back("gid=5");
  list.push_back(mount("/dev/pts", "devpts", pts));
  list.push_back(
      mount("/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}));
  list.push_back(mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  if (input.mount_sys) list.push_back(mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  return list;
}

/// Independent of the machine as far as it allows: Erlang and Java size tables by the soft limit.
json open_files_limit() {
  constexpr rlim_t soft = 65536, hard = 1048576;
  rlimit own{};
  if (getrlimit(RLIMIT_NOFILE, &own) != 0) own.rlim_max = 1024;
  return {{"type", "RLIMIT_NOFILE"},
          {"soft", std::min(soft, own.rlim_max)},
          {"hard", std::min(hard, own.rlim_max)}};
}

json process(const RuntimeInput& input) {
  const ExecSpec& spec = input.spec;
  json env = json::array();
  bool has_home = false;
  for (const auto& [name, value] : spec.env) {
    env.push_back(name + "=" + value);
    has_home = has_home || name == "HOME";
  }
  // Otherwise the runtime would look it up in the root by itself (threat 12).
  if (!has_home)
    env.push_back("HOME=" + (input.user.home.empty() || input.user.home[0] != '/'
                                 ? std::string("/")
                                 : input.user.home));
  json user = {{"uid", input.user.uid}, {"gid", input.user.gid}, {"umask", 0022}};
  // With a single id setgroups() is denied to the whole namespace.
  if (!input.setup.single_id) user["additionalGids"] = input.user.groups;
  const std::vector<std::string> capabilities = capability_names(default_capabilities);
  return {{"terminal", input.terminal},
          {"user", user},
          {"args", spec.argv},
          {"env", env},
          {"cwd", input.cwd},
          // Inheritable and ambient stay empty (threat 17).
          {"capabilities",
           {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
          {"rlimits", {open_files_limit(), {{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}}}},
          {"noNewPrivileges", spec.security == graph::Security::no_new_privileges}};
}

}  // namespace

json runtime_config(const RuntimeInput& input) {
  // The user namespace is the worker's own, which this process is in already.
  json namespaces = {{{"type", "pid"}},
                     {{"type", "ipc"}},
                     {{"type", "uts"}},
                     {{"type", "mount"}},
                     {{"type", "cgroup"}}};
  if (input.own_network) namespaces.push_back({{"type", "network"}});
  json config = {{"ociVersion", "1.0.2"},
                 {"root", {{"path", input.rootfs}, {"readonly", input.spec.root.readonly}}},
                 {"hostname", input.spec.hostname},
                 {"process", process(input)},
                 {"mounts", mounts(input)},
                 {"linux",
                  {{"namespaces", namespaces},
                   {"maskedPaths", masked_paths()},
                   {"readonlyPaths", readonly_paths()}}}};
  if (input.setup.is_crun)
    config["annotations"] = {{"run.oci.seccomp_bpf_data", base64(input.setup.seccomp_bpf)}};
  else
    config["linux"]["seccomp"] = json::parse(input.setup.seccomp_json);
  return config;
}

std::vector<std::string> capability_names(uint64_t mask) {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::size(capability_name); ++i)
    if ((mask >> i & 1U) != 0) names.push_back(std::string("CAP_") + capability_name[i]);
  return names;
}

const std::vector<std::string>& masked_paths() {
  static const std::vector<std::string> paths = {"/proc/acpi",
                                                 "/proc/asound",
                                                 "/proc/kcore",
                                                 "/proc/keys",
                                                 "/proc/latency_stats",
                                                 "/proc/timer_list",
                                                 "/proc/timer_stats",
                                                 "/proc/sched_debug",
                                                 "/proc/scsi",
                                                 "/sys/firmware",
                                                 "/sys/devices/virtual/powercap"};
  return paths;
}

const std::vector<std::string>& readonly_paths() {
  static const std::vector<std::string> paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                                 "/proc/sysrq-trigger"};
  return paths;
}

}  // namespace slipway::sandbox
