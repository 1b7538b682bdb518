// Threads that wait for work, as many as there is work at one time.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace slipway::record {

/// Thread-safe. Work must not throw.
class Threads {
 public:
  explicit Threads(size_t threads_max) : threads_max_(threads_max) {}
  ~Threads() { join(); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  /// Runs it soon; with all threads at work, when one is free. Ignored after join().
  void run(std::function<void()> work);
  /// Waits until nothing is running or waiting.
  void settle();
  /// Finishes what was given and ends the threads.
  void join();

 private:
  void serve();

  const size_t threads_max_;
  std::mutex mutex_;
  std::condition_variable wake_, settled_;
  std::vector<std::function<void()>> waiting_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0, busy_ = 0;
  bool ending_ = false;
};

}  // namespace slipway::record
