// Decodes a stream on a thread of its own, some blocks ahead of who reads it; a second thread may
// hash what was decoded. Inflating, hashing and writing files then take their time side by side.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "archive/decode.h"
#include "base/digest.h"

namespace slipway::archive {

class DecodeAhead : public Decoder {
 public:
  /// `inner` (and the input it reads) is used by the thread only, from now on to the destructor.
  /// With `sha256` all decoded bytes are hashed.
  DecodeAhead(std::unique_ptr<Decoder> inner, bool sha256);
  ~DecodeAhead() override;
  DecodeAhead(const DecodeAhead&) = delete;
  DecodeAhead& operator=(const DecodeAhead&) = delete;

  size_t read(char* out, size_t size) override;
  bool trailing_garbage() const override { return garbage_; }
  bool compressed() const override { return compressed_; }
  /// Hex digits over everything; once read() gave 0.
  std::string sha256();

 private:
  static constexpr size_t block_bytes = 256 << 10;
  static constexpr size_t block_count = 8;
  struct Block {
    std::unique_ptr<char[]> data;
    size_t size = 0;
  };

  void decode();
  void hash();
  // Blocks taken by the slower of the two.
  uint64_t taken() const { return hashing_ ? std::min(read_, hashed_) : read_; }

  std::unique_ptr<Decoder> inner_;
  const bool compressed_, hashing_;
  std::array<Block, block_count> ring_;
  size_t used_ = 0;  // of the block that read() is in
  Sha256 hasher_;

  std::mutex mutex_;  // guards what follows; a block belongs to the thread whose turn it is
  std::condition_variable changed_;
  uint64_t decoded_ = 0, read_ = 0, hashed_ = 0;  // blocks
  bool ended_ = false, stopping_ = false;
  std::exception_ptr failure_;
  bool garbage_ = false;
  std::thread decoder_, hash_thread_;
};

}  // namespace slipway::archive
