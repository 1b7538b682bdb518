// Shell patterns inside ${name#p}, ${name%p} and ${name/p/r} (V3, V4): '*' any run of characters,
// '?' any one, neither a newline; brackets are ordinary; '\*', '\?', '\\', '\/' and '\}' are
// escapes.
#pragma once

#include <string>
#include <string_view>

namespace slipway::dockerfile {

enum class End { prefix, suffix };
enum class Length { shortest, longest };

/// Throw Error(app_files) for another escape, and when pattern and value are so long that matching
/// them would take seconds.
std::string remove_matching(std::string_view value, std::string_view pattern, End end,
                            Length length);
/// The leftmost match, as long as possible, or all of them; the replacement is taken literally
/// (V9).
std::string replace_matching(std::string_view value, std::string_view pattern,
                             std::string_view replacement, bool all);

}  // namespace slipway::dockerfile
