// Which characters a variable's name is made of (V1): letters and decimal digits of Unicode, and
// '_'.
#pragma once

#include <cstdint>

namespace slipway::dockerfile {

bool is_letter(uint32_t code);
bool is_digit(uint32_t code);

}  // namespace slipway::dockerfile
