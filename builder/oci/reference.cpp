#include "oci/reference.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "source/public_names.h"

namespace slipway::oci {
namespace {

constexpr size_t path_bytes_max = 255;  // distribution's NameTotalLengthMax
constexpr size_t tag_bytes_max = 128;
constexpr size_t domain_bytes_max = 255;  // 253 of DNS, and the brackets of an address
constexpr size_t hex_digits = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
  return result;
}

/// One part of a path: alphanumeric runs joined by '.', '_', '__' or any number of '-'.
bool is_path_part(std::string_view part) {
  size_t at = 0;
  const auto run = [&] {
    const size_t start = at;
    while (at < part.size() && (is_lower(part[at]) || is_digit(part[at]))) ++at;
    return at > start;
  };
  if (!run()) return false;
  while (at < part.size()) {
    const size_t start = at;
    while (at < part.size() && part[at] == part[start] && !is_lower(part[at]) &&
           !is_digit(part[at]))
      ++at;
    const char separator = part[start];
    const size_t count = at - start;
    const bool good = separator == '-' ? count > 0
                                       : (separator == '.' && count == 1) ||
                                             (separator == '_' && (count == 1 || count == 2));
    if (!good || !run()) return false;
  }
  return true;
}

bool is_host(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    return std::all_of(host.begin() + 1, host.end() - 1,
                       [](char c) { return is_hex(c) || (c >= 'A' && c <= 'F') || c == ':'; });
  if (host.empty()) return false;
  for (const std::string& part : split(host, '.')) {
    if (part.empty() || part.front() == '-' || part.back() == '-') return false;
    if (!std::all_of(part.begin(), part.end(),
                     [](char c) { return is_digit(c) || is_lower(c) || is_upper(c) || c == '-'; }))
      return false;
  }
  return true;
}

/// Whether a first part is a domain (F4).
bool is_domain_by_look(std::string_view part) {
  return part.find_first_of(".:") != std::string_view::npos || part == "localhost";
}

bool is_image_id(std::string_view name) {
  return name.size() == hex_digits && std::all_of(name.begin(), name.end(), is_hex);
}

std::string without_alias(const std::string& domain) {
  const source::ImageRegistry& hub = source::public_names().images;
  const bool alias = std::find(hub.aliases.begin(), hub.aliases.end(), domain) != hub.aliases.end();
  return alias ? hub.domain : domain;
}

[[noreturn]] void refuse(std::string_view text, const std::string& reason,
                         const std::string& hint = {}) {
  Error error(ExitCode::usage,
              fmt::format("'{}' is not an image reference: {}", printable(text), reason));
  if (!hint.empty()) error.set_hint(hint);
  throw error;
}

void check_path(std::string_view text, const std::string& path) {
  if (path.empty()) refuse(text, "the name is empty");
  if (path.size() > path_bytes_max)
    refuse(text, fmt::format("its name is {} bytes long, at most {} are allowed", path.size(),
                             path_bytes_max));
  for (const std::string& part : split(path, '/'))
    if (!is_path_part(part))
      refuse(text, part.empty()
                       ? "a part of its name is empty"
                       : fmt::format("'{}' is no name: lower-case letters and digits, joined by "
                                     "'.', '_', '__' or '-'",
                                     printable(part)));
}

}  // namespace

bool is_digest(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  return text.size() == prefix.size() + hex_digits && text.starts_with(prefix) &&
         std::all_of(text.begin() + prefix.size(), text.end(), is_hex);
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > tag_bytes_max || text[0] == '.' || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_lower(c) || is_upper(c) || is_digit(c) || c == '_' || c == '.' || c == '-';
  });
}

bool is_domain(std::string_view text) {
  if (text.size() > domain_bytes_max) return false;
  const size_t colon = text.rfind(':');
  const bool in_address = !text.empty() && text.back() == ']';
  if (colon == std::string_view::npos || in_address) return is_host(text);
  const std::string_view port = text.substr(colon + 1);
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), is_digit) &&
         is_host(text.substr(0, colon));
}

