// Taking URLs apart: who is asked (origin), with which credentials, and what may be shown.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::fetch {

/// "scheme://[userinfo@]host[:port]rest"; rest begins with '/', '?', '#' or is empty.
struct Url {
  std::string scheme;    ///< lower case
  std::string userinfo;  ///< as written, percent-encoded
  std::string host;      ///< lower case, IPv6 with its brackets
  std::string port;      ///< digits; empty = the scheme's
  std::string rest;

  std::string user() const;      ///< decoded
  std::string password() const;  ///< decoded
  /// "https://host:443": what credentials are bound to (threat 14).
  std::string origin() const;
  std::string to_string() const;
};

/// Empty unless the text has the form scheme://… with a sound authority. Control characters,
/// spaces and a host that begins with '-' are refused.
std::optional<Url> parse_url(std::string_view text);
std::string percent_decode(std::string_view text);

}  // namespace slipway::fetch
