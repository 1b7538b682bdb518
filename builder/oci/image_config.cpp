#include "oci/image_config.h"

#include "base/error.h"
#include "base/text.h"
#include "oci/reference.h"

namespace slipway::oci {
namespace {

using Ordered = nlohmann::ordered_json;

constexpr size_t size_max_bytes = 8 << 20;
constexpr size_t entries_max = 10'000;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ExitCode::outside, "not an image config: " + problem);
}

// Go writes null for what is absent.
const Json* find(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& value, const std::string& name) {
  if (!value.is_string()) refuse(name + " is no text");
  std::string text = value.get<std::string>();
  if (text.find('\0') != std::string::npos) refuse(name + " holds a NUL byte");
  return text;
}

std::string text_at(const Json& object, const char* key) {
  const Json* value = find(object, key);
  return value == nullptr ? std::string() : text_of(*value, key);
}

bool flag_at(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) refuse(fmt::format("{} is neither true nor false", key));
  return value->get<bool>();
}

int64_t number_at(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value == nullptr) return 0;
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX))
    refuse(fmt::format("{} is no whole number", key));
  return value->get<int64_t>();
}

const Json* object_at(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value != nullptr && !value->is_object()) refuse(fmt::format("{} is no object", key));
  return value;
}

const Json* list_at(const Json& object, const char* key) {
  const Json* value = find(object, key);
  if (value != nullptr && !value->is_array()) refuse(fmt::format("{} is no list", key));
  return value;
}

std::optional<std::vector<std::string>> texts_at(const Json& object, const char* key) {
  const Json* list = list_at(object, key);
  if (list == nullptr) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& item : *list) texts.push_back(text_of(item, key));
  return texts;
}

std::set<std::string> names_at(const Json& object, const char* key) {
  std::set<std::string> names;
  if (const Json* map = object_at(object, key))
    for (const auto& [name, value] : map->items()) names.insert(name);
  return names;
}

Json without(const Json& object, std::initializer_list<const char*> keys) {
  Json rest = object;
  for (const char* key : keys) rest.erase(key);
  return rest;
}

Healthcheck parse_healthcheck(const Json& object) {
  Healthcheck check;
  check.test = texts_at(object, "Test").value_or(std::vector<std::string>());
  check.interval_ns = number_at(object, "Interval");
  check.timeout_ns = number_at(object, "Timeout");
  check.start_period_ns = number_at(object, "StartPeriod");
  check.start_interval_ns = number_at(object, "StartInterval");
  const int64_t retries = number_at(object, "Retries");
  if (retries < 0 || retries > INT32_MAX) refuse("Retries is out of range");
  check.retries = static_cast<int>(retries);
  return check;
}

RunConfig parse_run_config(const Json& object) {
  RunConfig config;
  config.user = text_at(object, "User");
  config.exposed_ports = names_at(object, "ExposedPorts");
  for (const std::string& entry : texts_at(object, "Env").value_or(std::vector<std::string>())) {
    const size_t equals = entry.find('=');
    config.env.emplace_back(entry.substr(0, equals),
                            equals == std::string::npos ? "" : entry.substr(equals + 1));
  }
  config.entrypoint = texts_at(object, "Entrypoint");
  config.cmd = texts_at(object, "Cmd");
  config.volumes = names_at(object, "Volumes");
  config.working_dir = text_at(object, "WorkingDir");
  if (const Json* labels = object_at(object, "Labels"))
    for (const auto& [name, value] : labels->items())
      config.labels[name] = text_of(value, "a label");
  config.stop_signal = text_at(object, "StopSignal");
  if (const Json* check = object_at(object, "Healthcheck"))
    config.healthcheck = parse_healthcheck(*check);
  config.on_build = texts_at(object, "OnBuild").value_or(std::vector<std::string>());
  config.shell = texts_at(object, "Shell").value_or(std::vector<std::string>());
  config.args_escaped = flag_at(object, "ArgsEscaped");
  config.unknown =
      without(object, {"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir",
                       "Labels", "StopSignal", "Healthcheck", "OnBuild", "Shell", "ArgsEscaped"});
  return config;
}

