#include "source/dockerignore.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "source/lines.h"

namespace slipway::source {
namespace {

constexpr size_t patterns_max = 100'000;

}  // namespace

PathPatterns PathPatterns::parse(std::string_view text, const std::string& file) {
  PathPatterns patterns;
  std::vector<Warning> warnings;
  for_each_line(text, file, warnings, [&](int number, std::string_view line) {
    if (line.starts_with('#')) return;
    try {
      patterns.add(line);
    } catch (Error& error) {
      const auto column = static_cast<int>(std::min(line.find_first_not_of(" \t"), line.size()));
      error.set_pos({file, number, column + 1});
      throw;
    }
  });
  return patterns;
}

PathPatterns::PathPatterns(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) add(pattern);
}

void PathPatterns::add(std::string_view line) {
  std::string_view text = trim(line);
  if (text.empty()) return;
  const bool negated = text.starts_with('!');
  if (negated) text = trim(text.substr(1));
  if (text.empty())
    throw Error(ExitCode::app_files, "a '!' without a pattern")
        .set_hint("'!docs' keeps what an earlier pattern hides; a name that is '!' is written \\!");
  if (rules_.size() == patterns_max)
    throw Error(ExitCode::app_files, fmt::format("more than {} patterns", patterns_max))
        .set_hint("name the folders that hold the files instead");
  const std::string cleaned = clean_pattern(text);
  // "foo /" is "foo": BuildKit trims once more when the slash is gone.
  rules_.push_back({PathPattern(trim(cleaned)), negated});
  has_exceptions_ = has_exceptions_ || negated;
}

bool PathPatterns::hides(std::string_view path) const {
  if (path.empty()) return false;
  const auto last = std::find_if(rules_.rbegin(), rules_.rend(),
                                 [&](const Rule& rule) { return rule.pattern.matches(path); });
  return last != rules_.rend() && !last->negated;
}

bool PathPatterns::may_skip_directory(std::string_view path) const {
  if (!hides(path)) return false;
  return std::none_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    return rule.negated && rule.pattern.may_match_below(path);
  });
}

}  // namespace slipway::source
