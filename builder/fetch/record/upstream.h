// The recorder's own requests: libcurl, because it knows proxies, their exceptions and private
// authorities of a machine as everything else here does. Connections are kept for each origin.
// Nothing is followed, retried or decoded: answers are for the client. The host's loopback and
// link-local addresses are refused: a step must not reach through us what its own network hides.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "netfetch/curl.h"
#include "record/message.h"

namespace slipway::record {

struct UpstreamHead {
  int status = 0;
  Headers headers;                 ///< names in lower case
  std::optional<uint64_t> length;  ///< Content-Length
};

struct UpstreamCall {
  std::string method, url;
  Headers headers;
  /// The request's body: fills up to `size` bytes, 0 at the end. May be null.
  std::function<size_t(char* data, size_t size)> read;
  std::optional<uint64_t> upload_bytes;  ///< of `read`; empty = sent in chunks
  /// Once, before the body. May throw, as on_body: the transfer ends and send() throws that.
  std::function<void(const UpstreamHead& head)> on_head;
  std::function<void(const char* data, size_t size)> on_body;
};

struct UpstreamOptions {
  std::chrono::seconds connect_limit{10};
  std::chrono::seconds stall_limit{60};
  /// Tests have their servers on the loopback.
  bool allow_loopback = false;
};

/// Thread-safe.
class Upstream {
 public:
  /// `stop`, when it becomes true, ends transfers with Interrupted.
  Upstream(UpstreamOptions options, const std::atomic<bool>& stop);
  ~Upstream();

  /// Returns when the whole answer has come. Throws Transient (nobody answered, cut short, silent)
  /// or Error(outside).
  void send(const UpstreamCall& call);

 private:
  struct Idle {
    std::string origin;
    std::unique_ptr<CURL, netfetch::CurlDeleter> handle;
    std::chrono::steady_clock::time_point since;
  };
  std::unique_ptr<CURL, netfetch::CurlDeleter> take(const std::string& origin);
  void give_back(const std::string& origin, std::unique_ptr<CURL, netfetch::CurlDeleter> handle);

  const UpstreamOptions options_;
  const std::atomic<bool>& stop_;
  std::string trusted_;
  std::vector<long> proxy_ports_;  ///< of proxies on this machine
  std::mutex mutex_;
  std::vector<Idle> idle_;
};

}  // namespace slipway::record
