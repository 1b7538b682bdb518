// One pattern of a .dockerignore against whole paths (dockerfile.md G3, G4).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::source {

/// '*' and '?' stop at '/', "**" does not and "**/" may be nothing; "[a-z]", "[^a-z]" (which may be
/// a
/// '/', as in BuildKit) and '\' as in Go's path/filepath. Characters are those of UTF-8.
class PathPattern {
 public:
  /// A cleaned pattern (clean_pattern). Throws Error(app_files) without a position when it is
  /// malformed.
  explicit PathPattern(std::string_view pattern);

  /// Whether it matches the path or a directory above it. Paths are relative, '/'-separated,
  /// without
  /// "." and "..". Linear in the path, at most |pattern|·|path| steps.
  bool matches(std::string_view path) const;
  /// Whether it may match something below the directory.
  bool may_match_below(std::string_view directory) const;

  /// One step of a pattern that needs more than comparing strings.
  struct Token {
    enum class Kind : uint8_t {
      character,  ///< exactly `code`
      set,        ///< one of `ranges`, or none of them
      name_char,  ///< any but '/'
      name_run,   ///< any number of these
      run,        ///< any number of any characters
      optional,   ///< the next two tokens may be left out: "**/" is optional, run, '/'
    } kind = Kind::character;
    bool negated = false;
    uint32_t code = 0;
    std::vector<std::pair<uint32_t, uint32_t>> ranges;
  };

 private:
  void read(std::string_view pattern);
  bool suffix_matches(std::string_view path) const;

  enum class Kind : uint8_t { exact, prefix, suffix, tokens } kind_ = Kind::exact;
  /// The path; what it begins with ("a/" of "a/**"); what it ends with ("/a" of "**/a", "a" of
  /// "**a").
  std::string text_;
  std::vector<Token> tokens_;
  /// Plain text a path must begin with and must hold, which tells most apart quickly.
  std::string head_, tail_;
};

/// The shortest equal path, as Go's filepath.Clean: no ".", no "//", no inner "..", no '/' at the
/// end; then without one '/' in front.
std::string clean_pattern(std::string_view pattern);

}  // namespace slipway::source
