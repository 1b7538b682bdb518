#include "sandbox/network.h"

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

constexpr auto ready_wait = std::chrono::seconds(10);
constexpr const char* tunnel_device = "/dev/net/tun";
constexpr const char* install_remedy = "sudo apt-get install -y passt slirp4netns";

bool tunnel_open_to_all() {
  struct stat info {};
  return stat(tunnel_device, &info) == 0 && (info.st_mode & 0006) == 0006;
}

/// Runs `work` in a thread of its own and hands on what it throws. Namespaces belong to threads:
/// the caller stays in the host's network, which it could not enter again.
template <typename Work>
void in_own_thread(Work work) {
  std::exception_ptr thrown;
  std::thread([&] {
    try {
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  if (thrown) std::rethrow_exception(thrown);
}

/// A default route in the namespace this thread is in.
bool has_default_route() {
  const std::string routes =
      read_file_if_exists("/proc/thread-self/net/route", 1 << 20).value_or("");
  for (const std::string& line : split(routes, '\n')) {
    const std::vector<std::string> fields = split(line, '\t');
    if (fields.size() > 2 && fields[1] == "00000000" && fields[0] != "Iface") return true;
  }
  return false;
}

[[noreturn]] void fail_helper(const std::string& name, const std::string& output) {
  throw Error(ExitCode::machine, fmt::format("{} did not connect the build's network{}{}", name,
                                             output.empty() ? "" : ": ", printable(trim(output))))
      .set_hint("slipway doctor tells what is missing; --network=host uses the host's network");
}

}  // namespace

void bring_loopback_up() {
  const Fd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control) fail_errno("create a socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (ioctl(control.get(), SIOCGIFFLAGS, &request) != 0) fail_errno("read the loopback's flags");
  request.ifr_flags |= IFF_UP;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) != 0) fail_errno("bring up the loopback");
}

Fd make_network_namespace() {
  Fd network;
  in_own_thread([&] {
    if (unshare(CLONE_NEWNET) != 0) fail_errno("create a network namespace");
    bring_loopback_up();
    network = open_file("/proc/thread-self/ns/net", O_RDONLY);
  });
  return network;
}

NetworkHelper find_network_helper() {
  NetworkHelper helper;
  if (access(tunnel_device, F_OK) != 0) {
    helper.remedy = "sudo modprobe tun (in a container: --device /dev/net/tun)";
    return helper;
  }
  const bool root = geteuid() == 0;
  const std::string pasta = find_program("pasta"), slirp = find_program("slirp4netns");
  const bool for_all = tunnel_open_to_all();
  const bool for_us = access(tunnel_device, R_OK | W_OK) == 0;
  // pasta runs inside the worker's namespaces, where even root's worker is nobody to the host.
  if (!pasta.empty() && (root ? for_all : for_us))
    // Its name stays: the program is passt, which goes by the name it was called with.
    return {NetworkHelper::Kind::pasta,
            (fs::canonical(fs::path(pasta).parent_path()) / "pasta").string(),
            {},
            true};
  if (!slirp.empty() && (root || for_us))
    return {NetworkHelper::Kind::slirp4netns, slirp, {}, true};
  helper.remedy = pasta.empty() && slirp.empty() ? install_remedy : "sudo chmod 0666 /dev/net/tun";
  return helper;
}

std::vector<std::string> pasta_command(const std::string& program, const std::string& network,
                                       const std::string& name_server) {
  std::vector<std::string> argv = {program, "--foreground", "--quiet", "--config-net",
                                   // Nothing of the host's loopback, in neither direction.
                                   "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U",
                                   "none", "--netns-only", "--netns", network};
  if (!name_server.empty()) argv.insert(argv.end(), {"--dns-forward", name_server});
  return argv;
}

Child start_pasta(const std::string& program, int network, const std::string& name_server) {
  // pasta gives its rights up before it opens the namespace; by then /proc/*/fd is closed to it,
  // a path is not. It ends when the path goes, so that stays as long as the worker's root.
  const std::string path = fmt::format("/run/network-{}", getpid());
  (void)open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (mount(fmt::format("/proc/self/fd/{}", network).c_str(), path.c_str(), nullptr, MS_BIND,
            nullptr) != 0)
    fail_errno("bind the build's network");
  Pipe errors = Pipe::create();
  SpawnOptions options;
  options.argv = pasta_command(program, path, name_server);
  options.env.emplace();
  (*options.env)["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";
  options.stderr_fd = errors.write.get();
  Child child = spawn(options);
  errors.write.reset();
  const auto until = std::chrono::steady_clock::now() + ready_wait;
  in_own_thread([&] {
    if (setns(network, CLONE_NEWNET) != 0) fail_errno("enter the build's network");
    while (!has_default_route()) {
      if (child.try_wait() || std::chrono::steady_clock::now() > until) {
        child = Child();
        fail_helper("pasta", read_all(errors.read.get(), 65536));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  return child;
}

SlirpProcess start_slirp(const std::string& program, int network, pid_t worker) {
  Pipe ready = Pipe::create(), output = Pipe::create(), alive = Pipe::create();
  SpawnOptions options;
  const std::string target = fmt::format("/proc/{}/fd/{}", getpid(), network);
  options.argv = {program,
                  "--configure",
                  "--mtu=65520",
                  "--disable-host-loopback",
                  fmt::format("--ready-fd={}", ready.write.get()),
                  fmt::format("--exit-fd={}", alive.read.get()),
                  "--netns-type=path"};
  // Root may enter every namespace and gives its rights up afterwards; an ordinary user has none
  // and must go through the namespace that owns this one.
  if (geteuid() == 0)
    options.argv.push_back("--enable-sandbox");
  else
    options.argv.push_back(fmt::format("--userns-path=/proc/{}/ns/user", worker));
  options.argv.insert(options.argv.end(), {target, "tap0"});
  options.env.emplace();
  (*options.env)["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";
  options.keep_fds = {ready.write.get(), alive.read.get()};
  // The death signal would come with the calling thread, which may end long before the build.
  options.die_with_parent = false;
  options.stdout_fd = options.stderr_fd = output.write.get();
  Child child = spawn(options);
  ready.write.reset();
  output.write.reset();
  pollfd poller{ready.read.get(), POLLIN, 0};
  const int wait_ms = static_cast<int>(std::chrono::milliseconds(ready_wait).count());
  while (poll(&poller, 1, wait_ms) < 0 && errno == EINTR) {
  }
  char byte = 0;
  if ((poller.revents & POLLIN) == 0 || read_some(ready.read.get(), &byte, 1) == 0) {
    child = Child();
    fail_helper("slirp4netns", read_all(output.read.get(), 65536));
  }
  return {std::move(child), std::move(alive.write)};
}

}  // namespace slipway::sandbox
