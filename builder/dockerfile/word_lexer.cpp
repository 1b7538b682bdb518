#include "dockerfile/word_lexer.h"

#include <optional>

#include "base/error.h"
#include "base/text.h"
#include "base/utf8.h"
#include "dockerfile/letters.h"
#include "dockerfile/logical_line.h"
#include "dockerfile/patterns.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

constexpr int depth_max = 100;
// More than any program can be started with; doubling from line to line stops here.
constexpr size_t values_max_bytes = 4 << 20;

/// What has been read up to a stop: the text, and the words it falls into.
struct Output {
  std::string text;
  bool split = false;
  std::vector<LexWord> words;
  LexWord word;
  bool in_word = false;

  void add(std::string_view part, size_t begin, size_t end) {
    text += part;
    if (!split) return;
    if (!in_word) word.begin = begin;
    in_word = true;
    word.text += part;
    word.end = end;
  }
  /// The same, blanks end the word. `literal`: the part stands in the source as it is.
  void add_split(std::string_view part, size_t begin, size_t end, bool literal) {
    if (!split) {
      text += part;
      return;
    }
    for (size_t at = 0; at < part.size();) {
      if (const size_t blank = blank_length(part, at)) {
        text += part.substr(at, blank);
        end_word();
        at += blank;
        continue;
      }
      size_t stop = at + 1;
      while (stop < part.size() && blank_length(part, stop) == 0) ++stop;
      add(part.substr(at, stop - at), literal ? begin + at : begin, literal ? begin + stop : end);
      at = stop;
    }
  }
  void end_word() {
    // Quotes around nothing make no word.
    if (in_word && !word.text.empty()) words.push_back(std::move(word));
    word = {};
    in_word = false;
  }
};

class Lexer {
 public:
  Lexer(std::string_view source, const LexOptions& options, const Lookup& lookup)
      : source_(source), options_(options), lookup_(lookup) {
    special_ = options.quotes_are_text ? "<" : "<'\"";
    if (!options.dollar_is_text) special_ += '$';
    special_ += options.escape;
  }

  Lexed run() {
    Output output = until('\0', 0, options_.raw_escapes, options_.split);
    output.end_word();
    return {std::move(output.text), std::move(output.words), std::move(used_), std::move(unset_)};
  }

 private:
  [[noreturn]] static void fail_at(size_t offset, std::string cause, std::string hint = {}) {
    throw Error(ExitCode::app_files, std::move(cause))
        .set_pos({"", 0, static_cast<int>(offset)})
        .set_hint(std::move(hint));
  }

  bool at_end() const { return at_ >= source_.size(); }
  char peek() const { return at_end() ? '\0' : source_[at_]; }
  /// One whole character, so that an escape never takes half of one.
  std::string_view take() {
    if (at_end()) return {};
    const std::string_view taken = source_.substr(at_, character_at(source_, at_).length);
    at_ += taken.size();
    return taken;
  }

  /// What comes before the next of these characters, at least one.
  std::string_view take_until(std::string_view characters, char stop) {
    const size_t begin = at_;
    at_ = std::min(source_.find_first_of(characters, begin + 1), source_.size());
    if (stop != '\0') at_ = std::min(at_, source_.find(stop, begin + 1));
    return source_.substr(begin, at_ - begin);
  }

  /// Reads up to `stop` and past it; '\0' = to the end. `opened` is where "${" stands.
  Output until(char stop, size_t opened, bool raw_escapes, bool split) {
    Output output;
    output.split = split;
    while (!at_end()) {
      const size_t begin = at_;
      const char c = peek();
      if (stop != '\0' && c == stop) {
        ++at_;
        return output;
      }
      if (c == '$' && !options_.dollar_is_text) {
        const std::string value = dollar(begin);
        output.add_split(value, begin, at_, false);
      } else if (c == '<') {
        heredoc_operator();
        output.add(source_.substr(begin, at_ - begin), begin, at_);
      } else if (c == '\'' && !options_.quotes_are_text) {
        const std::string text = single_quoted();
        output.add(text, begin, at_);
      } else if (c == '"' && !options_.quotes_are_text) {
        const std::string text = double_quoted(raw_escapes);
        output.add(text, begin, at_);
      } else if (c == options_.escape) {
        ++at_;
        if (raw_escapes) output.add(source_.substr(begin, 1), begin, at_);
        if (at_end()) break;
        const std::string_view escaped = take();
        output.add(escaped, begin, at_);
      } else {
        const std::string_view run = take_until(special_, stop);
        output.add_split(run, begin, at_, true);
      }
    }
    if (stop == '/') fail_at(opened, "'/' is missing in ${name/pattern/replacement}");
    if (stop != '\0') fail_at(opened, "'}' is missing after '${'");
    return output;
  }

