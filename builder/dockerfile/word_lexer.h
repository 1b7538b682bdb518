// The grammar of words: quotes, escapes, $name, ${name…} (V1-V10). One lexer serves expansion,
// splitting and the search for heredocs, which must agree on where a quote ends.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/words.h"

namespace slipway::dockerfile {

struct LexOptions {
  char escape = '\\';
  bool raw_quotes = false;       ///< quote characters stay
  bool raw_escapes = false;      ///< escape characters stay
  bool quotes_are_text = false;  ///< H10
  bool dollar_is_text = false;
  bool keep_unset = false;  ///< an unset variable stays as it is written
  bool split = false;       ///< collect words
};

struct LexWord {
  std::string text;
  size_t begin = 0, end = 0;  ///< in the source
};

struct Lexed {
  std::string text;
  std::vector<LexWord> words;  ///< with LexOptions::split
  std::set<std::string> used, unset;
};

/// Throws Error(app_files); Error::pos() holds no file and line, its column is the offset (from 0).
/// Nesting past 100 levels is refused. Linear, but for patterns (see patterns.h).
Lexed lex_words(std::string_view source, const LexOptions& options, const Lookup& lookup);

}  // namespace slipway::dockerfile
