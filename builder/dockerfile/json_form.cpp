#include "dockerfile/json_form.h"

#include <cstdint>

#include "base/utf8.h"

namespace slipway::dockerfile {
namespace {

// encoding/json of Go stops there too.
constexpr size_t depth_max = 10'000;

class Reader {
 public:
  Reader(std::string_view text, Span span) : text_(text.substr(0, span.end)), at_(span.begin) {}

  std::optional<JsonForm> read() {
    blanks();
    if (!take('[')) return std::nullopt;
    JsonForm form;
    blanks();
    if (!take(']')) {
      do {
        blanks();
        if (peek() == '"') {
          JsonString element;
          element.offset = at_;
          if (!string(&element.text)) return std::nullopt;
          form.strings.push_back(std::move(element));
        } else {
          if (!form.other) form.other = at_;
          if (!value()) return std::nullopt;
        }
        blanks();
      } while (take(','));
      if (!take(']')) return std::nullopt;
    }
    blanks();
    if (at_ != text_.size()) return std::nullopt;
    return form;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }
  bool word(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }
  bool digits() {
    const size_t start = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    return at_ > start;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  bool hex4(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      uint32_t digit = 0;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<uint32_t>(c - 'a') + 10;
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<uint32_t>(c - 'A') + 10;
      else
        return false;
      code = code << 4U | digit;
      ++at_;
    }
    return true;
  }

  bool escape(std::string* decoded) {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    if (c == 'u') {
      uint32_t code = 0;
      if (!hex4(code)) return false;
      if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_).starts_with("\\u")) {
        const size_t before = at_;
        at_ += 2;
        uint32_t low = 0;
        if (!hex4(low)) return false;
        if (low >= 0xdc00 && low < 0xe000)
          code = 0x10000 + ((code & 0x3ffU) << 10U | (low & 0x3ffU));
        else
          at_ = before;
      }
      if (decoded) append_utf8(*decoded, code);
      return true;
    }
    const size_t which = std::string_view("\"\\/bfnrt").find(c);
    if (which == std::string_view::npos) return false;
    if (decoded) *decoded += "\"\\/\b\f\n\r\t"[which];
    return true;
  }

  /// A string at its quote; decoded only where somebody wants it.
  bool string(std::string* decoded) {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (take('"')) return true;
      if (take('\\')) {
        if (!escape(decoded)) return false;
        continue;
      }
      const Character character = character_at(text_, at_);
      if (decoded) append_utf8(*decoded, character.broken() ? 0xfffd : character.code);
      at_ += character.length;
    }
    return false;
  }

  bool key() {
    blanks();
    if (!string(nullptr)) return false;
    blanks();
    return take(':');
  }

  /// Any value; arrays and objects with a stack of their closing brackets.
  bool value() {
    std::string closing;
    for (;;) {
      blanks();
      bool opened = false;
      if (take('[')) {
        closing += ']';
        blanks();
        opened = peek() != ']';
      } else if (take('{')) {
        closing += '}';
        blanks();
        opened = peek() != '}';
        if (opened && !key()) return false;
      } else if (!scalar()) {
        return false;
      }
      if (closing.size() > depth_max) return false;
      if (opened) continue;
      // Close what ends here, up to the next element.
      for (;;) {
        if (closing.empty()) return true;
        blanks();
        if (take(',')) {
          if (closing.back() == '}' && !key()) return false;
          break;
        }
        if (!take(closing.back())) return false;
        closing.pop_back();
      }
    }
  }

  bool scalar() {
    switch (peek()) {
      case '"':
        return string(nullptr);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  std::string_view text_;
  size_t at_;
};

}  // namespace

std::optional<JsonForm> read_json_form(std::string_view text, Span span) {
  return Reader(text, span).read();
}

}  // namespace slipway::dockerfile
