// The patterns of COPY and ADD sources: Go's filepath.Match, one component at a time
// (dockerfile.md C7). Not fnmatch: '^' negates a bracket, '?' and ranges take whole UTF-8
// characters, and a malformed pattern matches nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace slipway::sandbox {

/// Whether the text holds '*', '?' or '[' that no backslash takes the meaning of.
bool has_wildcards(std::string_view text);

/// Matches one name (no '/') against one component of a pattern. At most |pattern|·|name| steps.
bool match_component(std::string_view pattern, std::string_view name);

/// "a/./b//../c" → {"a", "c"}: as if "/" stood in front, so ".." never leaves (C3). Purely textual.
std::vector<std::string> clean_components(std::string_view path);

}  // namespace slipway::sandbox
