// Hashes many open files with two threads while the caller goes on walking. Few files are hashed
// by the caller itself: no thread is started for them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/digest.h"
#include "base/fd.h"

namespace slipway::sandbox {

class HashPool {
 public:
  HashPool() = default;
  HashPool(const HashPool&) = delete;
  HashPool& operator=(const HashPool&) = delete;
  ~HashPool();

  /// Hashes `file` from its start; *digest is set by the time finish() returns and must stay
  /// where it is until then. A file that is not `size` bytes long is an error.
  void add(Fd file, uint64_t size, std::string path, Digest* digest);
  /// Waits for all; throws the first error.
  void finish();

 private:
  struct Job {
    Fd file;
    uint64_t size = 0;
    std::string path;
    Digest* digest = nullptr;
  };
  using Batch = std::vector<Job>;

  void push();
  void work();
  void run(Batch& batch) noexcept;

  Batch filling_;
  uint64_t filling_bytes_ = 0;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> waiting_;   // guarded by mutex_
  bool closed_ = false;         // guarded by mutex_
  std::exception_ptr problem_;  // guarded by mutex_
};

}  // namespace slipway::sandbox
