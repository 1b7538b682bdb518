#include "source/release_yaml.h"

#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/text.h"
#include "source/env_file.h"

namespace slipway::source {
namespace {

constexpr size_t size_max_bytes = 1 << 20;

class Reader {
 public:
  explicit Reader(const std::string& buildpack) : what_("bin/release of " + buildpack) {}

  ReleaseInfo read(std::string_view text) {
    if (text.size() > size_max_bytes) refuse({}, "more than 1 MiB");
    const size_t nul = text.find('\0');
    if (nul != std::string_view::npos) refuse({}, fmt::format("a NUL byte at offset {}", nul));
    ReleaseInfo info;
    const YAML::Node root = load(std::string(text));
    if (root.IsNull()) return info;
    if (!root.IsMap()) refuse(root.Mark(), fmt::format("{} where a map was expected", kind(root)));
    for (const auto& member : root) {
      if (!member.first.IsScalar()) continue;
      const std::string& key = member.first.Scalar();
      if (key == "default_process_types") info.default_process_types = process_types(member.second);
      if (key == "config_vars") info.config_vars = config_vars(member.second);
      if (key == "addons") info.addons = addons(member.second);
    }
    return info;
  }

 private:
  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& problem) const {
    Error error(ExitCode::build_failed, fmt::format("{} printed {}", what_, problem));
    // A mark counts from 0; the null mark is -1.
    if (mark.line >= 0 && !mark.is_null())
      error = Error(ExitCode::build_failed, fmt::format("{} printed {} (line {}, column {})", what_,
                                                        problem, mark.line + 1, mark.column + 1));
    throw std::move(error).set_hint(
        "it must print YAML such as \"default_process_types: {web: ./server}\", or nothing");
  }

  YAML::Node load(const std::string& text) const {
    try {
      return YAML::Load(text);
    } catch (const YAML::Exception& problem) {
      refuse(problem.mark, "YAML that cannot be read: " + printable(problem.msg));
    }
  }

  static const char* kind(const YAML::Node& node) {
    if (node.IsSequence()) return "a list";
    if (node.IsMap()) return "a map";
    return "plain text";
  }

  void expect_map(const YAML::Node& node, const char* key) const {
    if (!node.IsMap())
      refuse(node.Mark(), fmt::format("{} for {} where a map was expected", kind(node), key));
  }

  std::string scalar(const YAML::Node& node, const std::string& name) const {
    if (!node.IsScalar())
      refuse(node.Mark(),
             fmt::format("{} for {} where text was expected", kind(node), printable(name)));
    return node.Scalar();
  }

  ProcessTypes process_types(const YAML::Node& node) const {
    ProcessTypes types;
    if (node.IsNull()) return types;
    expect_map(node, "default_process_types");
    for (const auto& member : node) {
      const std::string name = scalar(member.first, "a process type's name");
      if (!is_process_type_name(name))
        refuse(member.first.Mark(),
               fmt::format("'{}', which cannot be a process type's name", printable(name)));
      if (member.second.IsNull())
        types.erase(name);
      else
        types[name] = scalar(member.second, "process type '" + name + "'");
    }
    return types;
  }

  std::map<std::string, std::string> config_vars(const YAML::Node& node) const {
    std::map<std::string, std::string> vars;
    if (node.IsNull()) return vars;
    expect_map(node, "config_vars");
    for (const auto& member : node) {
      const std::string name = scalar(member.first, "a config var's name");
      if (!is_config_key(name))
        refuse(member.first.Mark(),
               fmt::format("'{}', which cannot be a config var's name", printable(name)));
      if (!member.second.IsNull()) vars[name] = scalar(member.second, "config var '" + name + "'");
    }
    return vars;
  }

  std::vector<std::string> addons(const YAML::Node& node) const {
    std::vector<std::string> names;
    // An empty map instead of an empty list is seen in the wild; it says the same.
    if (node.IsNull() || (node.IsMap() && node.size() == 0)) return names;
    if (!node.IsSequence())
      refuse(node.Mark(), fmt::format("{} for addons where a list was expected", kind(node)));
    for (const auto& item : node)
      if (!item.IsNull()) names.push_back(scalar(item, "an add-on"));
    return names;
  }

  std::string what_;
};

}  // namespace

ReleaseInfo parse_release_yaml(std::string_view text, const std::string& buildpack) {
  return Reader(buildpack).read(text);
}

}  // namespace slipway::source
