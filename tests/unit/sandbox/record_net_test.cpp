#include "sandbox/record_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "base/files.h"

using namespace slipway;
using namespace slipway::sandbox;

namespace {

/// In a child in namespaces of its own: a test must not lose its network. Returns what it printed,
/// "skip" where this machine does not let us.
std::string in_fresh_network(const std::function<std::string()>& work) {
  Pipe out = Pipe::create();
  const pid_t child = fork();
  if (child == 0) {
    std::string text;
    try {
      const int flags = CLONE_NEWNET | (geteuid() == 0 ? 0 : CLONE_NEWUSER);
      text = unshare(flags) != 0 ? "skip" : work();
    } catch (const std::exception& error) {
      text = error.what();
    }
    write_all(out.write.get(), text);
    _exit(0);
  }
  out.write.reset();
  const std::string text = read_all(out.read.get());
  waitpid(child, nullptr, 0);
  return text;
}

/// Connects to address:port; the address the accepting side sees as its own, or what went wrong.
std::string reach(const std::vector<RecordListener>& listeners, const char* address,
                  uint16_t port) {
  sockaddr_storage to{};
  socklen_t size = sizeof(sockaddr_in);
  const bool six = std::strchr(address, ':') != nullptr;
  if (six) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    inet_pton(AF_INET6, address, &v6.sin6_addr);
    size = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(to);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    inet_pton(AF_INET, address, &v4.sin_addr);
  }
  const Fd client(socket(to.ss_family, SOCK_STREAM, 0));
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&to), size) != 0) return strerror(errno);
  for (const RecordListener& listener : listeners) {
    pollfd ready{listener.socket.get(), POLLIN, 0};
    if (listener.kind == "dns" || poll(&ready, 1, 0) != 1) continue;
    const Fd taken(accept(listener.socket.get(), nullptr, nullptr));
    sockaddr_storage own{};
    socklen_t own_size = sizeof own;
    getsockname(taken.get(), reinterpret_cast<sockaddr*>(&own), &own_size);
    char text[INET6_ADDRSTRLEN] = "";
    if (own.ss_family == AF_INET)
      inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in&>(own).sin_addr, text, sizeof text);
    else
      inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6&>(own).sin6_addr, text, sizeof text);
    return text;
  }
  return "nobody took it";
}

}  // namespace

TEST_CASE("record network: every address ends at our sockets, which know where it should have") {
  const std::string said = in_fresh_network([] {
    const auto listeners = open_record_network();
    std::string text;
    for (const uint16_t port : {80, 443, 53}) text += reach(listeners, "93.184.216.34", port) + " ";
    const bool six = listeners.size() > 4;
    text += six ? reach(listeners, "2606:2800:220:1::1", 443) : "2606:2800:220:1::1";
    // No other port is anybody's.
    return text + " " + reach(listeners, "93.184.216.34", 8080);
  });
  if (said == "skip") {
    WARN("skipped: no network namespaces here");
    return;
  }
  CHECK(said == "93.184.216.34 93.184.216.34 93.184.216.34 2606:2800:220:1::1 Connection refused");
}

TEST_CASE("record network: datagrams are answered from the address they were sent to") {
  const std::string said = in_fresh_network([]() -> std::string {
    const auto listeners = open_record_network();
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(53);
    inet_pton(AF_INET, "198.18.0.53", &to.sin_addr);
    const Fd client(socket(AF_INET, SOCK_DGRAM, 0));
    if (connect(client.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return "connect";
    if (send(client.get(), "ping", 4, 0) != 4) return "send";
    for (const RecordListener& listener : listeners) {
      if (listener.kind != "dns") continue;
      char data[16];
      alignas(cmsghdr) char control[256];
      sockaddr_storage from{};
      iovec part{data, sizeof data};
      msghdr message{};
      message.msg_name = &from;
      message.msg_namelen = sizeof from;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t size = recvmsg(listener.socket.get(), &message, MSG_DONTWAIT);
      if (size < 0) continue;
      part.iov_len = static_cast<size_t>(size);
      if (sendmsg(listener.socket.get(), &message, 0) != size) return "reply";
      // A connected socket takes datagrams of its peer only.
      pollfd ready{client.get(), POLLIN, 0};
      if (poll(&ready, 1, 2000) != 1) return "no answer";
      const ssize_t got = recv(client.get(), data, sizeof data, 0);
      return std::string(data, static_cast<size_t>(std::max<ssize_t>(got, 0)));
    }
    return "nobody took it";
  });
  if (said == "skip") {
    WARN("skipped: no network namespaces here");
    return;
  }
  CHECK(said == "ping");
}

TEST_CASE("record network: the caller stays in its own network") {
  if (geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  const auto here = fs::read_symlink("/proc/thread-self/ns/net");
  const RecordNetwork made = make_record_network();
  CHECK(fs::read_symlink("/proc/thread-self/ns/net") == here);
  CHECK(fs::read_symlink(fmt::format("/proc/self/fd/{}", made.network.get())) != here);
  CHECK(made.listeners.size() >= 4);
}
