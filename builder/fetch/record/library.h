// Decides for each request what answers it: what is recorded, or the server. Brings answers from
// servers, each once however many ask (threads or processes), and has them recorded when they are
// whole.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cache/downloads.h"
#include "record/answer.h"
#include "record/publisher.h"
#include "record/threads.h"
#include "record/upstream.h"

namespace slipway::record {

enum class Mode : uint8_t {
  record,  ///< servers are asked, unless what is recorded is fresh; whole answers are recorded
  offline  ///< no server is ever asked
};

struct LibraryOptions {
  Mode mode = Mode::record;
  UpstreamOptions upstream;
  /// Rows of cache::Downloads that go before newer ones when nobody is asked: a build replayed as
  /// it was.
  std::vector<uint64_t> preferred;
  uint64_t body_bytes_max = 20ULL << 30;  ///< a longer body is cut off and not recorded
};

/// An answer and the promise that somebody reads it.
class Reading {
 public:
  Reading() = default;
  explicit Reading(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {
    if (answer_) ++answer_->readers;
  }
  Reading(Reading&& other) noexcept = default;
  Reading& operator=(Reading&&) = delete;
  ~Reading() {
    if (answer_) --answer_->readers;
  }
  Answer* operator->() const { return answer_.get(); }
  Answer& operator*() const { return *answer_; }

 private:
  std::shared_ptr<Answer> answer_;
};

/// Thread-safe.
class Library {
 public:
  Library(cache::Store& store, LibraryOptions options);
  ~Library();

  /// GET, HEAD, and git's fetches (with their bodies). Never throws for what a server does: the
  /// answer fails.
  Reading ask(const Request& request, const std::string& step);
  bool is_offline() const { return options_.mode == Mode::offline; }
  /// For what is passed through.
  Upstream& upstream() { return upstream_; }
  /// Waits until all that was brought is in the store, and told.
  void settle();
  /// Ends transfers (what came is kept to be resumed), publishes what is whole.
  void stop();

 private:
  struct Job;
  friend struct Bringing;
  std::vector<cache::Download> find(const std::string& key_text) const;
  std::shared_ptr<Answer> replay(const std::vector<cache::Download>& answers,
                                 const Request& request, Source source, bool any_variant);
  bool adopt(Answer& answer, const cache::Download& download, Source source);
  Reading bring(std::shared_ptr<Job> job);
  void work(Job& job);
  std::optional<cache::Partial> hold(Job& job);
  void forget(const Digest& identity, const std::shared_ptr<Answer>& answer);
  bool is_unreachable(const std::string& url);
  void note_unreachable(const std::string& url);

  const LibraryOptions options_;
  cache::Downloads downloads_;
  std::atomic<bool> stop_{false};
  Upstream upstream_;
  std::mutex mutex_;
  std::map<Digest, std::shared_ptr<Answer>> in_flight_;
  std::map<std::string, std::chrono::steady_clock::time_point> unreachable_;
  std::vector<uint64_t> preferred_;  ///< sorted
  Publisher publisher_;
  Threads workers_;
};

}  // namespace slipway::record
