#include <cstdint>
#include <limits>

#include "dockerfile/instruction.h"

namespace slipway::dockerfile {
namespace {

struct Unit {
  std::string_view name;
  int64_t ns;
};
// The longer of two with one beginning first.
constexpr Unit units[] = {
    {"ns", 1},         {"us", 1'000},        {"\xc2\xb5s", 1'000},  {"\xce\xbcs", 1'000},
    {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000},
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// One "1.5s" off the front.
std::optional<long double> take_part(std::string_view& text) {
  long double number = 0;
  bool digits = false;
  size_t at = 0;
  for (; at < text.size() && is_digit(text[at]); ++at, digits = true)
    number = number * 10 + (text[at] - '0');
  if (at < text.size() && text[at] == '.') {
    long double place = 0.1L;
    for (++at; at < text.size() && is_digit(text[at]); ++at, digits = true, place /= 10)
      number += place * (text[at] - '0');
  }
  if (!digits) return std::nullopt;
  text.remove_prefix(at);
  for (const Unit& unit : units) {
    if (!text.starts_with(unit.name)) continue;
    text.remove_prefix(unit.name.size());
    return number * static_cast<long double>(unit.ns);
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> duration_ns(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  long double total = 0;
  while (!text.empty()) {
    const std::optional<long double> part = take_part(text);
    if (!part) return std::nullopt;
    total += *part;
    if (!(total < 9.2e18L)) return std::nullopt;
  }
  // Fractions end at the nanosecond; decimal places are not exact in binary.
  const auto ns = static_cast<int64_t>(total + 1e-6L);
  return negative ? -ns : ns;
}

}  // namespace slipway::dockerfile
