#include "record/message.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/digest.h"
#include "base/text.h"
#include "base/url.h"
#include "fetch/fetcher.h"
#include "fetch/url.h"

namespace slipway::record {
namespace {

constexpr std::string_view redacted = "[redacted]";

// Of one connection, or made anew by us (RFC 9110 §7.6.1).
constexpr std::array<std::string_view, 12> hop_headers = {
    "connection", "keep-alive",          "proxy-connection", "proxy-authenticate",
    "te",         "proxy-authorization", "trailer",          "transfer-encoding",
    "upgrade",    "content-length",      "http2-settings",   "alt-svc"};
constexpr std::array<std::string_view, 6> partial_headers = {
    "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"};
// Types, validators, what the client follows, and digests that tools compare with. Not cookies,
// request ids, dates or names of caches: they differ every time and may be secrets.
constexpr std::array<std::string_view, 25> kept_names = {"content-type",
                                                         "content-encoding",
                                                         "content-language",
                                                         "content-disposition",
                                                         "content-location",
                                                         "content-md5",
                                                         "etag",
                                                         "last-modified",
                                                         "location",
                                                         "cache-control",
                                                         "vary",
                                                         "link",
                                                         "www-authenticate",
                                                         "digest",
                                                         "repr-digest",
                                                         "content-digest",
                                                         "x-goog-hash",
                                                         "x-linked-etag",
                                                         "x-linked-size",
                                                         "x-repo-commit",
                                                         "x-pypi-last-serial",
                                                         "x-pypi-file-python-requires",
                                                         "docker-content-digest",
                                                         "docker-distribution-api-version",
                                                         "pragma"};
// What Vary may name and we look at; the rest (cookies, origins, user agents) does not decide what
// a build gets, or is private.
constexpr std::array<std::string_view, 4> varying = {"accept", "accept-encoding", "accept-language",
                                                     "git-protocol"};

template <typename Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> list_of(std::string_view text) {
  std::vector<std::string> items;
  for (const std::string& part : split(text, ',')) {
    const std::string_view item = trim(part);
    if (!item.empty()) items.emplace_back(item);
  }
  return items;
}

/// The parameters that sign a URL: of a family only where its signature is.
struct Families {
  bool amazon = false, google = false, azure = false, cloudfront = false;
};
Families families_of(const std::vector<std::string>& names) {
  Families found;
  for (const std::string& name : names) {
    found.amazon = found.amazon || name == "x-amz-signature";
    found.google = found.google || name == "x-goog-signature";
    found.azure = found.azure || name == "sig";
    found.cloudfront = found.cloudfront || name == "signature";
  }
  return found;
}
bool signs(const std::string& name, const Families& families) {
  static constexpr std::array<std::string_view, 16> azure = {
      "sig", "se",    "sv",    "sp",  "sr",  "st",  "spr", "sip",
      "ss",  "skoid", "sktid", "skt", "ske", "sks", "skv", "srt"};
  static constexpr std::array<std::string_view, 6> cloudfront = {
      "signature", "expires", "policy", "key-pair-id", "awsaccesskeyid", "googleaccessid"};
  static constexpr std::array<std::string_view, 8> tokens = {
      "token", "access_token", "private_token", "auth_token", "job_token", "jwt", "hdnts", "hdnea"};
  return (families.amazon && name.starts_with("x-amz-")) ||
         (families.google && name.starts_with("x-goog-")) ||
         (families.azure && contains(azure, name)) ||
         (families.cloudfront && contains(cloudfront, name)) || contains(tokens, name);
}

std::vector<std::string> names_of(const std::vector<std::string>& parameters) {
  std::vector<std::string> names;
  for (const std::string& parameter : parameters)
    names.push_back(lower_case(fetch::percent_decode(parameter.substr(0, parameter.find('=')))));
  return names;
}

std::optional<int64_t> max_age(const Headers& headers) {
  const std::string* control = find_header(headers, "cache-control");
  if (control == nullptr) return std::nullopt;
  std::optional<int64_t> age;
  for (const std::string& item : list_of(*control)) {
    const std::string directive = lower_case(item);
    if (directive == "no-cache" || directive == "no-store") return std::nullopt;
    if (directive == "immutable" && !age) age = INT64_MAX;
    if (!directive.starts_with("max-age=")) continue;
    int64_t value = 0;
    const char* const end = directive.data() + directive.size();
    if (std::from_chars(directive.data() + 8, end, value).ptr == end) age = value;
  }
  return age;
}

/// Without the mark of weakness: bytes are kept as they came, so a weak match is a match.
std::string_view strong(std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  return tag;
}

std::optional<time_t> http_date(const std::string& text) {
  tm parts{};
  const char* const end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&parts);
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

const std::string* find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers)
    if (key == name) return &value;
  return nullptr;
}

