// The lines of a Dockerfile: physical ones, and logical ones that continuations join (P11-P16). The
// places of a logical line are kept, so that an error inside it names line and column of the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/instruction.h"

namespace slipway::dockerfile {

/// unicode.IsSpace of Go, on which word splitting stands: the length in bytes of the blank
/// character at `at` (NBSP, U+2003 … count), 0 when there is none.
size_t blank_length(std::string_view text, size_t at);
/// Blanks gone at both ends. Positions are offsets: the result is the range that remains.
struct Span {
  size_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};
Span trim_blanks(std::string_view text, Span span);
bool is_comment(std::string_view physical_line);

/// Hands out physical lines with their line ends.
class PhysicalLines {
 public:
  explicit PhysicalLines(std::string_view text) : rest_(text) {}
  /// False at the end of the text.
  bool next(std::string_view& line);
  /// Of the line handed out last, from 1; 0 before the first.
  int number() const { return number_; }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  int number_ = 0;
};

struct Place {
  int line = 0, column = 0;  ///< from 1, bytes
};

struct LogicalLine {
  std::string text;  ///< joined, without the escape characters that joined it
  Lines lines;
  std::optional<Lines> empty_continuation;  ///< blank lines inside (NoEmptyContinuation)

  Place place(size_t offset) const;
  /// Where text of offset `offset` and later stands, up to the next piece.
  struct Piece {
    size_t offset;
    Place place;
  };
  std::vector<Piece> pieces;
};

/// Joins `first` (handed out just now, not a comment) with the lines that continue it.
LogicalLine join_lines(PhysicalLines& lines, std::string_view first, char escape);

}  // namespace slipway::dockerfile
