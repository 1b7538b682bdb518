#include "sandbox/runtime_spec.h"

#include <sys/resource.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/text.h"
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
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
constexpr const char* limit_names[] = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};
constexpr int limit_numbers[] = {RLIMIT_AS,     RLIMIT_CORE,   RLIMIT_CPU,        RLIMIT_DATA,
                                 RLIMIT_FSIZE,  RLIMIT_LOCKS,  RLIMIT_MEMLOCK,    RLIMIT_MSGQUEUE,
                                 RLIMIT_NICE,   RLIMIT_NOFILE, RLIMIT_NPROC,      RLIMIT_RSS,
                                 RLIMIT_RTPRIO, RLIMIT_RTTIME, RLIMIT_SIGPENDING, RLIMIT_STACK};
static_assert(std::size(limit_names) == std::size(limit_numbers));
constexpr uint64_t default_shm_bytes = 64 << 20;

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
  const uint64_t shm_bytes =
      input.spec.shm_size_bytes != 0 ? input.spec.shm_size_bytes : default_shm_bytes;
  list.push_back(mount("/dev/shm", "tmpfs",
                       {"nosuid", "noexec", "nodev", "mode=1777",
                        fmt::format("size={}k", (shm_bytes + 1023) / 1024)}));
  list.push_back(mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
  if (input.mount_sys) {
    std::vector<std::string> sys = {"nosuid", "noexec", "nodev"};
    if (input.spec.security != graph::Security::insecure) sys.push_back("ro");
    list.push_back(mount("/sys", "sysfs", sys));
  }
  for (const auto& [source, place] : input.device_mounts)
    list.push_back(
        {{"destination", place}, {"type", "bind"}, {"source", source}, {"options", {"rbind"}}});
  return list;
}

json open_files_limit() {
  const rlimit limit = default_open_files();
  return {{"type", "RLIMIT_NOFILE"}, {"soft", limit.rlim_cur}, {"hard", limit.rlim_max}};
}

rlim_t limit_value(int64_t given) {
  return given < 0 ? RLIM_INFINITY : static_cast<rlim_t>(given);
}

json limits(const ExecSpec& spec) {
  std::map<std::string, json> list;
  list["RLIMIT_NOFILE"] = open_files_limit();
  list["RLIMIT_CORE"] = {{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}};
  for (const graph::Ulimit& limit : spec.ulimits) {
    check_limit(limit);
    const std::string type = limit_type(limit.name);
    list[type] = {
        {"type", type}, {"soft", limit_value(limit.soft)}, {"hard", limit_value(limit.hard)}};
  }
  json all = json::array();
  for (const auto& [type, limit] : list) all.push_back(limit);
  return all;
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
  const bool insecure = spec.security == graph::Security::insecure;
  const std::vector<std::string> capabilities =
      capability_names(insecure ? all_capabilities : default_capabilities);
  return {{"terminal", input.terminal},
          {"user", user},
          {"args", spec.argv},
          {"env", env},
          {"cwd", input.cwd},
          // Inheritable and ambient stay empty (threat 17).
          {"capabilities",
           {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
          {"rlimits", limits(spec)},
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
                 {"linux", {{"namespaces", namespaces}}}};
  // X7: nothing is hidden, and no filter is in force; only the executor's caller grants this.
  if (input.spec.security == graph::Security::insecure) return config;
  config["linux"]["maskedPaths"] = masked_paths();
  config["linux"]["readonlyPaths"] = readonly_paths();
  if (input.setup.is_crun)
    config["annotations"] = {{"run.oci.seccomp_bpf_data", base64(input.setup.seccomp_bpf)}};
  else
    config["linux"]["seccomp"] = json::parse(input.setup.seccomp_json);
  return config;
}

int limit_number(const std::string& name) {
  const auto found = std::find(std::begin(limit_names), std::end(limit_names), name);
  return found == std::end(limit_names) ? -1 : limit_numbers[found - limit_names];
}

void check_limit(const graph::Ulimit& limit) {
  const int number = limit_number(limit.name);
  if (number < 0) fail(ExitCode::usage, "--ulimit {}: unknown", printable(limit.name));
  rlimit own{};
  if (getrlimit(static_cast<__rlimit_resource>(number), &own) == 0 &&
      limit_value(limit.hard) > own.rlim_max)
    throw Error(ExitCode::machine, fmt::format("--ulimit {}={}: the limit here is {}", limit.name,
                                               limit.hard, own.rlim_max))
        .set_hint("raise it for the process that starts the build");
}

rlimit default_open_files() {
  constexpr rlim_t soft = 65536, hard = 1048576;
  rlimit own{};
  if (getrlimit(RLIMIT_NOFILE, &own) != 0) own.rlim_max = 1024;
  return {std::min(soft, own.rlim_max), std::min(hard, own.rlim_max)};
}

std::string limit_type(const std::string& name) {
  if (std::find(std::begin(limit_names), std::end(limit_names), name) == std::end(limit_names))
    return {};
  std::string type = "RLIMIT_" + name;
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return type;
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