  /// Blanks may stand between "<<" and the word (H2).
  void heredoc_operator() {
    ++at_;
    if (peek() != '<') return;
    ++at_;
    while (peek() == ' ' || peek() == '\t' || peek() == '\r') ++at_;
  }

  std::string single_quoted() {
    const size_t begin = at_;
    const size_t end = source_.find('\'', begin + 1);
    if (end == std::string_view::npos)
      fail_at(begin, "the single quote is not closed",
              "inside single quotes nothing can be escaped; a lone ' is written \\' or \"'\"");
    at_ = end + 1;
    if (options_.raw_quotes) return std::string(source_.substr(begin, at_ - begin));
    return std::string(source_.substr(begin + 1, end - begin - 1));
  }

  std::string double_quoted(bool raw_escapes) {
    const size_t begin = at_++;
    std::string text;
    if (options_.raw_quotes) text += '"';
    while (!at_end()) {
      const char c = peek();
      if (c == '"') {
        ++at_;
        if (options_.raw_quotes) text += '"';
        return text;
      }
      if (c == '$' && !options_.dollar_is_text) {
        text += dollar(at_);
        continue;
      }
      if (c != options_.escape) {
        text += take_until(special_, '\0');
        continue;
      }
      ++at_;
      if (at_end()) break;
      const char next = peek();
      const bool escapes = next == '"' || next == '$' || next == options_.escape;
      // Raw text is lexed again: a backslash that escapes nothing must survive that.
      if (raw_escapes) text += c;
      if (escapes)
        text += take();
      else
        text += c;
    }
    fail_at(begin, "the double quote is not closed");
  }

  std::string name() {
    const size_t begin = at_;
    if (at_end()) return {};
    if (is_digit(character_at(source_, at_).code)) {
      while (!at_end() && is_digit(character_at(source_, at_).code)) take();
      return std::string(source_.substr(begin, at_ - begin));
    }
    if (std::string_view("@*#?-$!").find(peek()) != std::string_view::npos)
      return std::string(take());
    while (!at_end()) {
      const uint32_t code = character_at(source_, at_).code;
      if (code != '_' && !is_letter(code) && !is_digit(code)) break;
      take();
    }
    return std::string(source_.substr(begin, at_ - begin));
  }

  std::optional<std::string> value_of(const std::string& variable, size_t begin) {
    used_.insert(variable);
    std::optional<std::string> value = lookup_(variable);
    if (value) count_value(value->size(), begin);
    return value;
  }
  void count_value(size_t size, size_t begin) {
    values_size_ += size;
    if (values_size_ > values_max_bytes)
      fail_at(begin, fmt::format("the values of variables here are longer than {} together",
                                 format_size(values_max_bytes)));
  }
  std::string empty_for(const std::string& variable) {
    unset_.insert(variable);
    return {};
  }

  std::string dollar(size_t begin) {
    ++at_;
    if (peek() != '{') {
      const std::string variable = name();
      if (variable.empty()) return "$";
      const auto value = value_of(variable, begin);
      if (value) return *value;
      return options_.keep_unset ? "$" + variable : empty_for(variable);
    }
    if (++depth_ > depth_max) fail_at(begin, fmt::format("more than {} nested '${{'", depth_max));
    ++at_;
    std::string value = braced(begin);
    --depth_;
    return value;
  }

