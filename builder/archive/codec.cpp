#include "archive/codec.h"

#include <libdeflate.h>
#include <zstd.h>

#include <memory>
#include <new>

#include "base/error.h"

namespace slipway::archive {
namespace {

// Measured against zlib's level 6 on trees of Python, JavaScript, C and programs: level 6 is needed
// to be no larger on text, level 5 suffices for binaries and takes an eighth less time there.
constexpr int text_level = 6;
constexpr int binary_level = 5;
constexpr int quick_level = 4;
constexpr int zstd_level = 3;  // the format's default, and that of other image writers

struct DeflateDeleter {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};
using Deflate = std::unique_ptr<libdeflate_compressor, DeflateDeleter>;

struct ZstdDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using Zstd = std::unique_ptr<ZSTD_CCtx, ZstdDeleter>;

// Decided by the chunk's bytes alone, so that equal chunks give equal members.
bool is_binary(const char* data, size_t size) {
  constexpr size_t stride = 61;  // a prime: no record size hides behind it
  constexpr size_t binary_share = 5;
  size_t seen = 0, binary = 0;
  for (size_t i = 0; i < size; i += stride, ++seen) {
    const auto byte = static_cast<unsigned char>(data[i]);
    binary += byte >= 0x7f || byte < '\t' ? 1 : 0;
  }
  return binary * binary_share > seen;
}

}  // namespace

std::string compressor_name(Codec codec) {
  switch (codec) {
    case Codec::gzip:
      break;
    case Codec::gzip_quick:
      return fmt::format("gzip libdeflate " LIBDEFLATE_VERSION_STRING " level {}, chunker 1",
                         quick_level);
    case Codec::zstd:
      return fmt::format("zstd {} level {}, chunker 1", ZSTD_versionString(), zstd_level);
    case Codec::stored:
      return "stored, chunker 1";
  }
  return "gzip libdeflate " LIBDEFLATE_VERSION_STRING " level 6, 5 for binaries, chunker 1";
}

struct ChunkCompressor::State {
  Codec codec = Codec::gzip;
  Deflate for_text, for_binary;
  Zstd zstd;
  std::unique_ptr<char[]> scratch;
  size_t scratch_size = 0;

  char* room(size_t size) {
    if (scratch_size < size) {
      scratch.reset(new char[size]);  // not zeroed: the compressor fills what is used
      scratch_size = size;
    }
    return scratch.get();
  }
};

ChunkCompressor::ChunkCompressor(Codec codec) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.codec = codec;
  if (codec == Codec::gzip || codec == Codec::gzip_quick) {
    const bool quick = codec == Codec::gzip_quick;
    state.for_text.reset(libdeflate_alloc_compressor(quick ? quick_level : text_level));
    state.for_binary.reset(libdeflate_alloc_compressor(quick ? quick_level : binary_level));
    if (!state.for_text || !state.for_binary) throw std::bad_alloc();
  } else if (codec == Codec::zstd) {
    state.zstd.reset(ZSTD_createCCtx());
    if (!state.zstd) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(state.zstd.get(), ZSTD_c_compressionLevel, zstd_level);
    ZSTD_CCtx_setParameter(state.zstd.get(), ZSTD_c_checksumFlag, 1);
  }
}

ChunkCompressor::~ChunkCompressor() = default;

std::string ChunkCompressor::compress(const char* data, size_t size) {
  State& state = *state_;
  switch (state.codec) {
    case Codec::gzip:
    case Codec::gzip_quick: {
      libdeflate_compressor* compressor =
          (is_binary(data, size) ? state.for_binary : state.for_text).get();
      const size_t bound = libdeflate_gzip_compress_bound(compressor, size);
      const size_t used =
          libdeflate_gzip_compress(compressor, data, size, state.room(bound), bound);
      SLIPWAY_CHECK(used > 0);
      return {state.scratch.get(), used};
    }
    case Codec::zstd: {
      const size_t bound = ZSTD_compressBound(size);
      const size_t used = ZSTD_compress2(state.zstd.get(), state.room(bound), bound, data, size);
      SLIPWAY_CHECK(ZSTD_isError(used) == 0);
      return {state.scratch.get(), used};
    }
    case Codec::stored:
      break;
  }
  return {data, size};
}

}  // namespace slipway::archive
