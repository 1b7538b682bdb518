#include "record/proxy.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

#include "record/dns.h"

namespace slipway::record {
namespace {

constexpr size_t connections_max = 1024;
constexpr size_t datagram_bytes_max = 4096;
constexpr auto dns_limit = std::chrono::milliseconds(10'000);

Fd make_event() {
  Fd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) fail_errno("make an event");
  return event;
}
void signal_event(const Fd& event) {
  (void)eventfd_write(event.get(), 1);
}

void set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) fail_errno("prepare a listener");
}

void answer_datagram(int socket) {
  char data[datagram_bytes_max];
  sockaddr_storage from{};
  iovec part{data, sizeof data};
  // The address it was sent to must be the one that answers, or the client does not take it.
  alignas(cmsghdr) char control[256];
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket, &message, MSG_DONTWAIT);
  if (size < 0) return;
  const auto reply = answer_dns({data, static_cast<size_t>(size)});
  if (!reply) return;
  part = {const_cast<char*>(reply->data()), reply->size()};
  (void)sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// RFC 1035 §4.2.2: messages with their size before them.
void serve_dns_stream(Wire wire) {
  const auto take = [&](size_t size) {
    std::string data(size, '\0');
    for (size_t at = 0; at < size;) {
      const size_t count = wire.read(data.data() + at, size - at, dns_limit);
      if (count == 0) throw Closed("the client left");
      at += count;
    }
    return data;
  };
  try {
    for (;;) {
      const std::string size = take(2);
      const auto reply = answer_dns(take((static_cast<size_t>(static_cast<uint8_t>(size[0])) << 8) |
                                         static_cast<uint8_t>(size[1])));
      if (!reply) return;
      std::string framed = {static_cast<char>(reply->size() >> 8),
                            static_cast<char>(reply->size() & 0xff)};
      wire.write(framed + *reply, dns_limit);
    }
  } catch (const std::exception&) {
    // Nobody to tell.
  }
}

}  // namespace

Listener::Kind listener_kind(const std::string& name) {
  if (name == "web") return Listener::Kind::web;
  if (name == "dns") return Listener::Kind::dns;
  if (name == "dns-stream") return Listener::Kind::dns_stream;
  fail(ExitCode::machine, "the recorder knows no listener '{}'", name);
}

struct Proxy::State {
  struct Attached {
    std::string step;
    Listener listener;
  };

  State(cache::Store& store, const LibraryOptions& options, OnEvent on_event)
      : authority(store),
        library(store, options),
        service{library, authority, std::move(on_event)},
        accepting([this] { accept_all(); }) {}

  void accept_all();
  void accept_one(const Attached& one);

  Authority authority;
  Library library;
  Service service;
  Fd stop = make_event(), changed = make_event();
  std::mutex mutex;
  std::vector<std::shared_ptr<Attached>> attached;  ///< guarded by mutex
  Threads connections{connections_max};
  std::thread accepting;
};

void Proxy::State::accept_all() {
  for (;;) {
    std::vector<std::shared_ptr<Attached>> current;
    {
      const std::lock_guard lock(mutex);
      current = attached;
    }
    std::vector<pollfd> polls = {{stop.get(), POLLIN, 0}, {changed.get(), POLLIN, 0}};
    for (const auto& one : current) polls.push_back({one->listener.socket.get(), POLLIN, 0});
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) return;
    if (polls[0].revents != 0) return;
    eventfd_t count = 0;
    if (polls[1].revents != 0) (void)eventfd_read(changed.get(), &count);
    for (size_t i = 0; i < current.size(); ++i)
      if (polls[i + 2].revents != 0) accept_one(*current[i]);
  }
}

void Proxy::State::accept_one(const Attached& one) {
  const int socket = one.listener.socket.get();
  if (one.listener.kind == Listener::Kind::dns) {
    answer_datagram(socket);
    return;
  }
  auto client = std::make_shared<Fd>(accept4(socket, nullptr, nullptr, SOCK_CLOEXEC));
  if (!*client) {
    // Out of descriptors: the client waits in the queue; not at full speed of ours.
    if (errno == EMFILE || errno == ENFILE)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return;
  }
  const bool dns = one.listener.kind == Listener::Kind::dns_stream;
  connections.run([this, client, dns, step = one.step] {
    try {
      Wire wire(std::move(*client), stop.get());
      if (dns)
        serve_dns_stream(std::move(wire));
      else
        serve_connection(service, step, std::move(wire));
    } catch (const std::exception&) {
      // A connection that broke before it began.
    }
  });
}

Proxy::Proxy(cache::Store& store, LibraryOptions options, OnEvent on_event)
    : state_(std::make_unique<State>(store, options, std::move(on_event))) {}

Proxy::~Proxy() {
  stop();
}

const std::string& Proxy::certificate_pem() const {
  return state_->authority.certificate_pem();
}

void Proxy::attach(const std::string& step, std::vector<Listener> listeners) {
  const std::lock_guard lock(state_->mutex);
  for (Listener& listener : listeners) {
    set_nonblocking(listener.socket.get());
    state_->attached.push_back(
        std::make_shared<State::Attached>(State::Attached{step, std::move(listener)}));
  }
  signal_event(state_->changed);
}

void Proxy::detach(const std::string& step) {
  const std::lock_guard lock(state_->mutex);
  std::erase_if(state_->attached, [&](const auto& one) { return one->step == step; });
  signal_event(state_->changed);
}

void Proxy::settle() {
  state_->library.settle();
}

void Proxy::stop() {
  signal_event(state_->stop);
  if (state_->accepting.joinable()) state_->accepting.join();
  // Transfers first: connections wait for them.
  state_->library.stop();
  state_->connections.join();
}

}  // namespace slipway::record
