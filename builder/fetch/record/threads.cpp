#include "record/threads.h"

namespace slipway::record {

void Threads::run(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (ending_) return;
  waiting_.push_back(std::move(work));
  if (idle_ < waiting_.size() && threads_.size() < threads_max_)
    threads_.emplace_back([this] { serve(); });
  wake_.notify_one();
}

void Threads::settle() {
  std::unique_lock lock(mutex_);
  settled_.wait(lock, [&] { return waiting_.empty() && busy_ == 0; });
}

void Threads::join() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    threads.swap(threads_);
    wake_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
}

void Threads::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [&] { return !waiting_.empty() || ending_; });
    --idle_;
    if (waiting_.empty()) return;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    ++busy_;
    lock.unlock();
    work();
    // What it holds goes before it counts as done.
    work = nullptr;
    lock.lock();
    --busy_;
    if (waiting_.empty() && busy_ == 0) settled_.notify_all();
  }
}

}  // namespace slipway::record
