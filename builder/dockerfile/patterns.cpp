#include "dockerfile/patterns.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

constexpr uint32_t any_character = 0xffffffff;

/// Characters with their offsets, one more for the end.
struct Characters {
  std::vector<uint32_t> codes;
  std::vector<size_t> offsets;

  explicit Characters(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
      const Character character = character_at(text, at);
      codes.push_back(character.code);
      offsets.push_back(at);
      at += character.length;
    }
    offsets.push_back(text.size());
  }
};

/// A run of single characters; between two of them stood a '*'.
using Segment = std::vector<uint32_t>;

std::vector<Segment> parse_pattern(std::string_view pattern) {
  std::vector<Segment> segments(1);
  for (size_t at = 0; at < pattern.size();) {
    Character character = character_at(pattern, at);
    at += character.length;
    if (character.code == '*') {
      segments.emplace_back();
      continue;
    }
    if (character.code == '?') {
      segments.back().push_back(any_character);
      continue;
    }
    if (character.code == '\\') {
      if (at >= pattern.size() ||
          std::string_view("*?\\/}").find(pattern[at]) == std::string_view::npos)
        throw Error(ExitCode::app_files,
                    fmt::format("invalid escape in the pattern '{}'", shown(pattern)))
            .set_hint("a pattern knows \\*, \\?, \\\\, \\/ and \\}");
      character = character_at(pattern, at);
      at += character.length;
    }
    segments.back().push_back(character.code);
  }
  return segments;
}

struct Match {
  size_t begin = 0, end = 0;
};

/// All '.' of this matcher stop at newlines, so that a '*' spans part of one line. It follows that
/// the earliest place of each segment leaves most room for the next: no backtracking is needed.
class Matcher {
 public:
  Matcher(std::vector<Segment> segments, const std::vector<uint32_t>& text, MatchBudget& budget)
      : segments_(std::move(segments)), text_(text), budget_(budget) {
    for (const Segment& segment : segments_)
      spans_lines_ =
          spans_lines_ || std::find(segment.begin(), segment.end(), '\n') != segment.end();
  }

  std::optional<size_t> match_at(size_t begin, Length length) {
    failed_line_end_ = std::nullopt;
    if (!fits(segments_[0], begin)) return std::nullopt;
    size_t at = begin + segments_[0].size();
    for (size_t i = 1; i < segments_.size(); ++i) {
      const bool last = i + 1 == segments_.size() && length == Length::longest;
      const std::optional<size_t> place = place_in_line(segments_[i], at, last);
      if (!place) return std::nullopt;
      at = *place + segments_[i].size();
    }
    return at;
  }

  std::optional<Match> find(size_t from) {
    for (size_t begin = from; begin <= text_.size(); ++begin) {
      if (const auto end = match_at(begin, Length::longest)) return Match{begin, *end};
      // What was missing behind this place is missing behind all later ones of the line, too.
      if (failed_line_end_ && !spans_lines_) begin = std::max(begin, *failed_line_end_);
    }
    return std::nullopt;
  }

 private:
  void count(size_t steps) {
    if (budget_.steps < steps)
      throw Error(ExitCode::app_files, "the value and the pattern are too long to be matched");
    budget_.steps -= steps;
  }

  bool fits(const Segment& segment, size_t at) {
    if (segment.size() > text_.size() - at) return false;
    for (size_t i = 0; i < segment.size(); ++i) {
      const uint32_t code = text_[at + i];
      if (segment[i] == any_character ? code != '\n' : code == segment[i]) continue;
      count(i + 1);
      return false;
    }
    count(segment.size() + 1);
    return true;
  }

  std::optional<size_t> place_in_line(const Segment& segment, size_t from, bool last) {
    std::optional<size_t> found;
    size_t at = from;
    for (;; ++at) {
      if (fits(segment, at)) {
        found = at;
        if (!last) return found;
      }
      if (at == text_.size() || text_[at] == '\n') break;
    }
    if (!found) failed_line_end_ = at;
    return found;
  }

  std::vector<Segment> segments_;
  const std::vector<uint32_t>& text_;
  bool spans_lines_ = false;
  std::optional<size_t> failed_line_end_;
  MatchBudget& budget_;
};

}  // namespace

std::string remove_matching(std::string_view value, std::string_view pattern, End end,
                            Length length, MatchBudget& budget) {
  Characters text(value);
  std::vector<Segment> segments = parse_pattern(pattern);
  if (end == End::suffix) {
    std::reverse(segments.begin(), segments.end());
    for (Segment& segment : segments) std::reverse(segment.begin(), segment.end());
    std::reverse(text.codes.begin(), text.codes.end());
  }
  const auto matched = Matcher(std::move(segments), text.codes, budget).match_at(0, length);
  if (!matched) return std::string(value);
  if (end == End::prefix) return std::string(value.substr(text.offsets[*matched]));
  return std::string(value.substr(0, text.offsets[text.codes.size() - *matched]));
}

std::string replace_matching(std::string_view value, std::string_view pattern,
                             std::string_view replacement, bool all, MatchBudget& budget) {
  const Characters text(value);
  Matcher matcher(parse_pattern(pattern), text.codes, budget);
  const auto part = [&](size_t begin, size_t end) {
    return value.substr(text.offsets[begin], text.offsets[end] - text.offsets[begin]);
  };
  std::string replaced;
  size_t copied = 0;
  size_t from = 0;
  while (from <= text.codes.size()) {
    const std::optional<Match> match = matcher.find(from);
    if (!match) break;
    replaced += part(copied, match->begin);
    // An empty match right behind another one does not count.
    if (match->end > copied || match->begin == 0) replaced += replacement;
    copied = match->end;
    if (replaced.size() > budget.result_max_bytes)
      throw Error(ExitCode::app_files, "the replaced text grows too long");
    if (!all) break;
    from = match->end > from ? match->end : from + 1;
  }
  return replaced += part(copied, text.codes.size());
}

}  // namespace slipway::dockerfile
