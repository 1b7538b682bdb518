// Variable expansion in Dockerfile words: one function for all instructions that expand
// (dockerfile.md V1-V10).
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::dockerfile {

/// The value of a variable; empty optional = unset.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

struct Expansion {
  std::string text;
  std::set<std::string> used;  ///< names that were looked up
  /// Names that expanded to empty because they are unset (V14). ${x:-w}, ${x:+w} and their kin ask
  /// whether x is set and are not among them.
  std::set<std::string> unset;
};

/// Processes quotes, escapes and variables. Throws Error(app_files) with neither file nor line:
/// "${x" is not closed, unbalanced quotes, `${x:?message}` …; the offset of the problem inside the
/// word (from 0) is the column of Error::pos(), a suggestion may be in Error::hint(). The words
/// behind an operator are processed even when they are not used. Nesting past 100 levels is
/// refused.
Expansion expand_word(std::string_view word, char escape, const Lookup& lookup);
/// The same, but results of variables are split at blanks unless quoted (EXPOSE only, V10). Nothing
/// but blanks or empty quotes gives no word.
std::vector<std::string> expand_words(std::string_view word, char escape, const Lookup& lookup);
/// A heredoc's body (H10): variables and backslash escapes, quotes are ordinary text.
Expansion expand_heredoc(std::string_view body, const Lookup& lookup);
/// Quotes and escapes only; no variable is looked up.
std::string unquote_word(std::string_view word, char escape);

}  // namespace slipway::dockerfile
