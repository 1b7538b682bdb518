// Client of the recording proxy, which is slipway-fetch with a channel (a SOCK_SEQPACKET socket):
//
//   slipway → slipway-fetch
//     {"attach": step, "kinds": ["web"|"dns"|"dns-stream", …]} + as many listening sockets
//     {"detach": step}
//     {"settle": N}
//     {"stop": true}, or the channel closed
//   slipway-fetch → slipway
//     {"ready": {"certificate": PEM}}      once, first
//     {"event": {…}}                       RecordedRequest, field by field
//     {"settled": N}
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"

namespace slipway::fetch {

/// A request of a step that was answered. Holds no secrets.
struct RecordedRequest {
  std::string step, method;
  std::string url;  ///< without userinfo, every value of its query "[redacted]"
  int status = 0;
  std::string sha256;       ///< of the whole body; empty: there is none, or it was not kept
  uint64_t size_bytes = 0;  ///< of the whole body
  uint64_t id = 0;          ///< of the row in cache::Downloads; 0 = not kept
  /// "upstream": asked and recorded. "passed": asked, never recorded (POST, credentials, 5xx).
  /// "cache": recorded before, nobody asked. "confirmed": recorded before, the server says it is
  /// the same. "stale": recorded before, the server cannot be reached. "miss": not recorded, and
  /// nobody may be asked. "failed": the server gave no answer.
  std::string source;
  std::string error;  ///< why nothing was kept, or came; for people
  int64_t duration_ms = 0;
  int64_t recorded_s = 0;  ///< when it was recorded, since 1970; 0 = it was not
};

struct RecorderOptions {
  std::string store;     ///< the store's folder, absolute
  bool offline = false;  ///< no server is asked, ever
  /// Rows (RecordedRequest::id) that go before newer ones offline: what an earlier build was given.
  std::vector<uint64_t> preferred;
  std::chrono::seconds stall_limit{60};
  std::string program;          ///< path of slipway-fetch; empty = beside our own executable
  bool allow_loopback = false;  ///< tests: steps may reach servers on this machine
};

/// A socket of a step's network namespace (sandbox/record_net.h).
struct RecordSocket {
  std::string kind;
  Fd socket;
};

/// Thread-safe. One a build; the process ends with it.
class Recorder {
 public:
  /// Returns when it is ready. `on_event` is called from a thread of its own, for what is recorded
  /// once it is in the store. Throws Error(machine).
  static std::unique_ptr<Recorder> start(const RecorderOptions& options,
                                         std::function<void(const RecordedRequest&)> on_event);
  /// Kills it, unless stop() was called; nothing recorded is lost.
  ~Recorder();
  /// What steps must trust, PEM.
  const std::string& certificate_pem() const;
  /// Requests over these sockets are answered and told as `step`'s. Throws Error(machine) when the
  /// recorder is gone.
  void attach(const std::string& step, std::vector<RecordSocket> sockets);
  /// After the step's last process is gone.
  void detach(const std::string& step);
  /// Returns when all that was asked for so far is in the store and was told. Throws Error(machine)
  /// when the recorder is gone.
  void settle();
  /// Ends it in order; throws what it reports.
  void stop();

 private:
  struct State;
  explicit Recorder(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Puts a download into the store by hand: the answer to GET `url` is what `file` holds from its
/// offset on, and no server is asked for it any more. With `sha256` (64 hex digits) it must be
/// that. Throws Error.
RecordedRequest seed_download(const RecorderOptions& options, const std::string& url, int file,
                              const std::string& sha256);

}  // namespace slipway::fetch
