// Image references: [domain/]path[:tag][@digest], with Docker's short forms.
#pragma once

#include <string>
#include <string_view>

namespace slipway::oci {

struct Reference {
  std::string domain;  ///< "docker.io", "localhost:5000"
  std::string path;    ///< "library/debian"
  std::string tag;     ///< empty only with a digest
  std::string digest;  ///< "sha256:<hex>" or empty
  bool operator==(const Reference&) const = default;
  /// "docker.io/library/debian:12[@sha256:…]"
  std::string canonical() const;
  /// As people write it: "debian:12".
  std::string familiar() const;
};

/// `:latest` when there is neither tag nor digest; a first part without '.', ':' and not
/// "localhost" is no domain; one-part names of the default domain get "library/" (dockerfile.md
/// F4). Throws Error(usage) saying what is wrong (upper case, a bad digest, 256 bytes or more …).
Reference parse_reference(std::string_view text);

/// Exactly "sha256:" and 64 lower-case hex digits: only such a text may become a path (threat 19).
bool is_digest(std::string_view text);

}  // namespace slipway::oci
