#include "source/path_pattern.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "base/utf8.h"

namespace slipway::source {
namespace {

using Token = PathPattern::Token;
using Kind = Token::Kind;

// The longest path there is on Linux.
constexpr size_t size_max_bytes = 4096;

[[noreturn]] void fail_malformed(std::string_view pattern, std::string why, std::string hint) {
  throw Error(ExitCode::app_files,
              fmt::format("malformed pattern '{}': {}", printable(pattern.substr(0, 200)), why))
      .set_hint(std::move(hint));
}

uint32_t take(std::string_view text, size_t& at) {
  const Character character = character_at(text, at);
  at += character.length;
  return character.code;
}

/// Reads the set behind its '['.
Token read_set(std::string_view pattern, size_t& at) {
  Token token;
  token.kind = Kind::set;
  token.negated = at < pattern.size() && pattern[at] == '^';
  if (token.negated) ++at;
  const auto unclosed = [&] {
    fail_malformed(pattern, "'[' is not closed", "a '[' that is meant as such is written \\[");
  };
  const auto one = [&]() -> uint32_t {
    if (at >= pattern.size()) unclosed();
    if (pattern[at] == '-' || pattern[at] == ']')
      fail_malformed(pattern, fmt::format("'{}' where a character of the set is due", pattern[at]),
                     "write it \\- or \\]");
    if (pattern[at] == '\\') ++at;
    if (at >= pattern.size()) unclosed();
    return take(pattern, at);
  };
  while (at >= pattern.size() || pattern[at] != ']' || token.ranges.empty()) {
    const uint32_t low = one();
    uint32_t high = low;
    if (at < pattern.size() && pattern[at] == '-') {
      ++at;
      high = one();
    }
    if (high < low)
      fail_malformed(pattern, "a range of the set ends before it begins", "swap its ends");
    token.ranges.emplace_back(low, high);
  }
  ++at;
  return token;
}

bool accepts(const Token& token, uint32_t code) {
  switch (token.kind) {
    case Kind::character:
      return code == token.code;
    case Kind::set:
      return token.negated != std::any_of(token.ranges.begin(), token.ranges.end(),
                                          [&](const std::pair<uint32_t, uint32_t>& range) {
                                            return range.first <= code && code <= range.second;
                                          });
    case Kind::name_char:
    case Kind::name_run:
      return code != '/';
    case Kind::run:
      return true;
    case Kind::optional:
      break;
  }
  return false;
}

/// All ways to read a path at once: the tokens that may come next.
class States {
 public:
  explicit States(const std::vector<Token>& tokens)
      : tokens_(tokens), entered_(tokens.size() + 1, 0) {
    enter(0);
    now_.swap(next_);
  }

  bool accepted() const { return entered_.back() == round_; }
  bool empty() const { return now_.empty(); }

  void step(uint32_t code) {
    ++round_;
    for (const uint32_t state : now_) {
      if (state == tokens_.size() || !accepts(tokens_[state], code)) continue;
      const bool stays = tokens_[state].kind == Kind::name_run || tokens_[state].kind == Kind::run;
      enter(stays ? state : state + 1);
    }
    now_.swap(next_);
    next_.clear();
  }

 private:
  void enter(uint32_t first) {
    open_.push_back(first);
    while (!open_.empty()) {
      const uint32_t state = open_.back();
      open_.pop_back();
      if (entered_[state] == round_) continue;
      entered_[state] = round_;
      const bool end = state == tokens_.size();
      if (!end && tokens_[state].kind == Kind::optional) {
        open_.push_back(state + 1);
        open_.push_back(state + 3);
        continue;
      }
      next_.push_back(state);
      if (!end && (tokens_[state].kind == Kind::name_run || tokens_[state].kind == Kind::run))
        open_.push_back(state + 1);
    }
  }

