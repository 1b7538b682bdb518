// One HTTP exchange at a time over a connection that is kept: no redirects, no retries, no
// credentials of its own. What a server may make us hold in memory is bounded (threat 21).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fetch/url.h"
#include "netfetch/curl.h"

namespace slipway::netfetch {

/// How a server is recognised, and we by it.
struct Trust {
  std::string authorities_pem;                 ///< empty = trusted_certificates()
  std::string client_certificate, client_key;  ///< files; empty = none
  bool verify = true;
};

struct HttpReply {
  long status = 0;
  /// Of the last answer (not of interim ones): names in lower case, in order.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  ///< what did not go to the sink, cut at body_max
  const std::string* header(std::string_view name) const;
};

struct HttpCall {
  std::string method = "GET";
  fetch::Url url;                    ///< its userinfo is not sent
  std::vector<std::string> headers;  ///< "Name: value"
  /// The request's body: a text, or `upload_bytes` from `read`, which fills up to `size` bytes
  /// and returns how many (0 = no more there: the exchange fails).
  std::string body;
  std::function<size_t(char* data, size_t size)> read;
  uint64_t upload_bytes = 0;
  /// Called when a body begins; true sends it to `sink`. Both may throw: the transfer stops and the
  /// exception is send()'s.
  std::function<bool(const HttpReply& head)> wants_body;
  std::function<void(const char* data, size_t size)> sink;
  size_t body_max = 64 << 10;  ///< of HttpReply::body
  std::chrono::seconds stall_limit{60};
  const Trust* trust = nullptr;
  bool without_proxy = false;
};

/// Not thread-safe: one a thread.
class Connection {
 public:
  /// `stop`, when it becomes true, ends a transfer with Interrupted; may be null.
  explicit Connection(const std::atomic<bool>* stop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// The answer, whatever its status. Throws Transient or Error(outside) when there is none or it
  /// is cut short. Messages name method and public URL.
  HttpReply send(const HttpCall& call);

 private:
  struct Transfer;
  std::unique_ptr<CURL, CurlDeleter> handle_;
  const std::atomic<bool>* stop_;
};

/// "GET https://host/path": how messages name a call.
std::string call_text(const std::string& method, const fetch::Url& url);

/// `location` as seen from `base`; its userinfo is dropped (threat 15). Empty when it is no http(s)
/// address.
std::optional<fetch::Url> resolve_location(const fetch::Url& base, const std::string& location);

/// localhost, 127.0.0.0/8 and [::1]: where plain http is no danger (N8). `host` as in a URL.
bool is_loopback(const std::string& host);

}  // namespace slipway::netfetch
