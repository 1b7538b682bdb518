#include <algorithm>

#include "base/text.h"
#include "base/utf8.h"
#include "dockerfile/context.h"

namespace slipway::dockerfile {
namespace {

constexpr size_t shown_max = 120;
constexpr size_t shown_before = 60;

/// One line made fit to be shown, and how many columns of the screen lie before `column`.
struct Shown {
  std::string text;
  size_t caret = 0;
};

Shown show(std::string_view line, size_t column) {
  Shown shown;
  size_t from = 0;
  if (line.size() > shown_max && column > shown_before) from = column - shown_before;
  // Never begin inside a character.
  while (from > 0 && from < line.size() && (static_cast<unsigned char>(line[from]) & 0xc0U) == 0x80)
    --from;
  if (from > 0) shown.text = "...";
  shown.caret = shown.text.size();
  size_t at = from;
  while (at < line.size() && at - from < shown_max) {
    const Character character = character_at(line, at);
    if (at < column) ++shown.caret;
    if (character.code == '\t' || character.code == '\r')
      shown.text += ' ';
    else if (character.code < 0x20 || character.code == 0x7f || character.broken())
      shown.text += '?';
    else
      shown.text += line.substr(at, character.length);
    at += character.length;
  }
  if (at < line.size()) shown.text += "...";
  return shown;
}

std::vector<std::string_view> lines_of(std::string_view text, int first, int last) {
  std::vector<std::string_view> found;
  PhysicalLines lines(text);
  std::string_view line;
  while (lines.number() < last && lines.next(line)) {
    if (lines.number() < first) continue;
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    found.push_back(line);
  }
  return found;
}

/// The line with the place marked, two lines before it and one behind.
std::string excerpt(std::string_view text, Place place) {
  const int first = std::max(1, place.line - 2);
  const std::vector<std::string_view> lines = lines_of(text, first, place.line + 1);
  std::string shown;
  for (size_t i = 0; i < lines.size(); ++i) {
    const int number = first + static_cast<int>(i);
    const bool marked = number == place.line;
    const auto column = static_cast<size_t>(std::max(1, place.column)) - 1;
    const Shown line = show(lines[i], marked ? column : 0);
    if (line.text.empty())
      shown += fmt::format("\n{:>5} |", number);
    else
      shown += fmt::format("\n{:>5} | {}", number, line.text);
    if (!marked) continue;
    const size_t length = place.column == 0 ? std::max<size_t>(1, line.text.size()) : 1;
    shown += fmt::format("\n      | {}{}", std::string(line.caret, ' '), std::string(length, '^'));
  }
  return shown;
}

}  // namespace

Error place_error(std::string_view text, const std::string& file, Place place, std::string cause,
                  const std::string& suggestion) {
  const std::string lines = excerpt(text, place);
  const bool said = !suggestion.empty() || lines.empty();
  return Error(ExitCode::app_files, std::move(cause))
      .set_pos({file, place.line, place.column})
      .set_hint((said ? suggestion : fmt::format("line {} is this:", place.line)) + lines);
}

Error error_at(const Dockerfile& file, int line, int column, std::string cause,
               std::string suggestion) {
  return place_error(file.text, file.file, {line, column}, std::move(cause), suggestion);
}

}  // namespace slipway::dockerfile
