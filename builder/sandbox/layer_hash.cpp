#include "sandbox/layer_hash.h"

#include "base/error.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

// Small files travel together: handing one over costs as much as hashing it.
constexpr size_t batch_files = 16;
constexpr uint64_t batch_bytes = 2 << 20;
// Bounds the descriptors held open.
constexpr size_t batches_max = 6;
constexpr size_t thread_count = 2;

}  // namespace

HashPool::~HashPool() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void HashPool::add(Fd file, uint64_t size, std::string path, Digest* digest) {
  filling_.push_back({std::move(file), size, std::move(path), digest});
  filling_bytes_ += size;
  if (filling_.size() >= batch_files || filling_bytes_ >= batch_bytes) push();
}

void HashPool::push() {
  while (threads_.size() < thread_count) threads_.emplace_back([this] { work(); });
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < batches_max; });
    waiting_.push_back(std::move(filling_));
  }
  changed_.notify_all();
  filling_.clear();
  filling_bytes_ = 0;
}

void HashPool::finish() {
  run(filling_);
  filling_.clear();
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  if (problem_) std::rethrow_exception(problem_);
}

void HashPool::work() {
  for (;;) {
    Batch batch;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      batch = std::move(waiting_.front());
      waiting_.pop_front();
    }
    changed_.notify_all();
    run(batch);
  }
}

void HashPool::run(Batch& batch) noexcept {
  for (Job& job : batch) {
    try {
      uint64_t size = 0;
      *job.digest = hash_fd(job.file.get(), &size);
      if (size != job.size)
        fail(ExitCode::machine, "{} changed while it was read ({} bytes, then {})",
             printable(job.path), job.size, size);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!problem_) problem_ = std::current_exception();
      return;
    }
    job.file.reset();
  }
}

}  // namespace slipway::sandbox
