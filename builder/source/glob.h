// Ruby's Dir.glob on one path component and its brace expansion; used by .slugignore.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::source {

/// Matches one name (no '/') against one glob component. A leading '.' of the name is matched only
/// by a spelled '.'. Linear memory, at most |pattern|·|name| steps (threat 7).
bool glob_component_matches(std::string_view pattern, std::string_view name);

/// "a{b,c}" → {"ab", "ac"}; nested braces too. Empty optional when there would be more than
/// `limit` results. An unbalanced '{' is taken literally, as Ruby does.
std::optional<std::vector<std::string>> expand_braces(std::string_view pattern, size_t limit);

}  // namespace slipway::source
