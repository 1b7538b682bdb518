// .slugignore: what is deleted from the source before buildpacks see it (heroku.md §8). The grammar
// is the slug compiler's — Ruby's Dir.glob — not that of .gitignore: no negation, leading dots must
// be spelled, a slash anywhere anchors the pattern at the root.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "source/lines.h"

namespace slipway::source {

/// Patterns are whitespace-separated; text from '#' to the end of the line is comment (IGN-2).
/// Without '/', a pattern matches a name at any depth; with one, the path from the root (IGN-3).
/// '*', '?' (one UTF-8 character), '[a-z]', '[^a-z]', '{a,b}' and '\' as Ruby has them; '**' as a
/// whole component means any depth, elsewhere it is '*'. A trailing '/' matches directories only.
class SlugIgnore {
 public:
  /// No patterns: nothing but .git is left out.
  SlugIgnore() = default;
  /// Throws Error(app_files) with file:line:column for a pattern whose braces expand too far.
  explicit SlugIgnore(std::string_view text, const std::string& file = ".slugignore");

  /// True when the path or a directory above it is left out: by a pattern, or because it is .git
  /// (IGN-4). Paths are relative to the root, '/'-separated, any bytes.
  bool matches(std::string_view path, bool is_directory) const;
  /// The same for this path alone, for walkers that do not descend into what is left out.
  bool matches_entry(std::string_view path, bool is_directory) const;
  /// True when a pattern matches this path itself, .git not counted; OUT-7 prints how many do:
  /// "Deleting 116 files matching .slugignore patterns." — what lies in a matched directory is
  /// counted only when a pattern matches it, too.
  bool counts(std::string_view path, bool is_directory) const;

  /// Whether a pattern could ever match.
  bool empty() const { return patterns_.empty(); }
  const std::vector<Warning>& warnings() const { return warnings_; }

  /// One pattern, parsed. `components` hold glob text; "**" alone stands for any depth.
  struct Pattern {
    std::vector<std::string> components;
    bool directories_only = false;
  };

 private:
  void add(std::string_view word, const SourcePos& pos);
  std::vector<Pattern> patterns_;
  std::vector<Warning> warnings_;
};

/// .git, at any depth: never part of a build (IGN-4, GIT-7).
bool always_dropped(std::string_view path);

}  // namespace slipway::source
