// Finding heredocs in an instruction's line and reading their bodies (H1-H6).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/logical_line.h"

namespace slipway::dockerfile {

/// A word such as <<EOF, 3<<-'EOF', << EOF.
struct HeredocWord {
  std::string name;
  bool expand = true, chomp = false;
  Span span;            ///< in the line
  std::string written;  ///< what follows the operator, quotes in place
};

/// What the word opens, if it is one; quotes and blanks inside are those of the grammar of words.
std::optional<HeredocWord> read_heredoc_word(std::string_view word);

struct HeredocWords {
  std::vector<HeredocWord> words;
  /// Why the line could not be taken apart: it holds no heredocs then (as in BuildKit).
  std::string problem;
};
HeredocWords find_heredocs(std::string_view line);

/// Reads the body of one heredoc off the lines that follow. Empty optional when it is not
/// terminated.
std::optional<Heredoc> read_body(const HeredocWord& word, PhysicalLines& lines);

/// What to do about a heredoc that found no end; `rest` is the text behind its line, which begins
/// after line `line`.
std::string unterminated_hint(const HeredocWord& word, std::string_view rest, int line);

}  // namespace slipway::dockerfile
