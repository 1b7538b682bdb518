// Which characters a variable's name is made of (V1): letters and decimal digits of Unicode, and
// '_'.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slipway::dockerfile {

/// The character of UTF-8 at `at` and its length; a byte that starts none is a character of its
/// own, outside Unicode. `at` must be inside the text.
struct Character {
  uint32_t code = 0;
  size_t length = 1;
};
Character character_at(std::string_view text, size_t at);

bool is_letter(uint32_t code);
bool is_digit(uint32_t code);

}  // namespace slipway::dockerfile