bool is_repository(std::string_view text) {
  if (text.empty() || text.size() > path_bytes_max) return false;
  const std::vector<std::string> parts = split(text, '/');
  return std::all_of(parts.begin(), parts.end(),
                     [](const std::string& part) { return is_path_part(part); });
}

std::string Reference::familiar_name() const {
  const source::ImageRegistry& hub = source::public_names().images;
  if (domain != hub.domain) return domain + "/" + path;
  const std::string prefix = hub.ns + "/";
  const std::string last = starts_with(path, prefix) ? path.substr(prefix.size()) : "";
  const bool one_part = !last.empty() && last.find('/') == std::string::npos && !is_image_id(last);
  if (one_part) return last;
  // What would be read as another domain keeps its own.
  return is_domain_by_look(path.substr(0, path.find('/'))) ? domain + "/" + path : path;
}

std::string Reference::familiar() const {
  return familiar_name() + (tag.empty() ? "" : ":" + tag) + (digest.empty() ? "" : "@" + digest);
}

std::string Reference::canonical() const {
  return domain + "/" + path + (tag.empty() ? "" : ":" + tag) +
         (digest.empty() ? "" : "@" + digest);
}

Reference parse_reference(std::string_view text) {
  const source::ImageRegistry& hub = source::public_names().images;
  if (text.empty()) refuse(text, "it is empty");
  if (const size_t mark = text.find("://"); mark != std::string_view::npos)
    refuse(text, "it has no scheme",
           fmt::format("leave out '{}'", printable(text.substr(0, mark + 3))));

  Reference reference;
  std::string_view rest = text;
  if (const size_t at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (!is_digest(reference.digest))
      refuse(text, fmt::format("'{}' is no digest (sha256: and 64 lower-case hex digits)",
                               printable(reference.digest)));
  }
  // A colon after the last slash begins the tag, one before it a port.
  const size_t slash = rest.rfind('/');
  const size_t colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_tag(reference.tag))
      refuse(text,
             reference.tag.size() > tag_bytes_max
                 ? fmt::format("its tag is {} bytes long, at most {} are allowed",
                               reference.tag.size(), tag_bytes_max)
                 : fmt::format("'{}' is no tag: letters, digits, '_', '.' and '-', not beginning "
                               "with '.' or '-'",
                               printable(reference.tag)));
  }

  const size_t first_slash = rest.find('/');
  const std::string_view first = rest.substr(0, first_slash);
  const bool has_domain =
      first_slash != std::string_view::npos &&
      (first.find_first_of(".:") != std::string_view::npos || first == "localhost");
  if (has_domain) {
    if (!is_domain(first))
      refuse(text,
             fmt::format("'{}' is neither a host nor the beginning of a name", printable(first)));
    reference.domain = lower_case(first);
    rest.remove_prefix(first_slash + 1);
  } else {
    reference.domain = hub.domain;
  }
  reference.domain = without_alias(reference.domain);
  reference.path = rest;
  if (std::any_of(rest.begin(), rest.end(), is_upper))
    refuse(text, fmt::format("'{}' must be lower case", printable(rest)),
           fmt::format("did you mean '{}'?", printable(lower_case(rest))));
  if (reference.domain == hub.domain && !reference.path.empty() &&
      reference.path.find('/') == std::string::npos) {
    // What looks like an image id would be taken for one by engines.
    if (is_image_id(reference.path))
      refuse(text, "a name cannot be 64 hex digits: that is an image's id");
    reference.path = hub.ns + "/" + reference.path;
  }
  check_path(text, reference.path);
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

std::string parse_registry(std::string_view text) {
  const source::ImageRegistry& hub = source::public_names().images;
  if (text.empty() || text == hub.credentials_key) return hub.domain;
  std::string_view rest = text;
  for (const std::string_view scheme : {"https://", "http://"})
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (!is_domain(rest))
    throw Error(ExitCode::usage, fmt::format("'{}' is not a registry", printable(text)))
        .set_hint("a host name, with its port if it has one: registry.example:5000");
  return without_alias(lower_case(rest));
}

}  // namespace slipway::oci
