#include "sandbox/path_match.h"

#include <cstdint>
#include <optional>

#include "base/text.h"

namespace slipway::sandbox {
namespace {

struct Character {
  char32_t code = 0;
  size_t size = 0;  ///< bytes; 0 at the end of the text
  bool valid = true;
};

/// The first character of a UTF-8 text. A byte that starts none is a character of its own, as Go
/// has it: names are bytes.
Character first_character(std::string_view text) {
  if (text.empty()) return {};
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  const Character broken{0xfffd, 1, false};
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return broken;
  char32_t code = lead & (0x7fU >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return broken;
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return broken;
  return {code, size};
}

/// The next character of a bracket, a backslash taken off. Empty when the bracket is malformed.
std::optional<char32_t> take_bracket_character(std::string_view& chunk) {
  if (chunk.empty() || chunk[0] == '-' || chunk[0] == ']') return std::nullopt;
  if (chunk[0] == '\\') chunk.remove_prefix(1);
  const Character found = first_character(chunk);
  if (found.size == 0 || !found.valid) return std::nullopt;
  chunk.remove_prefix(found.size);
  if (chunk.empty()) return std::nullopt;  // the bracket is not closed
  return found.code;
}

/// Matches "[…]", whose '[' is at the front of the chunk, against a character.
bool take_bracket(std::string_view& chunk, char32_t wanted) {
  chunk.remove_prefix(1);
  const bool negated = !chunk.empty() && chunk[0] == '^';
  if (negated) chunk.remove_prefix(1);
  bool matched = false;
  for (size_t ranges = 0;; ++ranges) {
    if (!chunk.empty() && chunk[0] == ']' && ranges > 0) break;
    const auto low = take_bracket_character(chunk);
    if (!low) return false;
    std::optional<char32_t> high = low;
    if (chunk[0] == '-') {
      chunk.remove_prefix(1);
      high = take_bracket_character(chunk);
      if (!high) return false;
    }
    matched = matched || (*low <= wanted && wanted <= *high);
  }
  chunk.remove_prefix(1);
  return matched != negated;
}

/// Matches a part of a pattern without stars at the front of the name; what is left of the name.
std::optional<std::string_view> match_chunk(std::string_view chunk, std::string_view name) {
  while (!chunk.empty()) {
    if (name.empty()) return std::nullopt;
    if (chunk[0] == '[' || chunk[0] == '?') {
      const Character found = first_character(name);
      name.remove_prefix(found.size);
      if (chunk[0] == '?')
        chunk.remove_prefix(1);
      else if (!take_bracket(chunk, found.code))
        return std::nullopt;
      continue;
    }
    if (chunk[0] == '\\') {
      chunk.remove_prefix(1);
      if (chunk.empty()) return std::nullopt;
    }
    if (chunk[0] != name[0]) return std::nullopt;
    chunk.remove_prefix(1);
    name.remove_prefix(1);
  }
  return name;
}

/// Length of the part before the next star that is neither escaped nor in a bracket.
size_t chunk_length(std::string_view pattern) {
  bool in_bracket = false;
  size_t i = 0;
  for (; i < pattern.size(); ++i) {
    if (pattern[i] == '\\') {
      if (i + 1 < pattern.size()) ++i;
    } else if (pattern[i] == '[') {
      in_bracket = true;
    } else if (pattern[i] == ']') {
      in_bracket = false;
    } else if (pattern[i] == '*' && !in_bracket) {
      break;
    }
  }
  return i;
}

}  // namespace

bool has_wildcards(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\')
      ++i;
    else if (text[i] == '*' || text[i] == '?' || text[i] == '[')
      return true;
  }
  return false;
}

bool match_component(std::string_view pattern, std::string_view name) {
  while (!pattern.empty()) {
    bool star = false;
    for (; !pattern.empty() && pattern[0] == '*'; pattern.remove_prefix(1)) star = true;
    const std::string_view chunk = pattern.substr(0, chunk_length(pattern));
    pattern.remove_prefix(chunk.size());
    if (star && chunk.empty()) return true;
    // The last part must reach the end of the name; a star before a part tries every start.
    bool matched = false;
    for (std::string_view rest = name;; rest.remove_prefix(1)) {
      const auto left = match_chunk(chunk, rest);
      if (left && (left->empty() || !pattern.empty())) {
        name = *left;
        matched = true;
        break;
      }
      if (!star || rest.empty()) break;
    }
    if (!matched) return false;
  }
  return name.empty();
}

std::vector<std::string> clean_components(std::string_view path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

}  // namespace slipway::sandbox
