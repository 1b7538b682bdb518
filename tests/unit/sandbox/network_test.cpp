#include "sandbox/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/text.h"
#include "catch2/catch.hpp"
#include "sandbox/fixture.h"

using namespace slipway;
using namespace slipway::sandbox;
using Catch::Matchers::Contains;
using slipway::sandbox::testing::Sandbox;

namespace {

/// A TCP listener on the host's loopback.
struct Listener {
  Fd fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  int port = 0;
  Listener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(fd.get(), 4) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
  }
};

std::string connect_script(const std::string& host, int port) {
  return fmt::format(
      "timeout 5 /bin/bash -c 'exec 3<>/dev/tcp/{}/{}' 2>/dev/null && echo reached || echo closed",
      host, port);
}

}  // namespace

TEST_CASE("network: none has a loopback and nothing else") {
  Sandbox box;
  const Listener listener;
  const auto outcome =
      box.shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /etc/resolv.conf; " +
                connect_script("127.0.0.1", listener.port));
  CHECK(outcome.out == "    lo\nclosed\n");
}

TEST_CASE("network: host is the machine's own") {
  Sandbox box;
  const Listener listener;
  ExecSpec spec = Sandbox::host_step();
  spec.network = graph::Network::host;
  const auto outcome = box.shell(
      connect_script("127.0.0.1", listener.port) +
          "; [ -w /sys ] && echo writable; ls /sys/fs/cgroup | wc -l; ls -d /sys/class/net",
      spec);
  CHECK(outcome.all() == "reached\n0\n/sys/class/net\n");
}

TEST_CASE("network: open is one namespace per build, without the host's loopback") {
  const NetworkHelper helper = find_network_helper();
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.network = graph::Network::open;
  if (!helper.usable) {
    WARN("no network helper works for this user: " << helper.remedy);
    try {
      (void)box.shell("true", spec);
      FAIL("must throw");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::machine);
      CHECK_THAT(error.hint(), Contains(helper.remedy));
    }
    return;
  }
  const Listener listener;
  const auto first = box.shell(
      "readlink /proc/self/ns/net; " + connect_script("127.0.0.1", listener.port) + "; " +
          connect_script("10.0.2.2", listener.port) + "; grep -c 00000000 /proc/net/route",
      spec);
  const std::vector<std::string> lines = split(first.out, '\n');
  REQUIRE(lines.size() >= 4);
  CHECK(lines[1] == "closed");
  CHECK(lines[2] == "closed");
  CHECK(lines[3] != "0");
  CHECK(split(box.shell("readlink /proc/self/ns/net", spec).out, '\n')[0] == lines[0]);
  Sandbox other;
  CHECK(split(other.shell("readlink /proc/self/ns/net", spec).out, '\n')[0] != lines[0]);
}

TEST_CASE("network: extra hosts and the host name stand in /etc/hosts") {
  Sandbox box;
  ExecSpec spec = Sandbox::host_step();
  spec.hostname = "buildbox";
  spec.extra_hosts = {"db:10.1.2.3"};
  CHECK(box.shell("hostname 2>/dev/null || cat /proc/sys/kernel/hostname; cat /etc/hosts", spec)
            .out ==
        "buildbox\n127.0.0.1\tlocalhost buildbox\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n10.1.2.3\tdb\n");
  spec.extra_hosts = {"a:1\n2.2.2.2 evil"};
  CHECK_THROWS_WITH(box.shell("true", spec), Contains("expected NAME:IP"));
}
