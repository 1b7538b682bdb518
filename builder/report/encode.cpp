#include "report/encode.h"

#include <cstdint>

namespace slipway::report {
namespace {

/// Length of the UTF-8 character a first byte announces; 0 = it cannot be one.
size_t announced_length(unsigned char first) {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return 2;
  if (first >= 0xe0 && first < 0xf0) return 3;
  if (first >= 0xf0 && first < 0xf5) return 4;
  return 0;
}

/// Decodes at the beginning; size 0 = not UTF-8.
struct Decoded {
  uint32_t value = 0;
  size_t size = 0;
};
Decoded decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const size_t size = announced_length(first);
  if (size == 0 || size > text.size()) return {};
  static constexpr uint32_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  uint32_t value = first & masks[size];
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xc0U) != 0x80) return {};
    value = value << 6U | (byte & 0x3fU);
  }
  // Overlong forms, surrogates and what lies past Unicode are not text (RFC 3629).
  static constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < least[size] || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff) return {};
  return {value, size};
}

/// Columns of a character: East Asian wide forms and emoji take two (roughly UAX 11).
size_t columns_of(uint32_t value) {
  const bool wide = (value >= 0x1100 && value < 0x1160) || (value >= 0x2e80 && value < 0xa4d0) ||
                    (value >= 0xac00 && value < 0xd7a4) || (value >= 0xf900 && value < 0xfb00) ||
                    (value >= 0xfe30 && value < 0xfe70) || (value >= 0xff00 && value < 0xff61) ||
                    (value >= 0x1f300 && value < 0x1faf0) || (value >= 0x20000 && value < 0x3fffe);
  return wide ? 2 : 1;
}

}  // namespace

std::string base64(std::string_view bytes) {
  static constexpr char digits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 63U] : '=';
  }
  return text;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t size = decode(text).size;
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0U) == 0x80) continue;
    return announced_length(byte) > back ? back : 0;
  }
  return 0;
}

std::string fit_columns(std::string_view text, size_t columns) {
  std::string shown;
  size_t used = 0;
  while (!text.empty()) {
    const Decoded c = decode(text);
    const bool control = c.size == 0 || c.value < 0x20 || (c.value >= 0x7f && c.value < 0xa0);
    const size_t width = control ? 1 : columns_of(c.value);
    if (used + width > columns) break;
    used += width;
    if (control)
      shown += '?';
    else
      shown += text.substr(0, c.size);
    text.remove_prefix(c.size == 0 ? 1 : c.size);
  }
  return shown;
}

}  // namespace slipway::report
