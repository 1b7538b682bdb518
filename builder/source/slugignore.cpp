#include "source/slugignore.h"

#include <algorithm>

#include "base/text.h"
#include "source/glob.h"

namespace slipway::source {
namespace {

constexpr size_t patterns_max = 10'000;

std::vector<std::string_view> components_of(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    if (slash != 0) parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return parts;
}

/// "**" before the last component: any number of components, none of them hidden.
bool components_match(const std::vector<std::string>& pattern,
                      const std::vector<std::string_view>& path) {
  // The same two-pointer walk as within a name, one floor up: linear memory, |pattern|·|path|.
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string::npos;
  size_t star_path = 0;
  while (n < path.size()) {
    if (p + 1 < pattern.size() && pattern[p] == "**") {
      star = ++p;
      star_path = n;
    } else if (p < pattern.size() && glob_component_matches(pattern[p], path[n])) {
      ++p;
      ++n;
    } else if (star != std::string::npos && !path[star_path].starts_with('.')) {
      p = star;
      n = ++star_path;
    } else {
      return false;
    }
  }
  return p == pattern.size();
}

}  // namespace

SlugIgnore::SlugIgnore(std::string_view text, const std::string& file) {
  for_each_line(text, file, warnings_, [&](int number, std::string_view line) {
    line = line.substr(0, line.find('#'));
    size_t at = 0;
    while (at < line.size()) {
      if (is_blank(line[at])) {
        ++at;
        continue;
      }
      size_t end = at;
      while (end < line.size() && !is_blank(line[end])) ++end;
      add(line.substr(at, end - at), {file, number, static_cast<int>(at) + 1});
      at = end;
    }
  });
}

void SlugIgnore::add(std::string_view word, const SourcePos& pos) {
  if (word.starts_with('!'))
    warnings_.push_back(
        {pos, fmt::format("'{}': there is no negation here; this matches names that start with '!'",
                          word)});
  const auto expanded = expand_braces(word, patterns_max);
  if (!expanded || patterns_.size() + expanded->size() > patterns_max)
    throw Error(ExitCode::app_files, fmt::format("more than {} patterns", patterns_max))
        .set_pos(pos)
        .set_hint("name the folder that holds them instead");
  for (const std::string& text : *expanded) {
    Pattern pattern;
    const bool anchored = text.find('/') != std::string::npos;
    pattern.directories_only = text.ends_with('/');
    if (!anchored) pattern.components.emplace_back("**");
    bool outside = false;
    size_t named = 0;
    for (const std::string_view part : components_of(text)) {
      if (part == ".") continue;
      outside = outside || part == "..";
      pattern.components.emplace_back(part);
      ++named;
    }
    if (outside || named == 0) {
      warnings_.push_back(
          {pos, fmt::format("'{}' can only match the source's root or what lies outside, ignored",
                            printable(word))});
      continue;
    }
    patterns_.push_back(std::move(pattern));
  }
}

bool SlugIgnore::counts(std::string_view path, bool is_directory) const {
  if (patterns_.empty()) return false;
  const std::vector<std::string_view> parts = components_of(path);
  return std::any_of(patterns_.begin(), patterns_.end(), [&](const Pattern& pattern) {
    return (is_directory || !pattern.directories_only) &&
           components_match(pattern.components, parts);
  });
}

bool SlugIgnore::matches_entry(std::string_view path, bool is_directory) const {
  return always_dropped(path) || counts(path, is_directory);
}

bool SlugIgnore::matches(std::string_view path, bool is_directory) const {
  for (size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1))
    if (slash > 0 && matches_entry(path.substr(0, slash), true)) return true;
  return matches_entry(path, is_directory);
}

bool always_dropped(std::string_view path) {
  const std::vector<std::string_view> parts = components_of(path);
  return std::find(parts.begin(), parts.end(), ".git") != parts.end();
}

}  // namespace slipway::source
