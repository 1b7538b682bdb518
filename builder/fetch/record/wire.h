// A client's connection, plain or TLS, read and written with time limits. Everything here waits in
// poll(), so that one descriptor ends all waiting when the recorder stops.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>

#include "base/fd.h"

namespace slipway::record {

/// The other side is gone, silent for too long, or we are stopping: nobody is there to be told.
class Closed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Not thread-safe: one a thread.
class Wire {
 public:
  /// `stop` becomes readable when all must end.
  Wire(Fd socket, int stop);

  /// Waits for the first byte; true when a TLS handshake begins with it.
  bool sniff_tls(std::chrono::milliseconds limit);
  /// The server's side of the handshake; `context` chooses certificates by name. Throws Closed.
  void accept_tls(SSL_CTX* context, std::chrono::milliseconds limit);
  /// At least one byte; 0 at the end. Throws Closed.
  size_t read(void* data, size_t size, std::chrono::milliseconds limit);
  /// All of it. A client may be slow: `limit` is how long it may take nothing. Throws Closed.
  void write(std::string_view data, std::chrono::milliseconds limit);
  /// Says goodbye; without it a TLS client takes the end for an attack, as it should when a body
  /// was cut short.
  void close() noexcept;
  bool is_tls() const { return tls_ != nullptr; }
  /// The name asked for in the handshake; empty without one.
  std::string server_name() const;
  /// Where the client meant to connect: "192.0.2.1" or "[2001:db8::1]".
  std::string own_address() const;
  uint16_t own_port() const;

 private:
  struct SslDeleter {
    void operator()(SSL* tls) const { SSL_free(tls); }
  };
  void wait(short events, std::chrono::milliseconds limit);

  Fd socket_;
  int stop_;
  std::unique_ptr<SSL, SslDeleter> tls_;
};

}  // namespace slipway::record
