// The recording proxy: takes the connections of steps on sockets that were opened in their network
// namespaces, and answers them from the download cache or from the servers they were meant for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "record/exchange.h"

namespace slipway::record {

/// A listening socket of a step's network.
struct Listener {
  enum class Kind : uint8_t {
    web,        ///< TCP: HTTP, TLS or CONNECT, told apart by the first byte
    dns,        ///< UDP
    dns_stream  ///< TCP
  };
  Kind kind = Kind::web;
  Fd socket;
};
/// "web", "dns", "dns-stream". Throws Error(machine) for any other name.
Listener::Kind listener_kind(const std::string& name);

/// Thread-safe.
class Proxy {
 public:
  /// `on_event` is called from several threads, once for each answered request; for what is
  /// recorded when it is in the store.
  Proxy(cache::Store& store, LibraryOptions options, OnEvent on_event);
  ~Proxy();

  /// Of the authority that steps must trust, PEM.
  const std::string& certificate_pem() const;
  /// Serves these sockets; requests that come over them are `step`'s.
  void attach(const std::string& step, std::vector<Listener> listeners);
  /// Closes the step's listeners; connections end with their clients.
  void detach(const std::string& step);
  /// Waits until what was asked for is in the store, and told.
  void settle();
  /// Ends all connections and transfers; publishes what is whole.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slipway::record
