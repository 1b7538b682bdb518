#include "base/url.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace slipway {
namespace {

bool is_secret_parameter(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static constexpr std::array<std::string_view, 8> exact{"sig", "key",  "auth", "code",
                                                         "pwd", "pass", "jwt",  "googleaccessid"};
  static constexpr std::array<std::string_view, 7> within{
      "token", "secret", "signature", "password", "credential", "api_key", "apikey"};
  return std::find(exact.begin(), exact.end(), name) != exact.end() ||
         std::any_of(within.begin(), within.end(),
                     [&](std::string_view part) { return name.find(part) != std::string::npos; });
}

}  // namespace

std::string url_scheme(std::string_view text) {
  const size_t end = text.find("://");
  if (end == std::string_view::npos) return {};
  std::string scheme(text.substr(0, end));
  const bool clean = !scheme.empty() && std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.';
  });
  if (!clean) return {};
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return scheme;
}

UrlAuthority url_authority(std::string_view url) {
  UrlAuthority found;
  found.start = url.find("://") + 3;
  found.end = std::min(url.find_first_of("/?#", found.start), url.size());
  const size_t at = url.substr(0, found.end).rfind('@');
  found.userinfo_end = at == std::string_view::npos || at < found.start ? found.start : at;
  return found;
}

std::vector<std::pair<size_t, size_t>> secret_parameters(std::string_view url) {
  std::vector<std::pair<size_t, size_t>> values;
  const size_t query = url.substr(0, url.find('#')).find('?');
  if (query == std::string_view::npos) return values;
  const size_t end = std::min(url.find('#'), url.size());
  size_t at = query + 1;
  while (at < end) {
    const size_t next = std::min(url.find('&', at), end);
    const std::string_view pair = url.substr(at, next - at);
    const size_t equals = pair.find('=');
    if (equals != std::string_view::npos && equals + 1 < pair.size() &&
        is_secret_parameter(std::string(pair.substr(0, equals))))
      values.emplace_back(at + equals + 1, pair.size() - equals - 1);
    at = next + 1;
  }
  return values;
}

std::string url_without_credentials(std::string_view url) {
  const std::string scheme = url_scheme(url);
  std::string shown(url);
  if (scheme.empty()) return shown;
  const auto values = secret_parameters(url);
  for (auto it = values.rbegin(); it != values.rend(); ++it)
    shown.replace(it->first, it->second, "[redacted]");
  const UrlAuthority authority = url_authority(url);
  if (authority.userinfo_end == authority.start) return shown;
  const bool keep_user = scheme == "ssh" || scheme == "git";
  const std::string_view user =
      url.substr(authority.start, authority.userinfo_end - authority.start);
  const size_t colon = user.find(':');
  if (!keep_user)
    shown.erase(authority.start, user.size() + 1);
  else if (colon != std::string_view::npos)
    shown.erase(authority.start + colon, user.size() - colon);
  return shown;
}

}  // namespace slipway
