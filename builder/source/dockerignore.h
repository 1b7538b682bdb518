// .dockerignore: which paths of a context are hidden (dockerfile.md §4). The same patterns filter
// COPY --exclude.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "source/path_pattern.h"

namespace slipway::source {

/// Patterns in order, the last that matches decides; "!" re-includes. What a pattern means is told
/// at PathPattern; it is cleaned first, and anchored at the root (G2, G3).
class PathPatterns {
 public:
  PathPatterns() = default;
  /// Lines of an ignore file; '#' in the first column starts a comment. Throws Error(app_files)
  /// with the position for a malformed pattern or a lone "!".
  static PathPatterns parse(std::string_view text, const std::string& file);
  /// One pattern each, as --exclude gives them. Throws the same errors without a position.
  explicit PathPatterns(const std::vector<std::string>& patterns);

  /// Whether the path (relative, '/'-separated, no "." or "..") is hidden; parents count (G5). The
  /// root, "", never is.
  bool hides(std::string_view path) const;
  /// A hidden directory whose content cannot be re-included need not be walked (G6).
  bool may_skip_directory(std::string_view path) const;
  bool empty() const { return rules_.empty(); }
  bool has_exceptions() const { return has_exceptions_; }

 private:
  struct Rule {
    PathPattern pattern;
    bool negated = false;
  };
  void add(std::string_view line);

  std::vector<Rule> rules_;
  bool has_exceptions_ = false;
};

}  // namespace slipway::source