std::vector<std::string> parse_diff_ids(const Json& root) {
  const Json* rootfs = object_at(root, "rootfs");
  if (rootfs == nullptr) refuse("it has no rootfs");
  const std::string type = text_at(*rootfs, "type");
  if (type != "layers") refuse(fmt::format("its rootfs is of type '{}'", printable(type)));
  std::vector<std::string> ids;
  if (const Json* list = list_at(*rootfs, "diff_ids")) {
    if (list->size() > entries_max) refuse(fmt::format("more than {} layers", entries_max));
    for (const Json& item : *list) {
      ids.push_back(text_of(item, "a diff_id"));
      if (!is_digest(ids.back()))
        refuse(fmt::format("the diff_id '{}' is no digest", printable(ids.back())));
    }
  }
  return ids;
}

std::vector<History> parse_history(const Json& root) {
  std::vector<History> history;
  const Json* list = list_at(root, "history");
  if (list == nullptr) return history;
  if (list->size() > entries_max) refuse(fmt::format("more than {} history entries", entries_max));
  for (const Json& item : *list) {
    if (!item.is_object()) refuse("a history entry is no object");
    History& entry = history.emplace_back();
    entry.created = text_at(item, "created");
    entry.created_by = text_at(item, "created_by");
    entry.comment = text_at(item, "comment");
    entry.author = text_at(item, "author");
    entry.empty_layer = flag_at(item, "empty_layer");
  }
  return history;
}

// What is empty is left out, as Go's omitempty does.
void put(Ordered& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}
void put(Ordered& object, const char* key, const std::vector<std::string>& value) {
  if (!value.empty()) object[key] = value;
}
void put(Ordered& object, const char* key, int64_t value) {
  if (value != 0) object[key] = value;
}
void put(Ordered& object, const char* key, const std::set<std::string>& names) {
  for (const std::string& name : names) object[key][name] = Ordered::object();
}

Ordered run_config_json(const RunConfig& config) {
  Ordered object = Ordered::object();
  put(object, "User", config.user);
  put(object, "ExposedPorts", config.exposed_ports);
  std::vector<std::string> env;
  for (const auto& [name, value] : config.env) env.push_back(name + "=" + value);
  put(object, "Env", env);
  // Present and empty is a choice (P24: CMD []), absent is none.
  if (config.entrypoint) object["Entrypoint"] = *config.entrypoint;
  if (config.cmd) object["Cmd"] = *config.cmd;
  put(object, "Volumes", config.volumes);
  put(object, "WorkingDir", config.working_dir);
  for (const auto& [name, value] : config.labels) object["Labels"][name] = value;
  put(object, "StopSignal", config.stop_signal);
  if (config.args_escaped) object["ArgsEscaped"] = true;
  if (config.healthcheck) {
    const Healthcheck& check = *config.healthcheck;
    Ordered& value = object["Healthcheck"] = Ordered::object();
    put(value, "Test", check.test);
    put(value, "Interval", check.interval_ns);
    put(value, "Timeout", check.timeout_ns);
    put(value, "StartPeriod", check.start_period_ns);
    put(value, "StartInterval", check.start_interval_ns);
    put(value, "Retries", static_cast<int64_t>(check.retries));
  }
  put(object, "OnBuild", config.on_build);
  put(object, "Shell", config.shell);
  for (const auto& [key, value] : config.unknown.items()) object[key] = value;
  return object;
}

Ordered history_json(const std::vector<History>& history) {
  Ordered list = Ordered::array();
  for (const History& entry : history) {
    Ordered object = Ordered::object();
    put(object, "created", entry.created);
    put(object, "created_by", entry.created_by);
    put(object, "author", entry.author);
    put(object, "comment", entry.comment);
    if (entry.empty_layer) object["empty_layer"] = true;
    list.push_back(std::move(object));
  }
  return list;
}

