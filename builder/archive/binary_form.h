// Numbers and texts of the binary forms listings are kept in: LEB128 varints and length-prefixed
// bytes. What is read was written by an earlier run at best: nothing is trusted.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace slipway::archive {

inline void put_number(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}
/// Zigzag: small negative numbers stay short.
inline void put_signed(std::string& out, int64_t value) {
  put_number(out, (static_cast<uint64_t>(value) << 1) ^ (value < 0 ? ~uint64_t{0} : 0));
}
inline void put_bytes(std::string& out, std::string_view bytes) {
  put_number(out, bytes.size());
  out += bytes;
}
inline void put_digest(std::string& out, const Digest& digest) {
  out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

/// Leading bytes the two have in common.
inline size_t shared_prefix(std::string_view left, std::string_view right) {
  const size_t most = std::min(left.size(), right.size());
  size_t count = 0;
  while (count < most && left[count] == right[count]) ++count;
  return count;
}

/// Takes fields off the front; `malformed` is told what is wrong and throws.
class FormReader {
 public:
  using Malformed = void (*)(std::string_view what);
  FormReader(std::string_view data, Malformed malformed) : rest_(data), malformed_(malformed) {}
  bool done() const { return rest_.empty(); }
  size_t left() const { return rest_.size(); }
  std::string_view take(size_t size) {
    if (size > rest_.size()) malformed_("cut short");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  uint64_t number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t part = byte();
      if (shift == 63 && part > 1) break;
      value |= static_cast<uint64_t>(part & 0x7f) << shift;
      if ((part & 0x80) == 0) return value;
    }
    malformed_("number out of range");
    return 0;
  }
  uint32_t number32() {
    const uint64_t value = number();
    if (value > UINT32_MAX) malformed_("number out of range");
    return static_cast<uint32_t>(value);
  }
  int64_t signed_number() {
    const uint64_t value = number();
    return static_cast<int64_t>((value >> 1) ^ ((value & 1) != 0 ? ~uint64_t{0} : 0));
  }
  std::string_view bytes() {
    const uint64_t size = number();
    if (size > rest_.size()) malformed_("cut short");
    return take(static_cast<size_t>(size));
  }
  Digest digest() {
    Digest digest;
    const std::string_view bytes = take(digest.bytes.size());
    std::copy(bytes.begin(), bytes.end(), digest.bytes.begin());
    return digest;
  }

 private:
  std::string_view rest_;
  Malformed malformed_;
};

/// Relative, no empty, "." or ".." component, no NUL: what every user of a listing may rely on
/// before it opens anything (threats 8 and 24).
inline bool is_plain_path(std::string_view path) {
  if (path.empty() || path.find('\0') != std::string_view::npos) return false;
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part.empty() || part == "." || part == "..") return false;
    start = end + 1;
  }
  return true;
}

}  // namespace slipway::archive
