#include "fetch/url.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "fetch/fetcher.h"

namespace slipway::fetch {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
std::string lower_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alpha(char c) {
  return lower(c) >= 'a' && lower(c) <= 'z';
}

int hex_value(char digit) {
  if (is_digit(digit)) return digit - '0';
  const char low = lower(digit);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Parameters by which stores sign their URLs or people pass tokens. Dates are among them: they
// change with every signing and would make keys useless.
constexpr std::array signature_names = {"x-amz-signature",
                                        "x-amz-credential",
                                        "x-amz-security-token",
                                        "x-amz-date",
                                        "x-amz-expires",
                                        "x-goog-signature",
                                        "x-goog-credential",
                                        "x-goog-date",
                                        "x-goog-expires",
                                        "awsaccesskeyid",
                                        "googleaccessid",
                                        "signature",
                                        "expires",
                                        "policy",
                                        "key-pair-id",
                                        "sig",
                                        "token",
                                        "access_token",
                                        "private_token",
                                        "auth_token",
                                        "auth",
                                        "authorization",
                                        "api_key",
                                        "apikey",
                                        "key",
                                        "jwt",
                                        "password",
                                        "passwd",
                                        "secret",
                                        "client_secret",
                                        "credential",
                                        "hdnts",
                                        "hdnea",
                                        "verify",
                                        "job_token"};
// Azure's short names mean something else anywhere else.
constexpr std::array azure_names = {"se", "st", "sp", "sv", "sr", "ske", "skt", "skoid", "sktid"};

template <typename Names>
bool contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string redact_query(std::string_view query) {
  std::vector<std::string> parts = split(query, '&');
  const auto name_of = [](const std::string& part) {
    return lower_case(percent_decode(part.substr(0, part.find('='))));
  };
  const bool azure = std::any_of(parts.begin(), parts.end(),
                                 [&](const std::string& part) { return name_of(part) == "sig"; });
  for (std::string& part : parts) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = name_of(part);
    if (contains(signature_names, name) || (azure && contains(azure_names, name)))
      part.resize(equals + 1);
  }
  return join(parts, "&");
}

}  // namespace

std::string percent_decode(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        result += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    result += text[i];
  }
  return result;
}

std::string Url::user() const {
  return percent_decode(userinfo.substr(0, userinfo.find(':')));
}

std::string Url::password() const {
  const size_t colon = userinfo.find(':');
  return colon == std::string::npos ? "" : percent_decode(userinfo.substr(colon + 1));
}

std::string Url::origin() const {
  std::string shown_port = port;
  if (shown_port.empty()) {
    if (scheme == "https") shown_port = "443";
    if (scheme == "http") shown_port = "80";
    if (scheme == "ssh") shown_port = "22";
    if (scheme == "git") shown_port = "9418";
  }
  return scheme + "://" + host + ":" + shown_port;
}

std::string Url::to_string() const {
  return scheme + "://" + (userinfo.empty() ? "" : userinfo + "@") + host +
         (port.empty() ? "" : ":" + port) + rest;
}

std::optional<Url> parse_url(std::string_view text) {
  const size_t mark = text.find("://");
  if (mark == std::string_view::npos || mark == 0) return std::nullopt;
  const std::string_view scheme = text.substr(0, mark);
  const bool good_scheme =
      is_alpha(scheme[0]) && std::all_of(scheme.begin(), scheme.end(), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
      });
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
  });
  if (!good_scheme || odd) return std::nullopt;
  Url url;
  url.scheme = lower_case(scheme);
  std::string_view rest = text.substr(mark + 3);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  url.rest = rest.substr(end);
  // The last '@': a password may hold one that nobody encoded.
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    url.userinfo = authority.substr(0, at);
    authority.remove_prefix(at + 1);
  }
  size_t colon = authority.rfind(':');
  if (!authority.empty() && authority[0] == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    if (colon != std::string_view::npos && colon < close) colon = std::string_view::npos;
  }
  if (colon != std::string_view::npos) {
    url.port = authority.substr(colon + 1);
    if (url.port.size() > 5 || !std::all_of(url.port.begin(), url.port.end(), is_digit))
      return std::nullopt;
    authority = authority.substr(0, colon);
  }
  url.host = lower_case(authority);
  if (url.host.empty() ? url.scheme != "file" : url.host[0] == '-') return std::nullopt;
  if (url.host.find_first_of("\\@<>\"`{}|^") != std::string::npos) return std::nullopt;
  return url;
}

std::string public_url(const std::string& text) {
  const size_t mark = text.find("://");
  if (mark == std::string::npos) return text;
  // Not parse_url(): what cannot be parsed must not leak either.
  const std::string scheme = lower_case(text.substr(0, mark));
  std::string rest = text.substr(mark + 3);
  const size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  if (const size_t at = rest.substr(0, end).rfind('@'); at != std::string::npos) {
    const std::string user = rest.substr(0, std::min(rest.find(':'), at));
    rest.erase(0, at + 1);
    if ((scheme == "ssh" || scheme == "git+ssh") && !user.empty()) rest.insert(0, user + "@");
  }
  const size_t question = rest.find('?');
  if (question != std::string::npos) {
    const size_t hash = std::min(rest.find('#', question), rest.size());
    rest = rest.substr(0, question + 1) +
           redact_query(std::string_view(rest).substr(question + 1, hash - question - 1)) +
           rest.substr(hash);
  }
  return text.substr(0, mark + 3) + rest;
}

}  // namespace slipway::fetch
