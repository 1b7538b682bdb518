#include "image/blob_hasher.h"

#include "image/hash_states.h"

namespace slipway::image {
namespace {

// Of chunks with bytes; those in the store cost nothing while they wait.
constexpr size_t waiting_max = 3;

}  // namespace

BlobHasher::BlobHasher(const cache::Store& store, const std::string& start, size_t first,
                       size_t count)
    : store_(store),
      hasher_(start.empty() ? Sha256() : Sha256::resume(start)),
      next_(first),
      states_(count),
      thread_([this] { work(); }) {}

BlobHasher::~BlobHasher() {
  close(true);
  if (thread_.joinable()) thread_.join();
}

std::string BlobHasher::finish() {
  close(false);
  thread_.join();
  if (failure_) std::rethrow_exception(failure_);
  return hasher_.finish_hex();
}

void BlobHasher::push(Item item) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return waiting_.size() < waiting_max || failure_ || item.known; });
  if (failure_) std::rethrow_exception(failure_);
  waiting_.push_back(std::move(item));
  lock.unlock();
  news_.notify_one();
}

void BlobHasher::close(bool drop) {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (drop) waiting_.clear();
  }
  news_.notify_one();
}

void BlobHasher::work() {
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      news_.wait(lock, [&] { return closed_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      item = std::move(waiting_.front());
      waiting_.pop_front();
    }
    room_.notify_one();
    try {
      if (item.known) item.bytes = store_.read_chunk(*item.known);
      hasher_.update(item.bytes.data(), item.bytes.size());
      if (is_kept(next_, states_.size())) states_[next_] = hasher_.save();
      ++next_;
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      waiting_.clear();
      room_.notify_one();
      return;
    }
  }
}

}  // namespace slipway::image
