// The value of RUN --mount: "type=cache,target=/root/.npm" (dockerfile.md R3-R9). Keys and values
// are allow-listed: what is not known is an error (threat 4).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "graph/op.h"

namespace slipway::dockerfile {

struct MountSpec {
  graph::MountType type = graph::MountType::bind;
  std::string from, source, target, id;
  bool readonly = true;
  uint64_t size_bytes = 0;
  graph::CacheSharing sharing = graph::CacheSharing::shared;
  bool required = false;
  std::optional<std::string> env;
  std::optional<uint32_t> mode, uid, gid;
  /// Keys that mean nothing for this type, for a finding.
  std::vector<std::string> ignored_keys;
};

/// Expands one value, of any key but `from`.
using ExpandValue = std::function<std::string(const std::string&)>;

/// Keys are read from left to right: `size` and `required` need `type` before them. Throws
/// Error(app_files) without a position, with a suggestion where a name is near.
MountSpec parse_mount(std::string_view spec, const ExpandValue& expand);

/// The `from` alone, before anything can be expanded; empty = none. A variable in it is an error.
std::string mount_from(std::string_view spec);

}  // namespace slipway::dockerfile