std::string Request::header(std::string_view name) const {
  const std::string* value = find_header(headers, name);
  return value != nullptr ? *value : std::string();
}

std::string web_url(std::string_view text) {
  auto parsed = fetch::parse_url(text.substr(0, text.find('#')));
  if (!parsed || (parsed->scheme != "http" && parsed->scheme != "https") || parsed->host.empty())
    return {};
  parsed->userinfo.clear();
  if (parsed->port == (parsed->scheme == "https" ? "443" : "80")) parsed->port.clear();
  if (parsed->rest.empty() || parsed->rest[0] != '/') parsed->rest = "/" + parsed->rest;
  return parsed->to_string();
}

std::string text_of_key(const Request& request) {
  const std::string text = request.method + " " + key_url(request.url);
  if (request.method != "POST") return text;
  return text + "\n" + request.header("git-protocol") + "\n" + request.header("content-encoding") +
         "\n" + sha256_hex(request.body);
}

std::string key_url(std::string_view url) {
  url = url.substr(0, url.find('#'));
  const size_t query = url.find('?');
  if (query == std::string_view::npos) return std::string(url);
  const std::vector<std::string> parameters = split(url.substr(query + 1), '&');
  const std::vector<std::string> names = names_of(parameters);
  const Families families = families_of(names);
  std::vector<std::string> kept;
  for (size_t i = 0; i < parameters.size(); ++i)
    if (!signs(names[i], families)) kept.push_back(parameters[i]);
  std::string key(url.substr(0, query));
  if (!kept.empty()) key += "?" + join(kept, "&");
  return key;
}

std::string shown_url(std::string_view url) {
  url = url.substr(0, url.find('#'));
  const size_t query = url.find('?');
  std::string shown = printable(url_without_credentials(url.substr(0, query)));
  if (query == std::string_view::npos) return shown;
  std::vector<std::string> parameters = split(url.substr(query + 1), '&');
  for (std::string& parameter : parameters) {
    const size_t equals = parameter.find('=');
    // Without a name it is all value.
    if (equals == std::string::npos)
      parameter = parameter.size() > 20 ? std::string(redacted) : parameter;
    else if (equals + 1 < parameter.size())
      parameter = parameter.substr(0, equals + 1).append(redacted);
  }
  return shown + "?" + printable(join(parameters, "&"));
}

std::string kept_location(std::string_view location) {
  const std::string_view bare = location.substr(0, location.find('#'));
  const std::string_view fragment = location.substr(bare.size());
  const size_t query = bare.find('?');
  std::string head(bare.substr(0, query));
  if (!url_scheme(head).empty()) head = url_without_credentials(head);
  if (query == std::string_view::npos) return head.append(fragment);
  std::vector<std::string> parameters = split(bare.substr(query + 1), '&');
  const std::vector<std::string> names = names_of(parameters);
  const Families families = families_of(names);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const size_t equals = parameters[i].find('=');
    if (equals != std::string::npos && signs(names[i], families)) parameters[i].resize(equals + 1);
  }
  return (head + "?" + join(parameters, "&")).append(fragment);
}

Headers kept_headers(const Headers& headers) {
  Headers kept;
  for (const auto& [name, value] : headers)
    if (contains(kept_names, name) || name.starts_with("x-checksum-"))
      kept.emplace_back(name, value);
  return kept;
}

Headers passed_headers(const Headers& headers) {
  Headers passed;
  for (const auto& [name, value] : headers)
    if (!contains(hop_headers, name)) passed.emplace_back(name, value);
  return passed;
}

Headers upstream_headers(const Headers& headers, bool whole) {
  // Names in Connection are of this connection too.
  std::set<std::string, std::less<>> named;
  for (const auto& [name, value] : headers)
    if (name == "connection")
      for (const std::string& item : list_of(value)) named.insert(lower_case(item));
  Headers passed;
  for (const auto& [name, value] : headers) {
    if (name == "host" || name == "expect" || contains(hop_headers, name) || named.contains(name))
      continue;
    if (whole && contains(partial_headers, name)) continue;
    passed.emplace_back(name, value);
  }
  return passed;
}

