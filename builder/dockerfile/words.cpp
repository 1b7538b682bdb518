#include "dockerfile/words.h"

#include "dockerfile/word_lexer.h"

namespace slipway::dockerfile {
namespace {

Expansion to_expansion(Lexed lexed) {
  return {std::move(lexed.text), std::move(lexed.used), std::move(lexed.unset)};
}

}  // namespace

Expansion expand_word(std::string_view word, char escape, const Lookup& lookup) {
  return to_expansion(lex_words(word, {.escape = escape}, lookup));
}

std::vector<std::string> expand_words(std::string_view word, char escape, const Lookup& lookup) {
  Lexed lexed = lex_words(word, {.escape = escape, .split = true}, lookup);
  std::vector<std::string> words;
  for (LexWord& one : lexed.words) words.push_back(std::move(one.text));
  return words;
}

Expansion expand_heredoc(std::string_view body, const Lookup& lookup) {
  return to_expansion(lex_words(body, {.quotes_are_text = true}, lookup));
}

std::string unquote_word(std::string_view word, char escape) {
  const Lookup none = [](std::string_view) { return std::nullopt; };
  return lex_words(word, {.escape = escape, .dollar_is_text = true}, none).text;
}

}  // namespace slipway::dockerfile
