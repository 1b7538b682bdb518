// Reading UTF-8 one character at a time, from text that may be none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace slipway {

struct Character {
  uint32_t code = 0;
  size_t length = 1;
  /// A byte that starts no well-formed character: its code equals only that of the same byte.
  bool broken() const { return code >= 0x80000000U; }
};

/// The character at `at`, which must be inside the text. Overlong forms and surrogates are broken
/// (RFC 3629), byte by byte.
Character character_at(std::string_view text, size_t at);

/// Surrogates and codes past U+10FFFF become U+FFFD.
void append_utf8(std::string& text, uint32_t code);

}  // namespace slipway