bool is_recordable(int status) {
  switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 401:
    case 403:
    case 404:
    case 405:
    case 410:
    case 451:
      return true;
    default:
      return false;
  }
}

std::string variant_text(const std::string& vary, const Request& request) {
  std::vector<std::string> names;
  for (const std::string& item : list_of(vary))
    if (contains(varying, lower_case(item))) names.push_back(lower_case(item));
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string text;
  for (const std::string& name : names) {
    std::vector<std::string> values = list_of(lower_case(request.header(name)));
    // The order of preferences without weights says nothing.
    std::sort(values.begin(), values.end());
    text += name + "=" + join(values, ",") + "\n";
  }
  return text;
}

bool is_readable(const Headers& answer, const Request& request) {
  const std::string* encoding = find_header(answer, "content-encoding");
  if (encoding == nullptr || lower_case(*encoding) == "identity") return true;
  const std::string accepted = "," + lower_case(request.header("accept-encoding")) + ",";
  for (const std::string& item : list_of(lower_case(*encoding)))
    if (accepted.find(item) == std::string::npos && accepted.find('*') == std::string::npos)
      return false;
  return true;
}

const cache::Download* choose_answer(const std::vector<cache::Download>& answers,
                                     const Request& request, bool any_variant) {
  for (const cache::Download& answer : answers) {
    const std::string* vary = find_header(answer.headers, "vary");
    if (variant_text(vary != nullptr ? *vary : "", request) == answer.variant) return &answer;
  }
  if (any_variant)
    for (const cache::Download& answer : answers)
      if (is_readable(answer.headers, request)) return &answer;
  return nullptr;
}

bool is_fresh(const cache::Download& answer, const Request& request, int64_t now_s) {
  if (answer.pinned) return true;
  const std::string control =
      lower_case(request.header("cache-control") + "," + request.header("pragma"));
  if (control.find("no-cache") != std::string::npos ||
      control.find("max-age=0") != std::string::npos)
    return false;
  // What a redirect leads to may be signed anew; errors may be mended.
  if (answer.status != 200 && answer.status != 203) return false;
  const auto limit = max_age(answer.headers);
  const int64_t age = now_s - std::max(answer.recorded_s, answer.checked_s);
  // A clock that was set back tells nothing.
  return limit && age >= 0 && age < *limit;
}

bool is_not_modified(const Headers& answer, const Request& request) {
  const std::string tags = request.header("if-none-match");
  if (!tags.empty()) {
    const std::string* own = find_header(answer, "etag");
    if (trim(tags) == "*") return true;
    if (own == nullptr) return false;
    for (const std::string& tag : list_of(tags))
      if (strong(tag) == strong(*own)) return true;
    return false;
  }
  const auto since = http_date(request.header("if-modified-since"));
  const std::string* own = find_header(answer, "last-modified");
  const auto modified = own != nullptr ? http_date(*own) : std::nullopt;
  return since && modified && *modified <= *since;
}

std::optional<Range> asked_range(const Headers& answer, const Request& request, uint64_t total) {
  const std::string text = request.header("range");
  if (!text.starts_with("bytes=") || text.find(',') != std::string::npos) return std::nullopt;
  const std::string condition = request.header("if-range");
  if (!condition.empty()) {
    const std::string* tag = find_header(answer, "etag");
    const std::string* date = find_header(answer, "last-modified");
    if (!(tag != nullptr && *tag == condition) && !(date != nullptr && *date == condition))
      return std::nullopt;
  }
  const std::string_view spec = trim(std::string_view(text).substr(6));
  const size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number(spec.substr(0, dash)), last = number(spec.substr(dash + 1));
  if (dash == 0) {
    if (!last) return std::nullopt;
    const uint64_t size = std::min(*last, total);
    return Range{total - size, size, size > 0};
  }
  if (!first || (!last && dash + 1 < spec.size()) || (last && *last < *first)) return std::nullopt;
  if (*first >= total) return Range{0, 0, false};
  const uint64_t end = last ? std::min(*last, total - 1) : total - 1;
  return Range{*first, end - *first + 1, true};
}

bool is_git_fetch(const Request& request) {
  const std::string_view path = std::string_view(request.url).substr(0, request.url.find('?'));
  return request.method == "POST" && path.ends_with("/git-upload-pack") &&
         request.header("content-type") == "application/x-git-upload-pack-request";
}

bool is_private(const Request& request) {
  return find_header(request.headers, "authorization") != nullptr ||
         find_header(request.headers, "cookie") != nullptr;
}

}  // namespace slipway::record
