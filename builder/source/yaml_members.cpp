#include "source/yaml_members.h"

#include <set>

#include "base/text.h"

namespace slipway::source {
namespace {

constexpr size_t steps_max = 10'000;
constexpr int depth_max = 20;

// A plain "<<"; quoted it is a key like any other (its tag is "!").
bool is_merge_key(const YAML::Node& key) {
  return key.IsScalar() && key.Scalar() == "<<" && key.Tag() != "!";
}

}  // namespace

SourcePos yaml_position(const YAML::Mark& mark, const std::string& file) {
  if (mark.is_null()) return {file, 1, 1};
  return {file, mark.line + 1, mark.column + 1};
}

const char* yaml_kind(const YAML::Node& node) {
  if (node.IsSequence()) return "a list";
  if (node.IsMap()) return "a map";
  return node.IsScalar() ? "text" : "nothing";
}

std::vector<YamlMember> YamlMembers::read(const YAML::Node& map, int depth) {
  std::vector<YamlMember> members;
  std::vector<YAML::Node> merged;
  std::set<std::string> seen;
  for (const auto& pair : map) {
    if (++steps_ > steps_max) {
      complain_(map, "more than 10,000 entries, counting what merge keys add");
      return {};
    }
    if (!pair.first.IsScalar()) {
      complain_(pair.first, fmt::format("{} where a key was expected", yaml_kind(pair.first)));
    } else if (!is_merge_key(pair.first)) {
      if (seen.insert(pair.first.Scalar()).second)
        members.push_back({pair.first.Scalar(), pair.first, pair.second});
      else
        complain_(pair.first,
                  fmt::format("the key '{}' is given twice", printable(pair.first.Scalar())));
    } else if (pair.second.IsMap()) {
      merged.push_back(pair.second);
    } else if (pair.second.IsSequence()) {
      for (const auto& item : pair.second) merged.push_back(item);
    } else {
      complain_(pair.second, fmt::format("{} where a merge key needs a map or a list of maps",
                                         yaml_kind(pair.second)));
    }
  }
  if (merged.empty()) return members;
  if (depth == depth_max) {
    complain_(map, "merge keys within merge keys more than 20 deep");
    return members;
  }
  for (const YAML::Node& source : merged) {
    if (!source.IsMap()) {
      complain_(source, fmt::format("{} where a merge key needs a map", yaml_kind(source)));
      continue;
    }
    for (YamlMember& member : read(source, depth + 1))
      if (seen.insert(member.key).second) members.push_back(std::move(member));
    if (steps_ > steps_max) return members;
  }
  return members;
}

}  // namespace slipway::source
