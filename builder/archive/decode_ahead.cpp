#include "archive/decode_ahead.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace slipway::archive {

DecodeAhead::DecodeAhead(std::unique_ptr<Decoder> inner, bool sha256)
    : inner_(std::move(inner)), compressed_(inner_->compressed()), hashing_(sha256) {
  for (Block& block : ring_) block.data.reset(new char[block_bytes]);
  decoder_ = std::thread([this] { decode(); });
  if (hashing_) hash_thread_ = std::thread([this] { hash(); });
}

DecodeAhead::~DecodeAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  decoder_.join();
  if (hash_thread_.joinable()) hash_thread_.join();
}

void DecodeAhead::decode() {
  std::exception_ptr failure;
  try {
    for (;;) {
      Block* block = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || decoded_ - taken() < block_count; });
        if (stopping_) return;
        block = &ring_[decoded_ % block_count];
      }
      // Filled to the brim: a decoder may give less than asked for.
      block->size = 0;
      while (block->size < block_bytes) {
        const size_t count =
            inner_->read(block->data.get() + block->size, block_bytes - block->size);
        if (count == 0) break;
        block->size += count;
      }
      if (block->size == 0) break;
      {
        const std::lock_guard lock(mutex_);
        ++decoded_;
      }
      changed_.notify_all();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    garbage_ = !failure && inner_->trailing_garbage();
    ended_ = true;
  }
  changed_.notify_all();
}

void DecodeAhead::hash() {
  for (;;) {
    const Block* block = nullptr;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || ended_ || hashed_ < decoded_; });
      if (stopping_ || hashed_ == decoded_) return;
      block = &ring_[hashed_ % block_count];
    }
    hasher_.update(block->data.get(), block->size);
    {
      const std::lock_guard lock(mutex_);
      ++hashed_;
    }
    changed_.notify_all();
  }
}

size_t DecodeAhead::read(char* out, size_t size) {
  const Block* block = nullptr;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || read_ < decoded_; });
    if (read_ == decoded_) {
      // What was decoded before the damage was given out: the reader may have found more of it.
      if (failure_) std::rethrow_exception(failure_);
      return 0;
    }
    block = &ring_[read_ % block_count];
  }
  const size_t part = std::min(size, block->size - used_);
  std::memcpy(out, block->data.get() + used_, part);
  used_ += part;
  if (used_ == block->size) {
    used_ = 0;
    {
      const std::lock_guard lock(mutex_);
      ++read_;
    }
    changed_.notify_all();
  }
  return part;
}

std::string DecodeAhead::sha256() {
  SLIPWAY_CHECK(hashing_);
  {
    std::unique_lock lock(mutex_);
    SLIPWAY_CHECK(ended_ && read_ == decoded_);
    changed_.wait(lock, [&] { return hashed_ == decoded_; });
  }
  return hasher_.finish_hex();
}

}  // namespace slipway::archive