// Go's encoder writes these escaped, so that the same config has the same digest there and here.
std::string escape_like_go(const std::string& json) {
  std::string text;
  text.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '<' || c == '>' || c == '&') {
      text += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else if (json.compare(i, 3, "\xe2\x80\xa8") == 0 || json.compare(i, 3, "\xe2\x80\xa9") == 0) {
      text += json[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

void set_env(EnvList& env, const std::string& name, const std::string& value) {
  const auto is_name = [&](const auto& entry) { return entry.first == name; };
  const auto first = std::find_if(env.begin(), env.end(), is_name);
  if (first == env.end()) {
    env.emplace_back(name, value);
    return;
  }
  first->second = value;
  // A base may list a name twice; the last one counts, so none may follow ours.
  env.erase(std::remove_if(first + 1, env.end(), is_name), env.end());
}

const std::string* find_env(const EnvList& env, std::string_view name) {
  const auto found = std::find_if(env.rbegin(), env.rend(),
                                  [&](const auto& entry) { return entry.first == name; });
  return found == env.rend() ? nullptr : &found->second;
}

ImageConfig parse_image_config(std::string_view json) {
  if (json.size() > size_max_bytes) refuse("it is larger than 8 MiB");
  const Json root = parse_json(json, "image config", static_cast<int>(ExitCode::outside));
  if (!root.is_object()) refuse("it is no object");
  for (const char* key : {"layers", "manifests", "schemaVersion"})
    if (root.contains(key)) refuse(fmt::format("it has '{}', as a manifest has", key));
  ImageConfig config;
  config.created = text_at(root, "created");
  config.author = text_at(root, "author");
  config.platform.os = text_at(root, "os");
  config.platform.architecture = text_at(root, "architecture");
  config.platform.variant = text_at(root, "variant");
  config.platform.os_version = text_at(root, "os.version");
  if (config.platform.os.empty()) refuse("it names no os");
  if (config.platform.architecture.empty()) refuse("it names no architecture");
  if (const Json* run = object_at(root, "config")) config.config = parse_run_config(*run);
  config.diff_ids = parse_diff_ids(root);
  config.history = parse_history(root);
  config.unknown = without(root, {"created", "author", "os", "architecture", "variant",
                                  "os.version", "config", "rootfs", "history"});
  return config;
}

std::string serialize_image_config(const ImageConfig& config) {
  // The order of keys is the one BuildKit's exporter writes: sorted on top, Go's fields below.
  std::map<std::string, Ordered> sorted;
  for (const auto& [key, value] : config.unknown.items()) sorted[key] = value;
  Ordered named = Ordered::object();
  put(named, "architecture", config.platform.architecture);
  put(named, "author", config.author);
  put(named, "created", config.created);
  put(named, "os", config.platform.os);
  put(named, "os.version", config.platform.os_version);
  put(named, "variant", config.platform.variant);
  for (const auto& [key, value] : named.items()) sorted[key] = value;
  sorted["config"] = run_config_json(config.config);
  if (!config.history.empty()) sorted["history"] = history_json(config.history);
  sorted["rootfs"] = Ordered{{"type", "layers"}, {"diff_ids", config.diff_ids}};
  Ordered root = Ordered::object();
  for (auto& [key, value] : sorted) root[key] = std::move(value);
  return escape_like_go(root.dump(-1, ' ', false, Ordered::error_handler_t::replace));
}

void repair_history(ImageConfig& config) {
  size_t layers = 0;
  for (History& entry : config.history) {
    if (entry.empty_layer) continue;
    if (layers == config.diff_ids.size())
      entry.empty_layer = true;
    else
      ++layers;
  }
  for (; layers < config.diff_ids.size(); ++layers) {
    History& entry = config.history.emplace_back();
    entry.comment = "buildkit.exporter.image.v0";
  }
}

ImageConfig scratch_config(const Platform& platform) {
  ImageConfig config;
  config.platform = platform;
  config.config.working_dir = "/";
  if (platform.os != "windows") config.config.env = {{"PATH", default_path}};
  return config;
}

}  // namespace slipway::oci
