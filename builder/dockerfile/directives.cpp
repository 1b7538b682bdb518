#include "dockerfile/directives.h"

#include <charconv>
#include <optional>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "dockerfile/context.h"
#include "dockerfile/keyword.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

// The level of the language this parser knows: docker/dockerfile:1.<minor>.
constexpr int level_major = 1;
constexpr int level_minor = 26;

struct Directive {
  std::string name, value;
  Place place, value_place;
};

bool is_name_char(char c, bool first) {
  const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return letter || (!first && c >= '0' && c <= '9');
}

/// One line as "<prefix> name = value".
std::optional<Directive> read_directive(std::string_view line, int number,
                                        std::string_view prefix) {
  const Span all = trim_blanks(line, {0, line.size()});
  line = line.substr(0, all.end);
  if (!line.substr(std::min(all.begin, line.size())).starts_with(prefix)) return std::nullopt;
  const Span rest = trim_blanks(line, {all.begin + prefix.size(), line.size()});
  size_t at = rest.begin;
  while (at < line.size() && is_name_char(line[at], at == rest.begin)) ++at;
  const std::string name = lower_case(line.substr(rest.begin, at - rest.begin));
  const Span equals = trim_blanks(line, {at, line.size()});
  if (equals.empty() || line[equals.begin] != '=') return std::nullopt;
  const Span value = trim_blanks(line, {equals.begin + 1, line.size()});
  if (value.empty() || (name != "syntax" && name != "escape" && name != "check"))
    return std::nullopt;
  return Directive{name,
                   std::string(line.substr(value.begin)),
                   {number, static_cast<int>(rest.begin) + 1},
                   {number, static_cast<int>(value.begin) + 1}};
}

std::vector<Directive> read_zone(std::string_view text, std::string_view prefix,
                                 bool skip_shebang) {
  std::vector<Directive> zone;
  PhysicalLines lines(text);
  std::string_view line;
  while (lines.next(line)) {
    if (skip_shebang && lines.number() == 1 && line.starts_with("#!")) continue;
    std::optional<Directive> directive = read_directive(line, lines.number(), prefix);
    if (!directive) break;
    zone.push_back(std::move(*directive));
  }
  return zone;
}

/// A file that is one JSON object names its language by a key (P9).
std::string syntax_of_json(std::string_view text) {
  if (!trim(text).starts_with('{')) return {};
  try {
    const Json file = parse_json(text, "");
    const auto found = file.find("syntax");
    return found != file.end() && found->is_string() ? found->get<std::string>() : std::string();
  } catch (const Error&) {
    return {};
  }
}

/// The number at the start, which must end at a '.' or at the end.
std::optional<int> take_number(std::string_view& text) {
  int value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  if (text.empty()) return value;
  if (text[0] != '.') return std::nullopt;
  text.remove_prefix(1);
  return value;
}

}  // namespace

Zone read_directives(std::string_view text, const std::string& file) {
  Zone zone;
  std::set<std::string> seen;
  for (const Directive& directive : read_zone(text, "#", false)) {
    if (!seen.insert(directive.name).second)
      throw place_error(text, file, directive.place,
                        fmt::format("the directive '{}' is given twice", directive.name),
                        "keep one of the two");
    if (directive.name == "escape") {
      if (directive.value != "\\" && directive.value != "`")
        throw place_error(
            text, file, directive.value_place,
            fmt::format("the escape character is \\ or `, not '{}'", shown(directive.value)),
            "write '# escape=\\' or '# escape=`'");
      zone.directives.escape = directive.value[0];
    }
    ++zone.lines;
  }
  // An interpreter's line closes the zone, but not for these two.
  for (const Directive& directive : read_zone(text, "#", true)) {
    if (directive.name == "syntax" && zone.directives.syntax.empty())
      zone.directives.syntax = directive.value;
    if (directive.name == "check" && zone.directives.check_line == 0) {
      zone.directives.check = directive.value;
      zone.directives.check_line = directive.place.line;
    }
  }
  if (zone.directives.syntax.empty())
    for (const Directive& directive : read_zone(text, "//", true))
      if (directive.name == "syntax") zone.directives.syntax = directive.value;
  if (zone.directives.syntax.empty()) zone.directives.syntax = syntax_of_json(text);
  return zone;
}

std::string syntax_note(const std::string& syntax) {
  std::string_view reference = std::string_view(syntax).substr(0, syntax.find(' '));
  if (reference.empty() || reference == "dockerfile.v0") return {};
  const std::string_view without_digest = reference.substr(0, reference.find('@'));
  const size_t slash = without_digest.rfind('/');
  const size_t colon = without_digest.find(':', slash == std::string_view::npos ? 0 : slash);
  const std::string_view name = without_digest.substr(0, colon);
  const bool ours = name == "docker/dockerfile" || name == "docker/dockerfile-upstream" ||
                    name.ends_with("/docker/dockerfile") ||
                    name.ends_with("/docker/dockerfile-upstream");
  if (!ours)
    return fmt::format("'{}' is another language; the file is read as a Dockerfile",
                       shown(reference));
  std::string_view tag =
      colon == std::string_view::npos ? std::string_view() : without_digest.substr(colon + 1);
  tag = tag.substr(0, tag.find('-'));
  const std::optional<int> major = take_number(tag);
  const std::optional<int> minor = major ? take_number(tag) : std::nullopt;
  if (!major || *major < level_major || (*major == level_major && minor.value_or(0) <= level_minor))
    return {};
  return fmt::format("'{}' is newer than the language known here, {}.{}", shown(reference),
                     level_major, level_minor);
}

}  // namespace slipway::dockerfile
