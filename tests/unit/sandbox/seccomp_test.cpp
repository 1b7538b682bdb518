#include "sandbox/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <set>
#include <string>

#include "catch2/catch.hpp"
#include "sandbox/seccomp_profile.h"

using namespace slipway;
using namespace slipway::sandbox;

namespace {

/// Runs one system call under the profile, in a child; 0 = allowed, else errno. The call itself may
/// fail for reasons of its own, which `work` must turn into 0.
int under_profile(const std::function<long()>& work) {
  const std::string bpf = compile_seccomp();
  const pid_t pid = fork();
  if (pid == 0) {
    sock_fprog program{};
    program.len = static_cast<unsigned short>(bpf.size() / sizeof(sock_filter));
    program.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(bpf.data()));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
      _exit(255);
    errno = 0;
    const long result = work();
    _exit(result < 0 ? errno : 0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("seccomp: ordinary calls pass") {
  CHECK(under_profile([] { return syscall(SYS_getpid); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(fork()); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(socket(AF_INET, SOCK_STREAM, 0)); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(socket(AF_UNIX, SOCK_STREAM, 0)); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(socket(AF_NETLINK, SOCK_RAW, 0)); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(personality(0xffffffff)); }) == 0);
  CHECK(under_profile([] { return static_cast<long>(personality(PER_LINUX32)); }) == 0);
}

TEST_CASE("seccomp: calls that reach past the step are refused with EPERM") {
  CHECK(under_profile([] { return static_cast<long>(unshare(CLONE_NEWUSER)); }) == EPERM);
  CHECK(under_profile([] { return static_cast<long>(unshare(0)); }) == EPERM);
  CHECK(under_profile([] { return static_cast<long>(setns(0, 0)); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_mount, "", "", "", 0, ""); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_fsopen, "tmpfs", 0); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_bpf, 0, nullptr, 0); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_keyctl, 0, 0, 0, 0, 0); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_io_uring_setup, 1, nullptr); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_userfaultfd, 0); }) == EPERM);
  CHECK(under_profile([] { return syscall(SYS_open_by_handle_at, 0, nullptr, 0); }) == EPERM);
  CHECK(under_profile([] { return static_cast<long>(socket(AF_ALG, SOCK_SEQPACKET, 0)); }) ==
        EPERM);
  CHECK(under_profile([] { return static_cast<long>(socket(AF_VSOCK, SOCK_STREAM, 0)); }) == EPERM);
  CHECK(under_profile([] { return static_cast<long>(personality(ADDR_NO_RANDOMIZE)); }) == EPERM);
  CHECK(under_profile([] {
          return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0);
        }) == EPERM);
}

TEST_CASE("seccomp: clone3 is not there, so that libc takes clone") {
  CHECK(under_profile([] { return syscall(SYS_clone3, nullptr, 0); }) == ENOSYS);
}

TEST_CASE("seccomp: the lists are sorted, without doubles and contradictions") {
  const auto calls = allowed_calls();
  CHECK(std::is_sorted(calls.begin(), calls.end()));
  std::set<std::string_view> all(calls.begin(), calls.end());
  CHECK(all.size() == calls.size());
  for (const ConditionalRule& rule : conditional_rules()) CHECK_FALSE(all.contains(rule.call));
  for (const std::string_view call : missing_calls()) CHECK_FALSE(all.contains(call));
  for (const char* call :
       {"mount", "unshare", "setns", "pivot_root", "bpf", "init_module", "kexec_load",
        "perf_event_open", "keyctl", "add_key", "request_key", "swapon", "reboot", "settimeofday",
        "clock_settime", "iopl", "ioperm", "syslog", "quotactl"})
    CHECK_FALSE(all.contains(call));
}

TEST_CASE("seccomp: the JSON form says the same") {
  const nlohmann::json profile = seccomp_json();
  CHECK(profile["defaultAction"] == "SCMP_ACT_ERRNO");
  CHECK(profile["syscalls"].size() == 1 + conditional_rules().size() + missing_calls().size());
  CHECK(profile["syscalls"][0]["names"].size() == allowed_calls().size());
  CHECK(seccomp_cache_key() == seccomp_cache_key());
  CHECK(compile_seccomp() == compile_seccomp());
}

TEST_CASE("seccomp: base64") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64(std::string("\0\xff\x10", 3)) == "AP8Q");
}
