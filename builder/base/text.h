// Small text helpers: sizes, durations, quoting, "did you mean".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway {

/// heroku.md OUT-6: one decimal, ".0" dropped, suffix K, M or G: "35M", "346.4M".
std::string format_size(uint64_t size_bytes);
/// "0.4 s", "12.3 s", "2 min 05 s"
std::string format_duration(std::chrono::milliseconds duration);
/// 'it'\''s' — safe to paste into a POSIX shell.
std::string shell_quote(std::string_view word);
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);
/// The candidate nearest to `word`, if near enough to be a slip of the finger.
std::optional<std::string> closest(std::string_view word,
                                   const std::vector<std::string>& candidates);
/// "512", "300K", "1.5G", "500MB" → bytes (1024-based). Empty optional when malformed.
std::optional<uint64_t> parse_size(std::string_view text);
/// "90", "90s", "15m", "1h30m" → milliseconds. Empty optional when malformed.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
/// Makes control characters visible, for names printed in messages.
std::string printable(std::string_view text);

}  // namespace slipway
