// Bytes that are not text: base64 and UTF-8 checks for the JSON view and the masker.
#pragma once

#include <string>
#include <string_view>

namespace slipway::report {

/// RFC 4648 with padding.
std::string base64(std::string_view bytes);

bool is_utf8(std::string_view text);
/// Length of an incomplete UTF-8 character at the end of `text`, 0…3; its rest may still come.
size_t incomplete_utf8_tail(std::string_view text);

/// The longest beginning of `text` that fits `columns` of a terminal; wide characters count two,
/// control characters are shown as '?'.
std::string fit_columns(std::string_view text, size_t columns);

}  // namespace slipway::report
