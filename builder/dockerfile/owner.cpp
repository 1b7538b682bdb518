#include "dockerfile/owner.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text.h"

namespace slipway::dockerfile {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* problem) {
  throw Error(ExitCode::app_files, fmt::format("'{}' {}", printable(text), problem))
      .set_hint("write a name, or a number from 0 to 4294967294: 'app', '1000:1000'");
}

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

// One side of "user:group": the number it is, or empty for a name.
std::optional<uint32_t> parse_id(std::string_view part) {
  if (part == "root") return 0;
  if (all_of(part, "0123456789")) {
    uint32_t id = 0;
    const auto [end, problem] = std::from_chars(part.data(), part.data() + part.size(), id);
    // The highest number means "no id" to the kernel.
    if (problem != std::errc() || id == UINT32_MAX) refuse(part, "is no number of 32 bits");
    return id;
  }
  if (part.empty()) refuse(part, "is no name of a user or group");
  if (part.front() == '-' || part.front() == '+') refuse(part, "begins with a sign");
  if (part.size() > 2 && (part.starts_with("0x") || part.starts_with("0X")) &&
      all_of(part.substr(2), "0123456789abcdefABCDEF"))
    refuse(part, "is hexadecimal, ids are decimal");
  for (const char c : part)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '/')
      refuse(part, "has a sign that no name has");
  return std::nullopt;
}

struct Sides {
  std::string_view user, group;
  bool has_group = false;
};

Sides split_sides(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {text, {}, false};
  Sides sides{text.substr(0, colon), text.substr(colon + 1), true};
  if (sides.group.find(':') != std::string_view::npos) refuse(text, "has more than one ':'");
  return sides;
}

// One clause of chmod(1): who, operator, permissions, the last two repeatable.
bool is_mode_clause(std::string_view clause) {
  clause.remove_prefix(std::min(clause.find_first_not_of("ugoa"), clause.size()));
  bool any = false;
  while (!clause.empty() && all_of(clause.substr(0, 1), "+-=")) {
    clause.remove_prefix(1);
    const size_t copied = std::min(clause.find_first_not_of("ugo"), clause.size());
    const size_t plain = std::min(clause.find_first_not_of("rwxXst"), clause.size());
    clause.remove_prefix(std::max(std::min<size_t>(copied, 1), plain));
    any = true;
  }
  return any && clause.empty();
}

}  // namespace

OwnerSpec parse_owner(std::string_view text) {
  const Sides sides = split_sides(text);
  const std::optional<uint32_t> uid = parse_id(sides.user);
  const std::optional<uint32_t> gid = sides.has_group ? parse_id(sides.group) : uid;
  if (uid && gid) return {graph::Owner{*uid, *gid}, {}};
  return {std::nullopt, std::string(text)};
}

void check_user(std::string_view text) {
  if (text.empty()) return;
  const Sides sides = split_sides(text);
  parse_id(sides.user);
  if (sides.has_group) parse_id(sides.group);
}

ModeSpec parse_mode(std::string_view text) {
  const bool numeric = !text.empty() && text.front() >= '0' && text.front() <= '9';
  if (numeric) {
    int mode = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (problem != std::errc() || end != text.data() + text.size() || mode > 07777)
      throw Error(ExitCode::app_files,
                  fmt::format("--chmod={} is no octal number from 0 to 07777", printable(text)))
          .set_hint("write --chmod=644 or --chmod=u=rwX,go=rX");
    return {mode, {}};
  }
  const std::vector<std::string> clauses = split(text, ',');
  if (!std::all_of(clauses.begin(), clauses.end(), is_mode_clause))
    throw Error(ExitCode::app_files, fmt::format("--chmod={} is no mode", printable(text)))
        .set_hint("write --chmod=644 or --chmod=u=rwX,go=rX");
  return {-1, std::string(text)};
}

}  // namespace slipway::dockerfile
