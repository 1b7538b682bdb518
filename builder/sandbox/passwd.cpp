#include "sandbox/passwd.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "base/text.h"

namespace slipway::sandbox {
namespace {

std::optional<uint32_t> parse_id(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value == UINT32_MAX) return std::nullopt;
  return value;
}

bool looks_numeric(std::string_view text) {
  return !text.empty() && (text[0] == '-' || text[0] == '+' || (text[0] >= '0' && text[0] <= '9'));
}

/// Calls `use` with the fields of each line until it returns true. Lines with fewer fields than
/// `fields_min`, comments and lines that are too long are passed over.
template <typename Use>
void for_each_entry(std::string_view text, size_t fields_min, Use use) {
  text = text.substr(0, passwd_file_max);
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line[0] == '#' || line.size() > passwd_line_max) continue;
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() >= fields_min && use(fields)) return;
  }
}

[[noreturn]] void bad_user(std::string_view user, std::string_view why) {
  fail(ExitCode::app_files, "user \"{}\": {}", printable(user), why);
}

struct PasswdEntry {
  std::string name;
  uint32_t uid = 0, gid = 0;
  std::string home;
};

std::optional<PasswdEntry> find_passwd(std::string_view passwd, std::string_view name,
                                       std::optional<uint32_t> uid) {
  std::optional<PasswdEntry> found;
  for_each_entry(passwd, 6, [&](const std::vector<std::string>& fields) {
    const auto entry_uid = parse_id(fields[2]), entry_gid = parse_id(fields[3]);
    if (!entry_uid || !entry_gid) return false;
    if (uid ? *entry_uid != *uid : fields[0] != name) return false;
    found = PasswdEntry{fields[0], *entry_uid, *entry_gid, fields[5]};
    return true;
  });
  return found;
}

}  // namespace

StepUser resolve_user(std::string_view user, std::string_view passwd, std::string_view group) {
  const size_t colon = user.find(':');
  const std::string_view name = user.substr(0, colon);
  const std::optional<std::string_view> group_name =
      colon == std::string_view::npos ? std::nullopt : std::optional(user.substr(colon + 1));
  if (name.empty()) bad_user(user, "the name is empty");

  StepUser result;
  const auto number = parse_id(name);
  if (!number && looks_numeric(name)) bad_user(user, "not a user id (0 to 4294967294)");
  const auto entry = find_passwd(passwd, name, number);
  if (!entry && !number) bad_user(user, "no such user in the root's /etc/passwd");
  result.uid = entry ? entry->uid : *number;
  result.gid = entry ? entry->gid : 0;
  if (entry) result.home = entry->home;

  if (group_name) {
    const auto id = parse_id(*group_name);
    if (!id && (group_name->empty() || looks_numeric(*group_name)))
      bad_user(user, "not a group id (0 to 4294967294)");
    bool found = id.has_value();
    if (id) result.gid = *id;
    if (!found)
      for_each_entry(group, 3, [&](const std::vector<std::string>& fields) {
        const auto gid = parse_id(fields[2]);
        if (fields[0] != *group_name || !gid) return false;
        result.gid = *gid;
        return found = true;
      });
    if (!found) bad_user(user, "no such group in the root's /etc/group");
  }
  result.groups = {result.gid};
  if (group_name || !entry) return result;
  for_each_entry(group, 4, [&](const std::vector<std::string>& fields) {
    const auto gid = parse_id(fields[2]);
    if (!gid || *gid == result.gid) return false;
    const std::vector<std::string> members = split(fields[3], ',');
    if (std::find(members.begin(), members.end(), entry->name) != members.end())
      result.groups.push_back(*gid);
    return false;
  });
  std::sort(result.groups.begin(), result.groups.end());
  result.groups.erase(std::unique(result.groups.begin(), result.groups.end()), result.groups.end());
  return result;
}

}  // namespace slipway::sandbox
