// Base64 (RFC 4648 §4), for Basic authorization and docker's config file.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::netfetch {

std::string base64_encode(std::string_view bytes);
/// Empty when it is not base64; missing padding is forgiven.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace slipway::netfetch
