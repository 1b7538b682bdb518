// Mutated tars rarely get past the header's checksum; this puts it right, so that what lies behind
// is reached.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

inline std::string with_tar_checksums(const uint8_t* data, size_t size) {
  constexpr size_t block_bytes = 512, checksum_at = 148, checksum_bytes = 8, magic_at = 257;
  std::string tar(reinterpret_cast<const char*>(data), size);
  for (size_t at = 0; at + block_bytes <= tar.size(); at += block_bytes) {
    char* const block = tar.data() + at;
    if (std::memcmp(block + magic_at, "ustar", 5) != 0) continue;
    std::memset(block + checksum_at, ' ', checksum_bytes);
    unsigned sum = 0;
    for (size_t i = 0; i < block_bytes; ++i) sum += static_cast<unsigned char>(block[i]);
    std::snprintf(block + checksum_at, checksum_bytes, "%06o", sum);
  }
  return tar;
}
