#include "dockerfile/split.h"

namespace slipway::dockerfile {
namespace {

constexpr std::string_view blanks = "\t\v\f\r ";

bool is_blank(char c) {
  return blanks.find(c) != std::string_view::npos;
}

size_t skip_blanks(std::string_view text, size_t at, size_t end) {
  while (at < end && is_blank(text[at])) ++at;
  return at;
}

/// Reads one word from `at`, where it starts; moves `at` behind it.
FlagWord read_flag(std::string_view text, size_t& at, size_t end, char escape) {
  FlagWord flag;
  flag.span.begin = at;
  bool equals_seen = false;
  char quote = 0;
  for (; at < end; ++at) {
    char c = text[at];
    if (quote == 0 && is_blank(c)) break;
    if (quote == 0 ? c == '"' || c == '\'' : c == quote) {
      quote = quote == 0 ? c : '\0';
      continue;
    }
    if (c == escape) {
      if (at + 1 == end) continue;
      c = text[++at];
    }
    flag.text += c;
    if (c == '=' && !equals_seen) {
      equals_seen = true;
      flag.value_begin = at + 1;
    }
  }
  flag.span.end = at;
  if (!equals_seen) flag.value_begin = at;
  return flag;
}

}  // namespace

Split split_instruction(std::string_view text, size_t begin, char escape) {
  Split split;
  const Span all = trim_blanks(text, {begin, text.size()});
  size_t at = all.begin;
  while (at < all.end && !is_blank(text[at])) ++at;
  split.name = {all.begin, at};
  at = skip_blanks(text, at, all.end);
  while (text.substr(0, all.end).substr(at).starts_with("--")) {
    FlagWord flag = read_flag(text, at, all.end, escape);
    if (flag.text == "--") break;
    split.flags.push_back(std::move(flag));
    at = skip_blanks(text, at, all.end);
  }
  split.operands = trim_blanks(text, {at, all.end});
  return split;
}

std::vector<Span> split_blanks(std::string_view text, Span span) {
  std::vector<Span> words;
  for (size_t at = skip_blanks(text, span.begin, span.end); at < span.end;
       at = skip_blanks(text, at, span.end)) {
    Span word{at, at};
    while (word.end < span.end && !is_blank(text[word.end])) ++word.end;
    words.push_back(word);
    at = word.end;
  }
  return words;
}

std::vector<Span> split_quoted(std::string_view text, Span span, char escape) {
  text = text.substr(0, span.end);
  std::vector<Span> words;
  size_t at = span.begin;
  while (at < text.size()) {
    if (const size_t blank = blank_length(text, at)) {
      at += blank;
      continue;
    }
    Span word{at, at};
    char quote = 0;
    bool lone_escape = false;
    while (at < text.size()) {
      const char c = text[at];
      if (c == escape && quote != '\'') {
        lone_escape = at + 1 == text.size();
        ++at;
        // A blank character of several bytes is escaped as a whole.
        if (at < text.size()) at += std::max<size_t>(1, blank_length(text, at));
        continue;
      }
      if (quote == 0 && blank_length(text, at) > 0) break;
      if (quote == 0 && (c == '\'' || c == '"'))
        quote = c;
      else if (c == quote)
        quote = 0;
      ++at;
    }
    word.end = lone_escape ? at - 1 : at;
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

}  // namespace slipway::dockerfile
