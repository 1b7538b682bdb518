// Shell patterns inside ${name#p}, ${name%p} and ${name/p/r} (V3, V4): '*' any run of characters,
// '?' any one, neither a newline; brackets are ordinary; '\*', '\?', '\\', '\/' and '\}' are
// escapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace slipway::dockerfile {

enum class End { prefix, suffix };
enum class Length { shortest, longest };

/// What matching may cost; shared by all of one word.
struct MatchBudget {
  uint64_t steps = 50'000'000;        ///< some tenths of a second
  size_t result_max_bytes = 4 << 20;  ///< of one replacement
};

/// Throw Error(app_files) for another escape, and when the budget is used up.
std::string remove_matching(std::string_view value, std::string_view pattern, End end,
                            Length length, MatchBudget& budget);
/// The leftmost match, as long as possible, or all of them; the replacement is taken literally
/// (V9).
std::string replace_matching(std::string_view value, std::string_view pattern,
                             std::string_view replacement, bool all, MatchBudget& budget);

}  // namespace slipway::dockerfile
