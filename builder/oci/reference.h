// Image references: [domain/]path[:tag][@digest], with Docker's short forms.
#pragma once

#include <string>
#include <string_view>

namespace slipway::oci {

/// A value: made by parse_reference() or, part by part, by who checks the parts.
struct Reference {
  std::string domain;  ///< lower case: "registry.example", "localhost:5000", "[::1]:5000"
  std::string path;    ///< "library/debian"
  std::string tag;     ///< empty only with a digest
  std::string digest;  ///< "sha256:<hex>" or empty
  bool operator==(const Reference&) const = default;
  /// "registry.example/library/debian:12[@sha256:…]"
  std::string canonical() const;
  /// As people write it, without the default domain and its namespace: "debian:12".
  std::string familiar() const;
  /// Domain and path as people write them: "debian", "localhost:5000/app".
  std::string familiar_name() const;
};

/// `:latest` when there is neither tag nor digest; a first part without '.', ':' and not
/// "localhost" is no domain; one-part names of the default domain get its namespace (dockerfile.md
/// F4). Throws Error(usage) saying what is wrong (upper case, a bad digest, 256 bytes or more …).
Reference parse_reference(std::string_view text);

/// A registry as people name it: "registry.example:5000", also with https:// before or slashes
/// after it; empty = the default one; lower case, aliases resolved. Throws Error(usage).
std::string parse_registry(std::string_view text);

/// Exactly "sha256:" and 64 lower-case hex digits: only such a text may become a path (threat 19).
bool is_digest(std::string_view text);
/// A tag as the distribution protocol has it: 1 to 128 of [A-Za-z0-9_.-], not beginning with . or -
bool is_tag(std::string_view text);
/// "host", "host:port", "[v6]:port": what may become the authority of a URL and a folder's name.
bool is_domain(std::string_view text);
/// A repository's path: lower-case parts with single separators, at most 255 bytes.
bool is_repository(std::string_view text);

}  // namespace slipway::oci
