// WWW-Authenticate: what a registry wants before it answers (RFC 9110 §11.6.1, dockerfile.md N2).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::netfetch {

struct Challenge {
  std::string scheme;                         ///< lower case: "bearer", "basic"
  std::map<std::string, std::string> values;  ///< names in lower case
  std::string value(const std::string& name) const;
};

/// The challenges of one header, in order. What cannot be read ends the list.
std::vector<Challenge> parse_challenges(std::string_view header);

/// The one to be met: Bearer before Basic, since a registry that offers both means the token for
/// its API. Empty when there is neither.
std::optional<Challenge> choose_challenge(const std::vector<std::string>& headers);

}  // namespace slipway::netfetch
