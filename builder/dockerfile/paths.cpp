#include "dockerfile/paths.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"

namespace slipway::dockerfile {

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  std::string clean;
  for (const std::string_view part : parts) {
    clean += '/';
    clean += part;
  }
  return clean.empty() ? "/" : clean;
}

std::string join_path(std::string_view parent, std::string_view path) {
  if (path.empty()) return parent.empty() ? "/" : std::string(parent);
  if (path.front() == '/') return std::string(path);
  return clean_path(std::string(parent) + "/" + std::string(path));
}

std::string destination_path(std::string_view parent, std::string_view path) {
  const bool here = path.empty() || path == ".";
  std::string clean = clean_path(
      path.starts_with('/') ? std::string(path) : std::string(parent) + "/" + std::string(path));
  if (here || path.ends_with('/')) return clean == "/" ? clean : clean + "/";
  if (path.ends_with("/.")) return clean == "/" ? "/." : clean + "/.";
  return clean;
}

bool has_wildcard(std::string_view path) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '*' || path[i] == '?' || path[i] == '[') return true;
    if (path[i] == '\\') ++i;
  }
  return false;
}

std::optional<bool> parse_bool(std::string_view text) {
  static constexpr std::array yes{"1", "t", "T", "true", "TRUE", "True"};
  static constexpr std::array no{"0", "f", "F", "false", "FALSE", "False"};
  if (std::find(yes.begin(), yes.end(), text) != yes.end()) return true;
  if (std::find(no.begin(), no.end(), text) != no.end()) return false;
  return std::nullopt;
}

}  // namespace slipway::dockerfile
