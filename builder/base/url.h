// URLs as text: where their parts lie and which of them are secrets. Fetching is elsewhere.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway {

/// "https" of "HTTPS://host"; empty when there is no "://".
std::string url_scheme(std::string_view url);

/// Where the authority (user:password@host:port) stands in a URL with a scheme.
struct UrlAuthority {
  size_t start = 0, end = 0;
  size_t userinfo_end = 0;  ///< offset of '@', or `start` when there is none
};
UrlAuthority url_authority(std::string_view url);

/// Offset and length of each value of the query string that carries a signature or a token.
std::vector<std::pair<size_t, size_t>> secret_parameters(std::string_view url);

/// A URL without its userinfo (ssh keeps the user name, it is no secret) and with the values of
/// secret_parameters() replaced by "[redacted]": what may be printed, stored and keyed (threat 15).
std::string url_without_credentials(std::string_view url);

}  // namespace slipway
