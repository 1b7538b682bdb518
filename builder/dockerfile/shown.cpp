#include "dockerfile/shown.h"

#include "base/text.h"

namespace slipway::dockerfile {

std::string shown(std::string_view text) {
  constexpr size_t size_max = 60;
  if (text.size() <= size_max) return printable(text);
  size_t end = size_max;
  // Never end inside a character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;
  return printable(text.substr(0, end)) + "...";
}

}  // namespace slipway::dockerfile
