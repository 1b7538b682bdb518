// Streaming decompression of foreign bytes: gzip (one or many members) by ISA-L, bzip2, xz and zstd
// by libarchive's filters, anything else as it is. A stream that is cut short or whose checksum is
// wrong is an error, never a short result.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace slipway::archive {

/// Buffered reading of a descriptor from its current offset; counts what was handed out.
class InputFile {
 public:
  explicit InputFile(int fd);
  /// Up to `size` (at most 64 KiB) bytes ahead without consuming them; shorter at the end.
  std::string_view peek(size_t size);
  /// Everything buffered, filled when empty; an empty view is the end.
  std::string_view available();
  void consume(size_t size);
  /// May be asked by another thread.
  uint64_t consumed() const { return consumed_.load(std::memory_order_relaxed); }

 private:
  bool fill();

  int fd_;
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0, end_ = 0;
  std::atomic<uint64_t> consumed_{0};
};

/// A stream of decoded bytes.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Fills up to `size` bytes, 0 at the end. Throws Error(outside) on damage.
  virtual size_t read(char* out, size_t size) = 0;
  /// True when other bytes follow the compressed stream; known once read() gave 0.
  virtual bool trailing_garbage() const { return false; }
  /// False for bytes that are passed on as they are.
  virtual bool compressed() const { return true; }
  /// Told how many bytes the input consumed so far has given, in steps of at most 4 KiB of input
  /// (gzip; others in steps of a block). They may run ahead of what read() gave.
  std::function<void(uint64_t decoded)> on_decoded;
};

/// Chooses by the first bytes.
std::unique_ptr<Decoder> make_decoder(InputFile& input);

}  // namespace slipway::archive
