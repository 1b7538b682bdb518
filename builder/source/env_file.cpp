#include "source/env_file.h"

#include <algorithm>

#include "base/text.h"

namespace slipway::source {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::string bad_key(std::string_view key) {
  if (key.empty()) return "no name before '='";
  return fmt::format("'{}' cannot be the name of a config var", printable(key));
}

bool is_quoted(std::string_view value) {
  return value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
         value.front() == value.back();
}

}  // namespace

bool is_config_key(std::string_view key) {
  return !key.empty() && is_letter(key[0]) && std::all_of(key.begin(), key.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

EnvEntry parse_env_flag(std::string_view argument, const std::string& flag) {
  const size_t equals = argument.find('=');
  const std::string_view key = argument.substr(0, equals);
  if (!is_config_key(key))
    throw Error(ExitCode::usage, fmt::format("{}: {}", flag, bad_key(key)))
        .set_hint(config_key_rule);
  if (argument.find('\0') != std::string_view::npos)
    throw Error(ExitCode::usage, fmt::format("{} {}: the value holds a NUL byte", flag, key));
  EnvEntry entry{std::string(key), std::nullopt, {}};
  if (equals != std::string_view::npos) entry.value = argument.substr(equals + 1);
  return entry;
}

EnvFile parse_env_file(std::string_view text, const std::string& file) {
  EnvFile result;
  for_each_line(text, file, result.warnings, [&](int number, std::string_view line) {
    size_t start = 0;
    while (start < line.size() && is_blank(line[start])) ++start;
    line.remove_prefix(start);
    if (line.empty() || line.starts_with('#')) return;
    const SourcePos pos{file, number, static_cast<int>(start) + 1};
    const size_t equals = line.find('=');
    const std::string_view key = line.substr(0, equals);
    if (!is_config_key(key)) {
      const bool exported = key.starts_with("export ");
      throw Error(ExitCode::app_files, bad_key(key))
          .set_pos(pos)
          .set_hint(exported ? "this is no shell script; leave out 'export'" : config_key_rule);
    }
    EnvEntry entry{std::string(key), std::nullopt, pos};
    if (equals != std::string_view::npos) {
      entry.value = line.substr(equals + 1);
      if (is_quoted(*entry.value))
        result.warnings.push_back(
            {{file, number, static_cast<int>(start + equals) + 2},
             fmt::format("the quotes are part of the value of {}, as with docker", entry.key)});
    }
    result.entries.push_back(std::move(entry));
  });
  return result;
}

void check_config_size(const std::map<std::string, std::string>& config) {
  size_t total = 0;
  const auto size = [](const auto& entry) { return entry.first.size() + entry.second.size(); };
  for (const auto& entry : config) total += size(entry);
  if (total <= config_size_max_bytes) return;
  const auto largest =
      std::max_element(config.begin(), config.end(),
                       [&](const auto& a, const auto& b) { return size(a) < size(b); });
  throw Error(ExitCode::usage, fmt::format("the config vars are {} in total, the limit is {}",
                                           format_size(total), format_size(config_size_max_bytes)))
      .set_hint(fmt::format("the largest is {} ({}); put files into the source or a download",
                            largest->first, format_size(size(*largest))));
}

}  // namespace slipway::source
