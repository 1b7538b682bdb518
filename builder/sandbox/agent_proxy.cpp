#include "sandbox/agent_proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <list>
#include <vector>

#include "base/error.h"

namespace slipway::sandbox {
namespace {

// More than any step needs at once; each costs two descriptors.
constexpr size_t connections_max = 32;

/// One direction of a connection: what was read and not yet written.
struct Flow {
  char data[16384];
  size_t begin = 0, end = 0;
  bool closed = false;  ///< the writing side was told

  bool empty() const { return begin == end; }
  void read_from(int fd, bool& ended) {
    const ssize_t count = recv(fd, data, sizeof data, MSG_DONTWAIT);
    begin = 0;
    end = count > 0 ? static_cast<size_t>(count) : 0;
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) ended = true;
  }
  bool write_to(int fd) {
    const ssize_t count = send(fd, data + begin, end - begin, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) begin += static_cast<size_t>(count);
    return count > 0 || errno == EAGAIN || errno == EINTR;
  }
};

struct Connection {
  Fd step, agent;
  bool step_ended = false, agent_ended = false;
  Flow there, back;
};

Fd connect_to(const std::string& path) {
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!fd || path.size() >= sizeof address.sun_path) return {};
  path.copy(address.sun_path, path.size());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return {};
  return fd;
}

/// Passes on what can be; false when the connection is over.
bool pump(Connection& one, short step_events, short agent_events) {
  const short gone = POLLERR | POLLNVAL;
  if ((step_events & gone) != 0 || (agent_events & gone) != 0) return false;
  const auto direction = [](Flow& flow, int from, short from_events, bool& ended, int to) {
    if (flow.empty() && !ended && (from_events & (POLLIN | POLLHUP)) != 0)
      flow.read_from(from, ended);
    if (!flow.empty() && !flow.write_to(to)) return false;
    if (flow.empty() && ended && !flow.closed) {
      shutdown(to, SHUT_WR);
      flow.closed = true;
    }
    return true;
  };
  if (!direction(one.there, one.step.get(), step_events, one.step_ended, one.agent.get()) ||
      !direction(one.back, one.agent.get(), agent_events, one.agent_ended, one.step.get()))
    return false;
  return !(one.there.closed && one.back.closed);
}

}  // namespace

AgentProxy::AgentProxy(Fd listener, std::string target)
    : listener_(std::move(listener)), target_(std::move(target)), stop_(Pipe::create()) {
  thread_ = std::thread([this] { run(); });
}

AgentProxy::~AgentProxy() {
  stop_.write.reset();
  thread_.join();
}

void AgentProxy::run() {
  std::list<Connection> connections;
  for (;;) {
    std::vector<pollfd> polls{{stop_.read.get(), 0, 0}, {listener_.get(), short(POLLIN), 0}};
    if (connections.size() >= connections_max) polls[1].fd = -1;
    for (const Connection& one : connections) {
      const auto events = [](const Flow& in, bool ended, const Flow& out) {
        return static_cast<short>((in.empty() && !ended ? POLLIN : 0) |
                                  (out.empty() ? 0 : POLLOUT));
      };
      // A side that ended keeps saying so: it is asked again only when there is something to write.
      const short step = events(one.there, one.step_ended, one.back);
      const short agent = events(one.back, one.agent_ended, one.there);
      polls.push_back({step != 0 ? one.step.get() : -1, step, 0});
      polls.push_back({agent != 0 ? one.agent.get() : -1, agent, 0});
    }
    if (poll(polls.data(), polls.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (polls[0].revents != 0) return;
    size_t i = 2;
    for (auto one = connections.begin(); one != connections.end(); i += 2) {
      const bool alive = pump(*one, polls[i].revents, polls[i + 1].revents);
      one = alive ? std::next(one) : connections.erase(one);
    }
    if (polls[1].revents == 0) continue;
    Connection fresh;
    fresh.step = Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fresh.step) continue;
    fresh.agent = connect_to(target_);
    // Without an agent the step sees its connection closed, as if the agent had died.
    if (fresh.agent) connections.push_back(std::move(fresh));
  }
}

}  // namespace slipway::sandbox