  const std::vector<Token>& tokens_;
  std::vector<uint32_t> now_, next_, open_;
  /// In which round a state was entered last; a path has fewer than 2^32 characters.
  std::vector<uint32_t> entered_;
  uint32_t round_ = 1;
};

bool is_at_or_below(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

}  // namespace

PathPattern::PathPattern(std::string_view pattern) {
  if (pattern.size() > size_max_bytes)
    fail_malformed(pattern, fmt::format("longer than {} bytes", size_max_bytes),
                   "no path is so long; put one pattern on a line");
  read(pattern);
}

void PathPattern::read(std::string_view pattern) {
  // Whether strings can be compared decides itself as BuildKit's matcher does it: by what follows.
  kind_ = Kind::exact;
  const auto add = [&](Token::Kind kind, uint32_t code = 0) {
    Token token;
    token.kind = kind;
    token.code = code;
    tokens_.push_back(std::move(token));
  };
  bool plain_so_far = true;
  for (size_t at = 0; at < pattern.size();) {
    const size_t begin = at;
    const char c = pattern[at];
    if (c == '*' && pattern.substr(at).starts_with("**")) {
      at += 2;
      if (at < pattern.size() && pattern[at] == '/') ++at;
      const bool last = at == pattern.size();
      if (last) {
        kind_ = kind_ == Kind::exact ? Kind::prefix : Kind::tokens;
        add(Token::Kind::run);
      } else {
        kind_ = Kind::tokens;
        add(Token::Kind::optional);
        add(Token::Kind::run);
        add(Token::Kind::character, '/');
      }
      if (begin == 0) kind_ = Kind::suffix;
      plain_so_far = false;
      tail_.clear();
      continue;
    }
    bool plain = false;
    if (c == '*') {
      ++at;
      add(Token::Kind::name_run);
    } else if (c == '?') {
      ++at;
      add(Token::Kind::name_char);
    } else if (c == '[') {
      ++at;
      tokens_.push_back(read_set(pattern, at));
    } else {
      if (c == '\\' && ++at == pattern.size())
        fail_malformed(pattern, "a backslash at the end escapes nothing",
                       "write \\\\ or remove it");
      const size_t character = at;
      add(Token::Kind::character, take(pattern, at));
      tail_ += pattern.substr(character, at - character);
      if (plain_so_far) head_ += pattern.substr(character, at - character);
      plain = true;
    }
    if (!plain || c == '\\') kind_ = Kind::tokens;
    if (plain) continue;
    plain_so_far = false;
    tail_.clear();
  }
  if (kind_ == Kind::tokens) return;
  text_ = pattern;
  if (kind_ == Kind::prefix) text_.resize(text_.size() - 2);
  if (kind_ == Kind::suffix) text_.erase(0, 2);
  tokens_.clear();
}

bool PathPattern::suffix_matches(std::string_view path) const {
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string_view part = path.substr(0, end);
    if (part.ends_with(text_)) return true;
    if (text_.starts_with('/') && part == std::string_view(text_).substr(1)) return true;
    if (end == std::string_view::npos) return false;
  }
}

bool PathPattern::matches(std::string_view path) const {
  switch (kind_) {
    case Kind::exact:
      return is_at_or_below(path, text_);
    case Kind::prefix:
      return path.starts_with(text_);
    case Kind::suffix:
      return suffix_matches(path);
    case Kind::tokens:
      break;
  }
  if (!path.starts_with(head_) || path.find(tail_) == std::string_view::npos) return false;
  States states(tokens_);
  for (size_t at = 0; at < path.size() && !states.empty();) {
    const uint32_t code = take(path, at);
    if (code == '/' && states.accepted()) return true;
    states.step(code);
  }
  return states.accepted();
}

bool PathPattern::may_match_below(std::string_view directory) const {
  if (matches(directory)) return true;
  const std::string inside = std::string(directory) + "/";
  switch (kind_) {
    case Kind::exact:
      return text_.starts_with(inside);
    case Kind::prefix:
      return text_.starts_with(inside) || inside.starts_with(text_);
    case Kind::suffix:
      return true;
    case Kind::tokens:
      break;
  }
  States states(tokens_);
  for (size_t at = 0; at < inside.size() && !states.empty();) states.step(take(inside, at));
  return !states.empty();
}

std::string clean_pattern(std::string_view pattern) {
  const bool rooted = pattern.starts_with('/');
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= pattern.size();) {
    const size_t end = std::min(pattern.find('/', at), pattern.size());
    const std::string_view part = pattern.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty() && parts.back() != "..")
      parts.pop_back();
    else if (!rooted)
      parts.push_back(part);
  }
  std::string cleaned;
  for (const std::string_view part : parts) {
    if (!cleaned.empty()) cleaned += '/';
    cleaned += part;
  }
  if (cleaned.empty()) return rooted ? "/" : ".";
  return cleaned;
}

}  // namespace slipway::source
