#include "dockerfile/logical_line.h"

#include <algorithm>

namespace slipway::dockerfile {
namespace {

std::string_view without_line_end(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool is_blank_line(std::string_view line) {
  return trim_blanks(line, {0, line.size()}).empty();
}

/// Cuts the escape character and the blanks behind it off a line that continues (P13).
bool cut_continuation(std::string_view& line, char escape) {
  const size_t last = line.find_last_not_of(" \t");
  if (last == std::string_view::npos || line[last] != escape) return false;
  if (last > 0 && line[last - 1] == escape) return false;
  line = line.substr(0, last);
  return true;
}

}  // namespace

size_t blank_length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first == ' ' || (first >= '\t' && first <= '\r')) return at < text.size() ? 1 : 0;
  if (first == 0xc2) return byte(1) == 0x85 || byte(1) == 0xa0 ? 2 : 0;
  if (first < 0xe1 || first > 0xe3) return 0;
  const unsigned code = (first & 0x0fU) << 12U | (byte(1) & 0x3fU) << 6U | (byte(2) & 0x3fU);
  const bool well_formed = (byte(1) & 0xc0U) == 0x80 && (byte(2) & 0xc0U) == 0x80;
  const bool blank = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
  return well_formed && blank ? 3 : 0;
}

Span trim_blanks(std::string_view text, Span span) {
  text = text.substr(0, span.end);
  while (!span.empty()) {
    const size_t length = blank_length(text, span.begin);
    if (length == 0) break;
    span.begin += length;
  }
  while (!span.empty()) {
    // A blank of three bytes cannot end in a shorter one: continuation bytes start no character.
    size_t length = 0;
    for (size_t back = 1; back <= 3 && back <= span.end - span.begin; ++back)
      if (blank_length(text.substr(0, span.end), span.end - back) == back) length = back;
    if (length == 0) break;
    span.end -= length;
  }
  return span;
}

bool is_comment(std::string_view line) {
  const Span span = trim_blanks(line, {0, line.size()});
  return !span.empty() && line[span.begin] == '#';
}

bool PhysicalLines::next(std::string_view& line) {
  if (rest_.empty()) return false;
  const size_t end = rest_.find('\n');
  const size_t length = end == std::string_view::npos ? rest_.size() : end + 1;
  line = rest_.substr(0, length);
  rest_.remove_prefix(length);
  ++number_;
  return true;
}

Place LogicalLine::place(size_t offset) const {
  auto after = std::upper_bound(pieces.begin(), pieces.end(), offset,
                                [](size_t at, const Piece& piece) { return at < piece.offset; });
  if (after == pieces.begin()) return {lines.first, 1};
  const Piece& piece = *--after;
  return {piece.place.line, piece.place.column + static_cast<int>(offset - piece.offset)};
}

LogicalLine join_lines(PhysicalLines& lines, std::string_view first, char escape) {
  LogicalLine joined;
  joined.lines = {lines.number(), lines.number()};
  std::string_view line = without_line_end(first);
  const size_t lead = trim_blanks(line, {0, line.size()}).begin;
  line.remove_prefix(lead);
  joined.pieces.push_back({0, {lines.number(), static_cast<int>(lead) + 1}});
  bool goes_on = cut_continuation(line, escape);
  joined.text = line;
  std::string_view next;
  while (goes_on && lines.next(next)) {
    const int number = lines.number();
    joined.lines.last = number;
    if (is_comment(next)) continue;
    line = without_line_end(next);
    if (is_blank_line(line)) {
      if (!joined.empty_continuation) joined.empty_continuation = Lines{number, number};
      joined.empty_continuation->last = number;
      continue;
    }
    goes_on = cut_continuation(line, escape);
    joined.pieces.push_back({joined.text.size(), {number, 1}});
    joined.text += line;
  }
  return joined;
}

}  // namespace slipway::dockerfile
