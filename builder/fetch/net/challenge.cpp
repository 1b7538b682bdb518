#include "netfetch/challenge.h"

namespace slipway::netfetch {
namespace {

constexpr size_t challenges_max = 16;
constexpr size_t values_max = 32;

/// tchar of RFC 9110 §5.6.2.
bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool ended() const { return at_ == text_.size(); }
  void skip(std::string_view what) {
    while (!ended() && what.find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(char c) {
    if (ended() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string token() {
    const size_t start = at_;
    while (!ended() && is_token_char(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }
  /// A token, or a quoted string with its escapes undone; empty optional when it does not end.
  std::optional<std::string> value() {
    if (!take('"')) return token();
    std::string result;
    while (!ended()) {
      if (take('"')) return result;
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      result += text_[at_++];
    }
    return std::nullopt;
  }
  size_t position() const { return at_; }
  void back_to(size_t position) { at_ = position; }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

/// "name=value"; the reader stays where it was when that is not what comes next.
bool read_pair(Reader& reader, Challenge& challenge) {
  const size_t start = reader.position();
  const std::string name = lower_case(reader.token());
  reader.skip(" \t");
  if (name.empty() || !reader.take('=')) {
    reader.back_to(start);
    return false;
  }
  reader.skip(" \t");
  auto value = reader.value();
  // The first one counts, as with Go's readers.
  if (value && challenge.values.size() < values_max)
    challenge.values.emplace(name, std::move(*value));
  return value.has_value();
}

}  // namespace

std::string Challenge::value(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? "" : found->second;
}

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> challenges;
  Reader reader(header);
  while (challenges.size() < challenges_max) {
    reader.skip(" \t,");
    Challenge challenge;
    challenge.scheme = lower_case(reader.token());
    if (challenge.scheme.empty()) break;
    reader.skip(" \t");
    while (read_pair(reader, challenge)) {
      reader.skip(" \t");
      if (!reader.take(',')) break;
      reader.skip(" \t,");
    }
    challenges.push_back(std::move(challenge));
  }
  return challenges;
}

std::optional<Challenge> choose_challenge(const std::vector<std::string>& headers) {
  std::optional<Challenge> basic;
  for (const std::string& header : headers) {
    for (Challenge& challenge : parse_challenges(header)) {
      if (challenge.scheme == "bearer") return std::move(challenge);
      if (challenge.scheme == "basic" && !basic) basic = std::move(challenge);
    }
  }
  return basic;
}

}  // namespace slipway::netfetch
