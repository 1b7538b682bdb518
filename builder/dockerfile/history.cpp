#include "dockerfile/history.h"

#include <fmt/chrono.h>

#include "base/text.h"
#include "base/utf8.h"

namespace slipway::dockerfile {
namespace {

// Go's notion of printable: letters, marks, numbers, punctuation, symbols and the ASCII space. What
// is left out here are the blocks of blanks, formatting signs and private use.
bool is_printable(uint32_t code) {
  if (code < 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0xad) return false;
  if (code >= 0x2000 && code <= 0x200f) return false;
  if (code >= 0x2028 && code <= 0x202f) return false;
  if (code >= 0x205f && code <= 0x206f) return false;
  if (code == 0x1680 || code == 0x3000 || code == 0x061c || code == 0x180e) return false;
  if (code >= 0xd800 && code <= 0xf8ff) return false;
  if (code >= 0xfe00 && code <= 0xfe0f) return true;
  if (code == 0xfeff || (code >= 0xfff0 && code <= 0xfffb)) return false;
  if ((code & 0xfffe) == 0xfffe) return false;
  return code < 0xe0000 || (code >= 0xe0100 && code <= 0xe01ef);
}

// Go's strconv.Quote.
std::string go_quoted(std::string_view text) {
  std::string result = "\"";
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    const std::string_view bytes = text.substr(at, character.length);
    at += character.length;
    const uint32_t code = character.code;
    static constexpr std::string_view special = "\a\b\f\n\r\t\v\\\"";
    static constexpr std::string_view letters = "abfnrtv\\\"";
    const size_t escape =
        code < 0x80 ? special.find(static_cast<char>(code)) : std::string_view::npos;
    if (escape != std::string_view::npos)
      result += std::string("\\") + letters[escape];
    else if (character.broken())
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
    else if (is_printable(code))
      result += bytes;
    else if (code < 0x20 || code == 0x7f)
      result += fmt::format("\\x{:02x}", code);
    else
      result += code < 0x10000 ? fmt::format("\\u{:04x}", code) : fmt::format("\\U{:08x}", code);
  }
  return result + "\"";
}

// "1.5" of 1500 and 3 digits: the fraction without its final zeros.
std::string decimal(uint64_t value, int digits) {
  std::string fraction;
  for (int i = 0; i < digits; ++i) {
    const uint64_t digit = value % 10;
    if (!fraction.empty() || digit != 0)
      fraction.insert(fraction.begin(), static_cast<char>('0' + digit));
    value /= 10;
  }
  return fraction.empty() ? std::to_string(value) : fmt::format("{}.{}", value, fraction);
}

}  // namespace

std::string quoted_list(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words) parts.push_back(go_quoted(word));
  return "[" + join(parts, " ") + "]";
}

std::string plain_list(const std::vector<std::string>& words) {
  return "[" + join(words, " ") + "]";
}

std::string go_duration(int64_t duration_ns) {
  if (duration_ns == 0) return "0s";
  const std::string sign = duration_ns < 0 ? "-" : "";
  const uint64_t ns =
      duration_ns < 0 ? 0 - static_cast<uint64_t>(duration_ns) : static_cast<uint64_t>(duration_ns);
  if (ns < 1'000) return fmt::format("{}{}ns", sign, ns);
  if (ns < 1'000'000) return sign + decimal(ns, 3) + "µs";
  if (ns < 1'000'000'000) return sign + decimal(ns, 6) + "ms";
  const uint64_t minutes = ns / 60'000'000'000;
  std::string text = decimal(ns % 60'000'000'000, 9) + "s";
  if (minutes > 0) text = fmt::format("{}m", minutes % 60) + text;
  if (minutes >= 60) text = fmt::format("{}h", minutes / 60) + text;
  return sign + text;
}

std::string healthcheck_text(const oci::Healthcheck& check) {
  return fmt::format(
      "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
      plain_list(check.test), go_duration(check.interval_ns), go_duration(check.timeout_ns),
      go_duration(check.start_period_ns), go_duration(check.start_interval_ns), check.retries);
}

std::string run_text(const std::vector<std::string>& argv, const std::vector<DeclaredArg>& args,
                     const Scope& scope) {
  std::string text = "RUN ";
  if (!args.empty()) text += fmt::format("|{} ", args.size());
  for (const DeclaredArg& arg : args) {
    const Text* current = scope.find(arg.name);
    text += arg.name + "=" + (current == nullptr ? arg.value.shown : current->shown) + " ";
  }
  return text + join(argv, " ") + " # buildkit";
}

std::string rfc3339(int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace slipway::dockerfile
