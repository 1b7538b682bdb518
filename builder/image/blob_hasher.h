// Hashes a layer's compressed bytes beside the compression, in order: fresh chunks as they come,
// known ones read from the store.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "cache/store.h"

namespace slipway::image {

class BlobHasher {
 public:
  /// Goes on from the kept state `start` (empty = from the beginning) with chunk number `first` of
  /// `count`. The store must outlive it.
  BlobHasher(const cache::Store& store, const std::string& start, size_t first, size_t count);
  ~BlobHasher();
  BlobHasher(const BlobHasher&) = delete;
  BlobHasher& operator=(const BlobHasher&) = delete;

  /// The next chunk. Waits when a few are waiting already; throws what the thread threw.
  void add(std::string bytes) { push({std::move(bytes), {}}); }
  void add(const cache::ChunkRef& known) { push({{}, known}); }
  /// Waits for the rest; the digest's hex digits. Throws what the thread threw.
  std::string finish();
  /// After finish(): Sha256::save() after a chunk that is_kept().
  const std::string& state_after(size_t chunk) const { return states_.at(chunk); }

 private:
  struct Item {
    std::string bytes;
    std::optional<cache::ChunkRef> known;
  };

  void push(Item item);
  void close(bool drop);
  void work();

  const cache::Store& store_;
  Sha256 hasher_;
  size_t next_;
  std::vector<std::string> states_;
  std::mutex mutex_;  // guards waiting_, closed_ and failure_
  std::condition_variable news_, room_;
  std::deque<Item> waiting_;
  bool closed_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace slipway::image
