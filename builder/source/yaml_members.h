// Maps of a YAML file with their positions: merge keys resolved, keys given twice found.
#pragma once

#include <yaml-cpp/yaml.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace slipway::source {

struct YamlMember {
  std::string key;
  YAML::Node key_node, value;
};

/// A mark of yaml-cpp, which counts from 0, as a position.
SourcePos yaml_position(const YAML::Mark& mark, const std::string& file);

/// "a list", "a map", "nothing" or "text".
const char* yaml_kind(const YAML::Node& node);

/// Called with the node and what is wrong with it.
using YamlComplaint = std::function<void(const YAML::Node& node, const std::string& problem)>;

/// Resolves merge keys of all maps of one document; what they add is bounded over the document, as
/// aliases make it grow without limit otherwise (threat 21).
class YamlMembers {
 public:
  explicit YamlMembers(YamlComplaint complain) : complain_(std::move(complain)) {}
  /// Of a map, in the file's order, what merge keys ("<<") bring last; a key that is given has
  /// precedence over a merged one, and an earlier merged one over a later one.
  std::vector<YamlMember> of(const YAML::Node& map) { return read(map, 0); }

 private:
  std::vector<YamlMember> read(const YAML::Node& map, int depth);
  YamlComplaint complain_;
  size_t steps_ = 0;
};

}  // namespace slipway::source
