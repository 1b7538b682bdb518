#include "source/public_names.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace slipway::source {

/// Defined by the file the build makes of public_names.json.
extern const char* const embedded_public_names;

namespace {

std::string fill(std::string text, std::string_view placeholder, const std::string& value) {
  const size_t at = text.find(placeholder);
  if (at != std::string::npos) text.replace(at, placeholder.size(), value);
  return text;
}

/// Takes what `shape` has up to its next placeholder (or its end) off both; false if it differs.
bool take_literal(std::string_view& shape, std::string_view& url) {
  const std::string_view literal = shape.substr(0, shape.find('{'));
  if (!url.starts_with(literal)) return false;
  shape.remove_prefix(literal.size());
  url.remove_prefix(literal.size());
  return true;
}

std::optional<RegistryName> match_shape(std::string_view shape, std::string_view url) {
  RegistryName found;
  while (take_literal(shape, url)) {
    if (shape.empty()) return url.empty() ? std::optional(found) : std::nullopt;
    const size_t close = shape.find('}');
    if (close == std::string_view::npos) return std::nullopt;
    const bool is_ns = shape.substr(0, close + 1) == "{ns}";
    shape.remove_prefix(close + 1);
    size_t end = 0;
    while (end < url.size() && is_registry_part(url.substr(end, 1))) ++end;
    if (end == 0) return std::nullopt;
    (is_ns ? found.ns : found.name) = url.substr(0, end);
    url.remove_prefix(end);
  }
  return std::nullopt;
}

}  // namespace

std::string PublicNames::registry_url(const RegistryName& name) const {
  return fill(fill(registry, "{ns}", name.ns), "{name}", name.name);
}

std::optional<RegistryName> PublicNames::registry_name(std::string_view url) const {
  for (const std::string& shape : registry_shapes)
    if (auto found = match_shape(shape, url)) return found;
  for (const std::string& shape : official_shapes) {
    if (auto found = match_shape(shape, url)) {
      found->ns = official_namespace;
      return found;
    }
  }
  return std::nullopt;
}

PublicNames PublicNames::parse(std::string_view json, const std::string& file) {
  const Json value = parse_json(json, file, static_cast<int>(ExitCode::machine));
  try {
    const Json& images = value.at("image_registry");
    std::map<std::string, StackImages> stacks;
    for (const auto& [name, row] : value.at("stack_images").items())
      stacks[name] = {row.at("build"), row.at("run")};
    return {value.at("registry"),
            value.at("registry_shapes"),
            value.at("official_namespace"),
            value.at("official_shapes"),
            value.at("detection_order"),
            {images.at("domain"), images.at("aliases"), images.at("namespace"), images.at("host"),
             images.at("credentials_key"), images.at("token_hosts")},
            stacks};
  } catch (const Json::exception& problem) {
    fail(ExitCode::machine, "{}: {}", file, problem.what());
  }
}

const PublicNames& public_names() {
  static const PublicNames names = PublicNames::parse(embedded_public_names, "public_names.json");
  return names;
}

bool is_registry_part(std::string_view part) {
  return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

}  // namespace slipway::source
