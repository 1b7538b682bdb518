// The JSON form of an instruction's operands (P23): an array of strings, strictly; what is not JSON
// at all is the shell form.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/logical_line.h"

namespace slipway::dockerfile {

struct JsonString {
  std::string text;  ///< decoded; what is no UTF-8 becomes U+FFFD, as in Go
  size_t offset = 0;
};

struct JsonForm {
  std::vector<JsonString> strings;
  /// Offset of the first element that is not a string.
  std::optional<size_t> other;
};

/// The range as a JSON array. Empty optional when it is not valid JSON or no array. Linear; nesting
/// costs no stack.
std::optional<JsonForm> read_json_form(std::string_view text, Span span);

}  // namespace slipway::dockerfile
