#include "sandbox/self_check.h"

#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/runtime_spec.h"
#include "sandbox/seccomp.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {
namespace {

constexpr const char* value_area = "sandbox";
constexpr const char* end_mark = "end-of-report";

/// Shell builtins and cat only: every root of the host stack has them.
std::string script() {
  std::string text = "while read -r line; do echo \"$line\"; done < /proc/self/status\n";
  // The list is expanded first: the descriptor it was read through is closed when -e looks.
  text += "for f in /proc/$$/fd/*; do [ -e \"$f\" ] && echo \"fd ${f##*/}\"; done\n";
  text += "echo \"pid $$\"\n";
  for (const std::string& path : masked_paths())
    text += fmt::format(
        "if [ -d {0} ]; then for f in {0}/*; do [ -e \"$f\" ] && echo 'seen {0}'; done; "
        "elif [ -e {0} ]; then [ -c {0} ] || echo 'seen {0}'; fi\n",
        path);
  for (const std::string& path : readonly_paths())
    text += fmt::format("[ -e {0} ] && [ -w {0} ] && echo 'writable {0}'\n", path);
  text += "[ -w /sys ] && echo 'writable /sys'\n";
  text += "[ -w /usr ] && echo 'writable /usr'\n";
  for (const char* path : {place::host, place::snapshots, place::shared, "/home"})
    text += fmt::format("[ -e {0} ] && echo 'seen {0}'\n", path);
  text += "while read -r name rest; do echo \"net $name\"; done < /proc/net/dev\n";
  text += fmt::format("echo {}\n", end_mark);
  return text;
}

std::string check_status(const std::string& name, const std::string& value) {
  const auto number = [&] { return std::strtoull(value.c_str(), nullptr, 16); };
  if (name == "NoNewPrivs" && value != "1") return "no_new_privs is off";
  if (name == "Seccomp" && value != "2") return "no seccomp filter is in force";
  if ((name == "CapBnd" || name == "CapPrm" || name == "CapEff") &&
      number() != default_capabilities)
    return fmt::format("{} is {}, expected {:016x}", name, value, default_capabilities);
  if ((name == "CapInh" || name == "CapAmb") && number() != 0)
    return fmt::format("{} is not empty: {}", name, value);
  return {};
}

}  // namespace

ExecSpec self_check_step() {
  ExecSpec spec;
  spec.root.host = true;
  spec.root.readonly = true;
  spec.argv = {"/bin/sh", "-c", script()};
  spec.env = {{"PATH", "/usr/bin:/bin"}};
  spec.security = graph::Security::no_new_privileges;
  spec.timeout = std::chrono::seconds(30);
  return spec;
}

std::string judge_self_check(const std::string& report) {
  size_t checked = 0;
  bool complete = false;
  for (const std::string& line : split(report, '\n')) {
    if (line == end_mark) complete = true;
    const size_t colon = line.find(':');
    if (colon != std::string::npos && !starts_with(line, "net ")) {
      const std::string name = line.substr(0, colon);
      const std::string problem = check_status(name, std::string(trim(line.substr(colon + 1))));
      if (!problem.empty()) return problem;
      checked += name == "Seccomp" || name == "NoNewPrivs" || starts_with(name, "Cap") ? 1 : 0;
    } else if (starts_with(line, "seen ")) {
      return line.substr(5) + " can be seen";
    } else if (starts_with(line, "writable ")) {
      return line.substr(9) + " can be written";
    } else if (starts_with(line, "fd ") && line.size() > 3) {
      const std::string number = line.substr(3);
      if (number != "0" && number != "1" && number != "2")
        return fmt::format("descriptor {} leaked into the step", number);
    } else if (starts_with(line, "pid ") && line != "pid 1") {
      return "the step has no pid namespace of its own";
    } else if (starts_with(line, "net ")) {
      const std::string name(trim(line.substr(4)));
      if (name != "lo:" && name != "Inter-|" && name != "face")
        return fmt::format("the network device {} can be seen", name);
    }
  }
  if (!complete) return "the check did not finish";
  if (checked < 7) return "the kernel does not tell the state of the protections";
  return {};
}

void self_check(cache::Store& store, const std::string& runtime_identity, const RunStep& run) {
  const std::string boot(
      trim(read_file_if_exists("/proc/sys/kernel/random/boot_id", 128).value_or("unknown")));
  const std::string key = fmt::format("{}|{}|{}|{}|{}", SLIPWAY_VERSION, boot, runtime_identity,
                                      seccomp_cache_key(), geteuid());
  const auto known = store.find_value(value_area, "checked");
  if (known && known->is_string() && known->get<std::string>() == key) return;

  std::string report, errors;
  ExecIo io;
  io.on_stdout = [&](std::string_view text) { report += text; };
  io.on_stderr = [&](std::string_view text) { errors += text; };
  const ExecResult result = run(self_check_step(), io);
  std::string problem = judge_self_check(report);
  if (problem.empty() && !result.status.ok()) problem = result.status.to_string();
  if (!problem.empty()) {
    Error error(ExitCode::machine, "the sandbox does not protect: " + problem);
    if (!errors.empty()) error.add_context(printable(trim(errors)));
    throw error.set_hint(
        "slipway doctor tells what this machine lacks; --isolation=none goes on "
        "without protection");
  }
  store.put_value(value_area, "checked", key);
}

}  // namespace slipway::sandbox
