#include "record/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/error.h"

namespace slipway::record {
namespace {

constexpr uint8_t tls_handshake = 0x16;

sockaddr_storage own_name(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail_errno("read a connection's address");
  return address;
}

}  // namespace

Wire::Wire(Fd socket, int stop) : socket_(std::move(socket)), stop_(stop) {
  const int flags = fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    fail_errno("prepare a connection");
  const int on = 1;
  // Answers are written whole; waiting for more would cost a client 40 ms each.
  (void)setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void Wire::wait(short events, std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd polls[2] = {{socket_.get(), events, 0}, {stop_, POLLIN, 0}};
    const int count = poll(polls, 2, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (count < 0 && errno != EINTR) fail_errno("wait for a connection");
    if (polls[1].revents != 0) throw Closed("the recorder stops");
    if (count > 0) return;
    if (left.count() <= 0) throw Closed("the client is silent");
  }
}

bool Wire::sniff_tls(std::chrono::milliseconds limit) {
  for (;;) {
    uint8_t first = 0;
    const ssize_t count = recv(socket_.get(), &first, 1, MSG_PEEK);
    if (count == 1) return first == tls_handshake;
    if (count == 0) throw Closed("the client left");
    if (errno != EAGAIN && errno != EINTR) throw Closed("the connection broke");
    wait(POLLIN, limit);
  }
}

void Wire::accept_tls(SSL_CTX* context, std::chrono::milliseconds limit) {
  tls_.reset(SSL_new(context));
  if (!tls_ || SSL_set_fd(tls_.get(), socket_.get()) != 1) throw Closed("TLS cannot start");
  const auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    ERR_clear_error();
    const int result = SSL_accept(tls_.get());
    if (result == 1) return;
    const int why = SSL_get_error(tls_.get(), result);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (why == SSL_ERROR_WANT_READ)
      wait(POLLIN, left);
    else if (why == SSL_ERROR_WANT_WRITE)
      wait(POLLOUT, left);
    else
      throw Closed("the client does not take our certificate");
  }
}

size_t Wire::read(void* data, size_t size, std::chrono::milliseconds limit) {
  for (;;) {
    short events = POLLIN;
    if (tls_) {
      ERR_clear_error();
      const int count =
          SSL_read(tls_.get(), data, static_cast<int>(std::min<size_t>(size, 1 << 20)));
      if (count > 0) return static_cast<size_t>(count);
      const int why = SSL_get_error(tls_.get(), count);
      if (why == SSL_ERROR_ZERO_RETURN) return 0;
      if (why == SSL_ERROR_WANT_WRITE)
        events = POLLOUT;
      else if (why != SSL_ERROR_WANT_READ)
        return 0;
    } else {
      const ssize_t count = recv(socket_.get(), data, size, 0);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EAGAIN && errno != EINTR) return 0;
    }
    wait(events, limit);
  }
}

void Wire::write(std::string_view data, std::chrono::milliseconds limit) {
  while (!data.empty()) {
    short events = POLLOUT;
    if (tls_) {
      ERR_clear_error();
      const int count = SSL_write(tls_.get(), data.data(),
                                  static_cast<int>(std::min<size_t>(data.size(), 1 << 20)));
      if (count > 0) {
        data.remove_prefix(static_cast<size_t>(count));
        continue;
      }
      const int why = SSL_get_error(tls_.get(), count);
      if (why == SSL_ERROR_WANT_READ)
        events = POLLIN;
      else if (why != SSL_ERROR_WANT_WRITE)
        throw Closed("the client left");
    } else {
      const ssize_t count = send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL);
      if (count >= 0) {
        data.remove_prefix(static_cast<size_t>(count));
        continue;
      }
      if (errno != EAGAIN && errno != EINTR) throw Closed("the client left");
    }
    wait(events, limit);
  }
}

void Wire::close() noexcept {
  if (tls_) {
    ERR_clear_error();
    (void)SSL_shutdown(tls_.get());
  }
  (void)shutdown(socket_.get(), SHUT_WR);
  // Unread bytes would turn our last words into a reset (RFC 9112 §9.6).
  char rest[4096];
  for (int i = 0; i < 16 && recv(socket_.get(), rest, sizeof rest, MSG_DONTWAIT) > 0; ++i) {
  }
}

std::string Wire::server_name() const {
  const char* name = tls_ ? SSL_get_servername(tls_.get(), TLSEXT_NAMETYPE_host_name) : nullptr;
  return name != nullptr ? name : "";
}

std::string Wire::own_address() const {
  const sockaddr_storage address = own_name(socket_.get());
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text) != nullptr ? text : "";
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (address.ss_family != AF_INET6 ||
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text) == nullptr)
    return {};
  return fmt::format("[{}]", text);
}

uint16_t Wire::own_port() const {
  const sockaddr_storage address = own_name(socket_.get());
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

}  // namespace slipway::record
