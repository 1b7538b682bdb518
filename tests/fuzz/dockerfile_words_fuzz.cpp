// links: dockerfile
// The first line is the value of $v, the rest a word that uses it.
#include "dockerfile/patterns.h"
#include "dockerfile/words.h"
#include "target.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

void check_patterns(std::string_view value, std::string_view pattern) {
  MatchBudget budget;
  const std::string shortest =
      remove_matching(value, pattern, End::prefix, Length::shortest, budget);
  const std::string longest = remove_matching(value, pattern, End::prefix, Length::longest, budget);
  demand(value.ends_with(shortest) && std::string_view(shortest).ends_with(longest));
  const std::string front = remove_matching(value, pattern, End::suffix, Length::shortest, budget);
  const std::string least = remove_matching(value, pattern, End::suffix, Length::longest, budget);
  demand(value.starts_with(front) && std::string_view(front).starts_with(least));
  // A pattern that matches at the front matches somewhere.
  if (longest.size() < value.size())
    demand(replace_matching(value, pattern, "", false, budget) == longest);
}

void check_quoting(std::string_view text) {
  if (text.find('\'') != text.npos) return;
  const std::string quoted = "'" + std::string(text) + "'";
  const Lookup never = [](std::string_view) -> std::optional<std::string> { std::abort(); };
  demand(expand_word(quoted, '\\', never).text == text);
  demand(unquote_word(quoted, '`') == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string value(text.substr(0, end));
    const std::string_view word = text.substr(std::min(end + 1, text.size()));
    const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
      if (name == "v") return value;
      if (name == "e") return "";
      return std::nullopt;
    };
    check_quoting(word);
    // Each may fail without the others.
    const auto attempt = [](const auto& call) {
      try {
        call();
      } catch (const Error& error) {
        demand(error.code() == ExitCode::app_files && !error.cause().empty());
      }
    };
    attempt([&] { check_patterns(value, word); });
    attempt([&] { expand_heredoc(word, lookup); });
    attempt([&] { expand_words(word, '`', lookup); });
    const Expansion expansion = expand_word(word, '\\', lookup);
    for (const std::string& name : expansion.unset) demand(expansion.used.contains(name));
    demand(!expansion.unset.contains("v"));
  });
  return 0;
}
