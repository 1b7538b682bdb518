#include "sandbox/record_net.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <thread>

#include "base/error.h"
#include "sandbox/network.h"

namespace slipway::sandbox {
namespace {

constexpr uint16_t http_port = 80, https_port = 443, dns_port = 53;
constexpr int backlog = 512;

/// rtnetlink(7): "ip route add local default dev lo" of one family. Returns an errno.
int add_local_route(int netlink, uint8_t family) {
  struct {
    nlmsghdr header;
    rtmsg route;
    rtattr output;
    uint32_t device;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = RTM_NEWROUTE;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
  message.route.rtm_family = family;
  message.route.rtm_table = RT_TABLE_LOCAL;
  message.route.rtm_protocol = RTPROT_STATIC;
  message.route.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  message.route.rtm_type = RTN_LOCAL;
  message.output.rta_len = RTA_LENGTH(sizeof message.device);
  message.output.rta_type = RTA_OIF;
  message.device = if_nametoindex("lo");
  if (send(netlink, &message, sizeof message, 0) < 0) return errno;
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[1024];
  } answer{};
  const ssize_t size = recv(netlink, &answer, sizeof answer, 0);
  if (size < 0) return errno;
  if (static_cast<size_t>(size) < sizeof answer.header + sizeof answer.error ||
      answer.header.nlmsg_type != NLMSG_ERROR)
    return EPROTO;
  return -answer.error.error;
}

Fd open_listener(int family, int type, uint16_t port) {
  Fd opened(socket(family, type | SOCK_CLOEXEC, 0));
  if (!opened) fail_errno("open the recorder's socket");
  const int on = 1;
  if (setsockopt(opened.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
    fail_errno("set up the recorder's socket");
  sockaddr_storage address{};
  socklen_t size = 0;
  if (family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    size = sizeof v4;
    // Datagrams are answered from the address they were sent to.
    if (type == SOCK_DGRAM && setsockopt(opened.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0)
      fail_errno("set up the recorder's socket");
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    size = sizeof v6;
    if (setsockopt(opened.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0 ||
        (type == SOCK_DGRAM &&
         setsockopt(opened.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0))
      fail_errno("set up the recorder's socket");
  }
  if (bind(opened.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0)
    fail_errno("take port {} of a step's network", port);
  if (type == SOCK_STREAM && listen(opened.get(), backlog) != 0)
    fail_errno("listen on port {} of a step's network", port);
  return opened;
}

}  // namespace

std::vector<RecordListener> open_record_network() {
  bring_loopback_up();
  const Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!netlink) fail_errno("open a netlink socket");
  std::vector<RecordListener> listeners;
  for (const int family : {AF_INET, AF_INET6}) {
    // A kernel without IPv6 has nothing to be taken there.
    const bool there = family == AF_INET || access("/proc/sys/net/ipv6", F_OK) == 0;
    const int problem =
        there ? add_local_route(netlink.get(), static_cast<uint8_t>(family)) : EAFNOSUPPORT;
    if (family == AF_INET6 && (problem == EAFNOSUPPORT || problem == EOPNOTSUPP ||
                               problem == EACCES || problem == ENODEV))
      continue;
    if (problem != 0) fail_errno_text(problem, "make all addresses of a step's network local");
    for (const uint16_t port : {http_port, https_port})
      listeners.push_back({"web", open_listener(family, SOCK_STREAM, port)});
    listeners.push_back({"dns", open_listener(family, SOCK_DGRAM, dns_port)});
    listeners.push_back({"dns-stream", open_listener(family, SOCK_STREAM, dns_port)});
  }
  return listeners;
}

RecordNetwork make_record_network() {
  RecordNetwork made;
  std::exception_ptr thrown;
  // Namespaces belong to threads: the caller stays in its own.
  std::thread([&] {
    try {
      if (unshare(CLONE_NEWNET) != 0) fail_errno("create a network namespace");
      made.listeners = open_record_network();
      made.network = open_file("/proc/thread-self/ns/net", O_RDONLY);
    } catch (...) {
      thrown = std::current_exception();
    }
  }).join();
  if (thrown) std::rethrow_exception(thrown);
  return made;
}

}  // namespace slipway::sandbox
