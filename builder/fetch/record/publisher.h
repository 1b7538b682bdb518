// Puts finished answers into the store, many at a time, while nobody waits.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cache/downloads.h"
#include "record/answer.h"

namespace slipway::record {

/// Thread-safe.
class Publisher {
 public:
  explicit Publisher(cache::Downloads& downloads);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  /// `on_done` is called once the answer is settled, from the publisher's thread.
  void publish(cache::Finished finished, std::shared_ptr<Answer> answer,
               std::function<void()> on_done);
  void confirm(uint64_t id);
  /// Waits while too much memory waits to be written.
  void wait_for_room();
  /// Waits until all is in the store.
  void settle();
  /// Publishes what it has and ends.
  void join();

 private:
  struct Item {
    cache::Finished finished;
    std::shared_ptr<Answer> answer;
    std::function<void()> on_done;
  };
  void serve();
  void work(std::vector<Item>& items, const std::vector<uint64_t>& confirmed);

  cache::Downloads& downloads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> items_;
  std::vector<uint64_t> confirmed_;
  uint64_t waiting_bytes_ = 0;
  int settling_ = 0;  ///< who waits for it to be done
  bool busy_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace slipway::record
