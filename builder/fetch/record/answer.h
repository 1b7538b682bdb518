// An answer on its way: one thread fills it, any number read along at their own pace. Small bodies
// stay in memory, large ones are read from the file they grow in, so memory is bounded whatever
// the size and however slow a reader is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "record/message.h"

namespace slipway::record {

/// Where an answer came from.
enum class Source : uint8_t {
  upstream,   ///< the server, and it is recorded
  passed,     ///< the server, and nothing is kept
  cache,      ///< recorded before, no server was asked
  confirmed,  ///< recorded before, the server said it is the same
  stale,      ///< recorded before, the server could not be reached
  miss,       ///< nothing is recorded and no server may be asked
  failed      ///< the server gave no answer
};
const char* source_name(Source source);

/// One answered request, as the parent is told.
struct Event {
  std::string step, method;
  std::string url;  ///< shown_url()
  int status = 0;
  std::string sha256;       ///< of the whole body; empty: there is none, or it was not kept
  uint64_t size_bytes = 0;  ///< of the whole body
  uint64_t id = 0;          ///< of the row in cache::Downloads; 0 = not kept
  Source source = Source::passed;
  std::string error;  ///< why nothing was kept, or came
  int64_t duration_ms = 0;
  int64_t recorded_s = 0;  ///< when the answer was recorded, for those that were
};
using OnEvent = std::function<void(const Event& event)>;

/// Thread-safe.
class Answer {
 public:
  struct Head {
    int status = 0;
    Headers headers;
    std::optional<uint64_t> length;
    Source source = Source::upstream;
  };

  // --- for who fills it, in this order ---
  void set_head(Head head);
  /// The body is in this file, `available` bytes of it by now.
  void set_file(Fd file, uint64_t available);
  /// Appends; into the file when there is one, else into memory.
  void append(const char* data, size_t size);
  void set_available(uint64_t available);
  void complete();
  /// `cause` is for people. Readers who wait for the head get it, others are cut off.
  void fail(std::string cause);
  /// What became of it in the store; told to all who were answered with it.
  void settle(const std::string& sha256, uint64_t id, int64_t recorded_s, const std::string& error);

  // --- for readers ---
  /// Null when it failed before there was one: failure() says why.
  const Head* wait_head();
  std::string failure() const;
  /// Waits for bytes at `offset` and reads up to `size`; 0 at the end. Throws Closed when the body
  /// breaks off.
  size_t read(uint64_t offset, char* data, size_t size);
  /// Known once it is complete, or when its head says so.
  std::optional<uint64_t> total() const;
  /// Calls `on_event` with the event completed, now or when it is settled.
  void report(Event event, const OnEvent& on_event);

  bool has_head() const;
  uint64_t available() const;
  /// The body while it is in memory.
  std::string memory() const;
  /// Readers at work; the filler may give up when nobody is left.
  std::atomic<int> readers{0};

 private:
  struct Pending {
    Event event;
    OnEvent on_event;
  };
  void finish_event(Event& event) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Head> head_;
  std::string memory_;
  Fd file_;
  uint64_t available_ = 0;
  bool complete_ = false, failed_ = false, settled_ = false;
  std::string failure_;
  std::string sha256_, error_;
  uint64_t id_ = 0;
  int64_t recorded_s_ = 0;
  std::vector<Pending> pending_;
};

}  // namespace slipway::record