  /// Behind "${", up to its brace.
  std::string braced(size_t begin) {
    if (at_end()) fail_at(begin, "'}' is missing after '${'");
    if (peek() == '{' || peek() == '}' || peek() == ':')
      fail_at(begin, "a name is missing after '${'");
    const std::string variable = name();
    if (at_end()) fail_at(begin, "'}' is missing after '${'");
    const char op = take().front();
    if (op == '}') {
      const auto value = value_of(variable, begin);
      if (value) return *value;
      return options_.keep_unset ? "${" + variable + "}" : empty_for(variable);
    }
    if (op == '/') return replacement(variable, begin);
    return modified(variable, op, begin);
  }

  [[noreturn]] void fail_modifier(size_t begin, const std::string& modifier) const {
    fail_at(begin, fmt::format("'{}' is no modifier of a variable", shown(modifier)),
            "there are ${v:-w} ${v-w} ${v:+w} ${v+w} ${v:?m} ${v?m} ${v#p} ${v##p} ${v%p} ${v%%p} "
            "${v/p/r} ${v//p/r}");
  }

  std::string modified(const std::string& variable, char op, size_t begin) {
    std::string modifier(1, op);
    const bool empty_is_unset = op == ':';
    if (empty_is_unset) {
      if (at_end()) fail_at(begin, "'}' is missing after '${'");
      const std::string_view next = take();
      modifier += next;
      op = next.front();
    } else if (std::string_view("+-?#%").find(op) == std::string_view::npos) {
      fail_modifier(begin, modifier);
    }
    const bool pattern = op == '#' || op == '%';
    if (empty_is_unset && pattern) fail_modifier(begin, modifier);
    const std::string word = until('}', begin, pattern, false).text;
    const auto value = value_of(variable, begin);
    if (!value && options_.keep_unset) return "${" + variable + modifier + word + "}";
    const bool missing = !value || (empty_is_unset && value->empty());
    switch (op) {
      case '-':
        return missing ? word : *value;
      case '+':
        return missing ? std::string() : word;
      case '?':
        if (!missing) return *value;
        fail_at(begin, fmt::format("{}: {}", variable,
                                   !word.empty() ? word
                                   : value       ? "is not allowed to be empty"
                                                 : "is not allowed to be unset"));
      case '#':
      case '%':
        return trimmed(variable, value, op, word, begin);
      default:
        fail_modifier(begin, modifier);
    }
  }

  std::string trimmed(const std::string& variable, const std::optional<std::string>& value, char op,
                      std::string_view pattern, size_t begin) {
    const bool longest = pattern.starts_with(op);
    if (longest) pattern.remove_prefix(1);
    try {
      std::string left =
          remove_matching(value ? *value : "", pattern, op == '#' ? End::prefix : End::suffix,
                          longest ? Length::longest : Length::shortest, budget_);
      return value ? left : empty_for(variable);
    } catch (Error& error) {
      error.set_pos({"", 0, static_cast<int>(begin)});
      throw;
    }
  }

  std::string replacement(const std::string& variable, size_t begin) {
    const bool all = peek() == '/';
    if (all) ++at_;
    const std::string pattern = until('/', begin, true, false).text;
    const std::string text = until('}', begin, true, false).text;
    const auto value = value_of(variable, begin);
    if (!value && options_.keep_unset) return "${" + variable + "/" + pattern + "/" + text + "}";
    try {
      std::string replaced = replace_matching(value ? *value : "", pattern, text, all, budget_);
      count_value(replaced.size(), begin);
      // A pattern that matches nothing at all puts its replacement even into an unset variable.
      if (!value && replaced.empty()) return empty_for(variable);
      return replaced;
    } catch (Error& error) {
      error.set_pos({"", 0, static_cast<int>(begin)});
      throw;
    }
  }

  std::string_view source_;
  std::string special_;  ///< characters that are not just text
  const LexOptions& options_;
  const Lookup& lookup_;
  size_t at_ = 0;
  int depth_ = 0;
  size_t values_size_ = 0;
  MatchBudget budget_;
  std::set<std::string> used_, unset_;
};

}  // namespace

Lexed lex_words(std::string_view source, const LexOptions& options, const Lookup& lookup) {
  return Lexer(source, options, lookup).run();
}

}  // namespace slipway::dockerfile
