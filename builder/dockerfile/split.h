// How the text of one instruction falls apart (P19-P28): name, flags, operands. All results are
// ranges of the text, so that positions are never lost.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/logical_line.h"

namespace slipway::dockerfile {

/// A word that starts with "--", quotes and escapes processed (P20).
struct FlagWord {
  std::string text;
  Span span;
  size_t value_begin = 0;  ///< offset of what follows the first '='; the end without one
};

struct Split {
  Span name;
  std::vector<FlagWord> flags;
  Span operands;  ///< trimmed
};

/// Splits the text from `begin` on.
Split split_instruction(std::string_view text, size_t begin, char escape);

/// Words between runs of space, tab, VT, FF and CR; quotes mean nothing (P25).
std::vector<Span> split_blanks(std::string_view text, Span span);

/// Words with quotes and escapes kept, blanks inside them do not split (P27). A lone escape
/// character at the very end is left out of its word.
std::vector<Span> split_quoted(std::string_view text, Span span, char escape);

}  // namespace slipway::dockerfile
