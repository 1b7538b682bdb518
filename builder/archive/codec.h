// How a chunk is compressed: a gzip member, a zstd frame, or not at all. Chunks one after the other
// are one stream to every reader of the format (RFC 1952, RFC 8878).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace slipway::archive {

enum class Codec : uint8_t {
  gzip,
  gzip_quick,  ///< for image layers: half as fast again, about 3 % larger; no larger than others'
  zstd,
  stored
};

/// "gzip libdeflate 1.14 level 6, 5 for binaries, chunker 1": part of every chunk key and of
/// manifests.
std::string compressor_name(Codec codec = Codec::gzip);

/// One thread's compressor; keeps its working memory.
class ChunkCompressor {
 public:
  explicit ChunkCompressor(Codec codec);
  ~ChunkCompressor();
  ChunkCompressor(const ChunkCompressor&) = delete;
  ChunkCompressor& operator=(const ChunkCompressor&) = delete;
  /// Equal bytes, equal result.
  std::string compress(const char* data, size_t size);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace slipway::archive
