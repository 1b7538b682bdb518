#include "dockerfile/heredoc.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/shown.h"
#include "dockerfile/word_lexer.h"

namespace slipway::dockerfile {
namespace {

const Lookup nothing_set = [](std::string_view) { return std::nullopt; };

std::string_view without_line_end(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::ptrdiff_t count_quotes(std::string_view text) {
  return std::count(text.begin(), text.end(), '\'') + std::count(text.begin(), text.end(), '"');
}

/// The name up to the first character a shell would take for an operator.
std::string_view before_operator(std::string_view name) {
  return name.substr(0, name.find_first_of(";|&>()"));
}

}  // namespace

std::optional<HeredocWord> read_heredoc_word(std::string_view word) {
  size_t at = 0;
  while (at < word.size() && word[at] >= '0' && word[at] <= '9') ++at;
  if (!word.substr(at).starts_with("<<")) return std::nullopt;
  at += 2;
  HeredocWord heredoc;
  heredoc.chomp = word.substr(at).starts_with('-');
  if (heredoc.chomp) ++at;
  while (at < word.size() && std::string_view("\t\n\f\r ").find(word[at]) != word.npos) ++at;
  const std::string_view written = word.substr(at);
  if (written.empty() || written.find('<') != std::string_view::npos) return std::nullopt;
  const Lexed plain = lex_words(written, {.keep_unset = true, .split = true}, nothing_set);
  const Lexed quoted =
      lex_words(written, {.raw_quotes = true, .keep_unset = true, .split = true}, nothing_set);
  if (plain.words.size() != 1 || quoted.words.size() != 1) return std::nullopt;
  heredoc.name = plain.words[0].text;
  // Quotes that went away were quoting; an escaped one stays in both.
  heredoc.expand = count_quotes(heredoc.name) == count_quotes(quoted.words[0].text);
  heredoc.written = written;
  return heredoc;
}

HeredocWords find_heredocs(std::string_view line) {
  HeredocWords found;
  try {
    const Lexed lexed = lex_words(
        line, {.raw_quotes = true, .raw_escapes = true, .keep_unset = true, .split = true},
        nothing_set);
    for (const LexWord& word : lexed.words) {
      std::optional<HeredocWord> heredoc = read_heredoc_word(word.text);
      if (!heredoc) continue;
      heredoc->span = {word.begin, word.end};
      found.words.push_back(std::move(*heredoc));
    }
  } catch (const Error& error) {
    found.words.clear();
    found.problem = error.cause();
  }
  return found;
}

std::optional<Heredoc> read_body(const HeredocWord& word, PhysicalLines& lines) {
  Heredoc heredoc{word.name, word.expand, word.chomp, {}, lines.number() + 1};
  const std::string_view body = lines.rest();
  size_t length = 0;
  std::string_view line;
  while (lines.next(line)) {
    std::string_view candidate = without_line_end(line);
    if (word.chomp)
      candidate.remove_prefix(std::min(candidate.find_first_not_of('\t'), candidate.size()));
    if (candidate == word.name) {
      heredoc.content = body.substr(0, length);
      return heredoc;
    }
    length += line.size();
  }
  return std::nullopt;
}

std::string unterminated_hint(const HeredocWord& word, std::string_view rest, int line) {
  const std::string name = shown(word.name);
  const std::string_view bare = before_operator(word.name);
  PhysicalLines lines(rest);
  std::string_view candidate;
  while (lines.next(candidate)) {
    const int number = line + lines.number();
    candidate = without_line_end(candidate);
    if (!bare.empty() && bare != word.name && candidate == bare)
      return fmt::format(
          "the terminator is the whole word '{}'; put a blank behind the name ('<<{} {}') and line "
          "{} "
          "ends it",
          name, bare, shown(word.name.substr(bare.size())), number);
    if (trim(candidate) != word.name) continue;
    if (trim(candidate).data() == candidate.data())
      return fmt::format("line {} is '{}' with blanks behind it; they must go", number, name);
    return fmt::format(
        "line {} is '{}' with blanks before it; remove them, or write '<<-' and indent with tabs "
        "alone",
        number, name);
  }
  if (!word.name.empty() && word.name.find_first_not_of("0123456789)") == std::string::npos)
    return fmt::format(
        "'<<' opens a heredoc here, which a line '{}' would end; a shift is written without "
        "blanks, "
        "$((1<<2))",
        name);
  return fmt::format("a line that is exactly '{}' ends it", name);
}

}  // namespace slipway::dockerfile
