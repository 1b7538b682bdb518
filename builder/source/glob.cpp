#include "source/glob.h"

#include <cstdint>

#include "base/utf8.h"

namespace slipway::source {
namespace {

/// The character at `at`, which is moved past it.
uint32_t next_char(std::string_view text, size_t& at) {
  const Character character = character_at(text, at);
  at += character.length;
  return character.code;
}

/// Matches the set that starts after '[' at `at` and moves past its ']'. As in Ruby (dir.c,
/// bracket()), the first ']' closes it and a set that is never closed matches nothing.
bool match_set(std::string_view pattern, size_t& at, uint32_t c) {
  size_t i = at;
  const bool negated = i < pattern.size() && (pattern[i] == '^' || pattern[i] == '!');
  if (negated) ++i;
  bool hit = false;
  while (i < pattern.size()) {
    if (pattern[i] == ']') {
      at = i + 1;
      return hit != negated;
    }
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const uint32_t low = next_char(pattern, i);
    uint32_t high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      ++i;
      if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
      high = next_char(pattern, i);
    }
    if (low <= c && c <= high) hit = true;
  }
  return false;
}

/// Matches one element of the pattern (never '*') against one character; moves both on a match.
bool match_one(std::string_view pattern, size_t& p, std::string_view name, size_t& n) {
  if (p >= pattern.size() || n >= name.size()) return false;
  size_t after_p = p;
  size_t after_n = n;
  const uint32_t c = next_char(name, after_n);
  bool hit = false;
  if (pattern[p] == '?') {
    ++after_p;
    hit = true;
  } else if (pattern[p] == '[') {
    ++after_p;
    hit = match_set(pattern, after_p, c);
  } else {
    if (pattern[p] == '\\' && p + 1 < pattern.size()) ++after_p;
    hit = next_char(pattern, after_p) == c;
  }
  if (!hit) return false;
  p = after_p;
  n = after_n;
  return true;
}

bool spells_a_dot(std::string_view pattern) {
  return pattern.starts_with('.') || pattern.starts_with("\\.");
}

struct Braces {
  size_t open = 0, close = 0;
  std::vector<size_t> commas;
};

/// The first balanced pair of braces at the outermost level.
std::optional<Braces> find_braces(std::string_view pattern) {
  for (size_t start = 0; start < pattern.size(); ++start) {
    if (pattern[start] == '\\') {
      ++start;
      continue;
    }
    if (pattern[start] != '{') continue;
    Braces found{start, 0, {}};
    int depth = 0;
    for (size_t i = start; i < pattern.size(); ++i) {
      if (pattern[i] == '\\') {
        ++i;
      } else if (pattern[i] == '{') {
        ++depth;
      } else if (pattern[i] == ',' && depth == 1) {
        found.commas.push_back(i);
      } else if (pattern[i] == '}' && --depth == 0) {
        found.close = i;
        return found;
      }
    }
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

bool glob_component_matches(std::string_view pattern, std::string_view name) {
  if (name.starts_with('.') && !spells_a_dot(pattern)) return false;
  size_t p = 0;
  size_t n = 0;
  // Only the last '*' needs to be tried again: an earlier one could take no more than it may.
  size_t star = std::string_view::npos;
  size_t star_name = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      star_name = n;
    } else if (match_one(pattern, p, name, n)) {
      continue;
    } else if (star != std::string_view::npos) {
      p = star;
      next_char(name, star_name);
      n = star_name;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::optional<std::vector<std::string>> expand_braces(std::string_view pattern, size_t limit) {
  std::vector<std::string> pending{std::string(pattern)};
  std::vector<std::string> done;
  while (!pending.empty()) {
    if (pending.size() + done.size() > limit) return std::nullopt;
    const std::string word = std::move(pending.back());
    pending.pop_back();
    const std::optional<Braces> braces = find_braces(word);
    if (!braces) {
      done.push_back(word);
      continue;
    }
    std::vector<size_t> cuts{braces->open};
    cuts.insert(cuts.end(), braces->commas.begin(), braces->commas.end());
    cuts.push_back(braces->close);
    if (pending.size() + done.size() + cuts.size() > limit) return std::nullopt;
    for (size_t i = cuts.size() - 1; i > 0; --i)
      pending.push_back(word.substr(0, braces->open) +
                        word.substr(cuts[i - 1] + 1, cuts[i] - cuts[i - 1] - 1) +
                        word.substr(braces->close + 1));
  }
  return done;
}

}  // namespace slipway::source
