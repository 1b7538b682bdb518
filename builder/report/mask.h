// Masking of secret values in a byte stream that comes in pieces.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::report {

/// Replaces registered values by "[redacted]". Not thread-safe; Stream guards it.
///
/// Held back per stream is only a tail that could be the beginning of a secret, so that partial
/// lines still appear at once (OUT-1); at most the longest secret less one byte.
class Masker {
 public:
  static constexpr size_t size_min_bytes = 8;
  static constexpr const char* replacement = "[redacted]";

  /// Registers a value and the forms it takes in logs: each line of 8 bytes or more, base64 (plain
  /// and URL-safe, at every alignment, so that "user:secret" in a header is found; wrapped lines,
  /// too), percent-encoded, JSON-escaped. False when the value is too short to be masked.
  bool add(const std::string& value);
  bool empty() const { return values_count_ == 0; }

  /// The part of `stream` that may be shown after `piece` came.
  std::string push(uint64_t stream, std::string_view piece);
  /// What was held back of `stream`; nothing more follows.
  std::string flush(uint64_t stream);
  std::vector<uint64_t> held_streams() const;
  /// For a text that is complete.
  std::string mask(std::string_view text) const;

 private:
  void add_form(const std::string& form);
  /// Appends to out; returns how much of `text` was dealt with. The rest may begin a secret.
  size_t process(std::string_view text, bool last, std::string& out) const;

  /// By first byte, longest first.
  std::array<std::vector<std::string>, 256> forms_;
  std::map<uint64_t, std::string> held_;
  size_t values_count_ = 0;
};

}  // namespace slipway::report
