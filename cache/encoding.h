// Length-prefixed fields for small values kept in the index as bytes: names of files are any
// bytes, which JSON cannot hold.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"

namespace slipway::cache {

/// Grammar: (size:8 bytes of the machine's order, that many bytes)*. A store never changes machine
/// while it is open, and a foreign one is refused by its format.
inline void put_field(std::string& out, std::string_view field) {
  const uint64_t size = field.size();
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out += field;
}

/// Takes the first field off `rest`; throws Error(machine) when it is cut short.
inline std::string_view take_field(std::string_view& rest) {
  uint64_t size = 0;
  if (rest.size() >= sizeof size) {
    std::memcpy(&size, rest.data(), sizeof size);
    rest.remove_prefix(sizeof size);
    if (size <= rest.size()) {
      const std::string_view field = rest.substr(0, static_cast<size_t>(size));
      rest.remove_prefix(static_cast<size_t>(size));
      return field;
    }
  }
  fail(ExitCode::machine, "a record in the store's index is cut short");
}

inline std::string pack_digests(const std::vector<Digest>& digests) {
  std::string out;
  for (const Digest& digest : digests)
    out.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  return out;
}

inline std::vector<Digest> unpack_digests(std::string_view data) {
  std::vector<Digest> digests(data.size() / sizeof(Digest::bytes));
  for (size_t i = 0; i < digests.size(); ++i)
    std::memcpy(digests[i].bytes.data(), data.data() + i * sizeof(Digest::bytes),
                sizeof(Digest::bytes));
  return digests;
}

}  // namespace slipway::cache
