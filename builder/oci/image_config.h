// The image config document (dockerfile.md M1-M6): what a container of the image is started with,
// which layers it has and how they came about. Keys we do not know are kept as they were.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "oci/platform.h"

namespace slipway::oci {

/// Durations in nanoseconds, 0 = inherit or the engine's default.
struct Healthcheck {
  std::vector<std::string> test;  ///< {"NONE"}, {"CMD", …} or {"CMD-SHELL", text}
  int64_t interval_ns = 0, timeout_ns = 0, start_period_ns = 0, start_interval_ns = 0;
  int retries = 0;
  bool operator==(const Healthcheck&) const = default;
};

using EnvList = std::vector<std::pair<std::string, std::string>>;

/// Sets or replaces in place; the order of first definition stays (I1).
void set_env(EnvList& env, const std::string& name, const std::string& value);
const std::string* find_env(const EnvList& env, std::string_view name);

struct RunConfig {
  std::string user;
  std::set<std::string> exposed_ports;  ///< "80/tcp"
  EnvList env;
  std::optional<std::vector<std::string>> entrypoint, cmd;
  std::set<std::string> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  std::optional<Healthcheck> healthcheck;
  std::vector<std::string> on_build;
  std::vector<std::string> shell;
  bool args_escaped = false;
  Json unknown = Json::object();  ///< keys of "config" that are not ours
};

struct History {
  std::string created;  ///< RFC 3339; empty = not set yet
  std::string created_by;
  std::string comment;
  std::string author;
  bool empty_layer = false;
};

struct ImageConfig {
  std::string created, author;
  Platform platform;
  RunConfig config;
  std::vector<std::string> diff_ids;
  std::vector<History> history;
  Json unknown = Json::object();  ///< top-level keys that are not ours
};

/// Throws Error(outside) for what is no image config: bad JSON, wrong types, ids that are no
/// digests, more than 10,000 layers or history entries (threats 7, 19).
ImageConfig parse_image_config(std::string_view json);
/// Bytes to be stored and hashed; the same value gives the same bytes.
std::string serialize_image_config(const ImageConfig& config);

/// Makes history and layers agree (M6): missing entries are appended, surplus ones marked empty.
void repair_history(ImageConfig& config);

/// The image FROM scratch stands for (F6).
ImageConfig scratch_config(const Platform& platform);

inline constexpr const char* default_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace slipway::oci
