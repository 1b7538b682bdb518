#include "source/json_position.h"

#include <optional>

#include "base/json.h"
#include "base/text.h"

namespace slipway::source {
namespace {

/// Walks valid JSON; anything unexpected just ends the walk, never reads past the end.
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    blanks();
  }

  size_t offset() const { return at_; }

  /// At a '{': moves to the value of the last member with that key.
  bool enter_key(const std::string& key) {
    if (peek() != '{') return false;
    ++at_;
    std::optional<size_t> found;
    for (blanks(); peek() == '"'; blanks()) {
      const size_t start = at_;
      string();
      const bool same = Json::parse(text_.substr(start, at_ - start), nullptr, false) == key;
      blanks();
      if (peek() != ':') break;
      ++at_;
      blanks();
      if (same) found = at_;
      value();
      blanks();
      if (peek() != ',') break;
      ++at_;
    }
    if (found) at_ = *found;
    return found.has_value();
  }

  /// At a '[': moves to its item number `index`.
  bool enter_index(size_t index) {
    if (peek() != '[') return false;
    ++at_;
    blanks();
    for (size_t i = 0; i < index; ++i) {
      value();
      blanks();
      if (peek() != ',') return false;
      ++at_;
      blanks();
    }
    return peek() != ']' && at_ < text_.size();
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  void string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    at_ = std::min(at_ + 1, text_.size());
  }

  /// Skips one value. Brackets are counted, not recursed into.
  void value() {
    int depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        string();
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
        continue;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return;
        --depth;
        ++at_;
      } else if (c == ',' && depth == 0) {
        return;
      } else {
        ++at_;
        continue;
      }
      if (depth == 0) return;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string unescape(std::string part) {
  std::string plain;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1'))
      plain += part[++i] == '0' ? '~' : '/';
    else
      plain += part[i];
  }
  return plain;
}

}  // namespace

SourcePos json_position(std::string_view text, const std::string& file,
                        const std::string& pointer) {
  Walker walker(text);
  size_t offset = walker.offset();
  std::vector<std::string> parts = split(pointer, '/');
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string key = unescape(parts[i]);
    const bool number =
        !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!walker.enter_key(key) && !(number && walker.enter_index(std::stoul(key)))) break;
    offset = walker.offset();
  }
  SourcePos pos{file, 1, 1};
  for (size_t i = 0; i < offset; ++i) {
    ++pos.column;
    if (text[i] == '\n') {
      ++pos.line;
      pos.column = 1;
    }
  }
  return pos;
}

}  // namespace slipway::source
