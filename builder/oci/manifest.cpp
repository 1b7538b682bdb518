#include "oci/manifest.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "oci/reference.h"

namespace slipway::oci {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t entries_max = 1000;
constexpr size_t media_type_bytes_max = 255;  // RFC 6838, as the image specification demands
constexpr int indent = 2;

const char* const docker_schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";

[[noreturn]] void refuse(const std::string& reason) {
  fail(ExitCode::outside, "not an image manifest or index: {}", reason);
}

/// Readers differ in which of two equal keys they believe, and some take keys of another case for
/// the same: whoever looks at a document and whoever runs it must see one and the same (threat 19).
class RepeatedKeys {
 public:
  bool operator()(int, Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start) open_.emplace_back();
    if (event == Json::parse_event_t::object_end) open_.pop_back();
    if (event == Json::parse_event_t::key && !open_.back().insert(value.get<std::string>()).second)
      refuse(fmt::format("'{}' stands in it twice", printable(value.get<std::string>())));
    return true;
  }

 private:
  std::vector<std::set<std::string>> open_;
};

void check_key_case(const Json& document) {
  static const std::set<std::string> known = {"schemaversion", "mediatype", "config",
                                              "layers",        "manifests", "annotations",
                                              "artifacttype",  "subject",   "fslayers"};
  static const std::set<std::string> exact = {"schemaVersion", "mediaType", "config",
                                              "layers",        "manifests", "annotations",
                                              "artifactType",  "subject",   "fsLayers"};
  for (const auto& [key, value] : document.items()) {
    std::string low = key;
    std::transform(low.begin(), low.end(), low.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (known.contains(low) && !exact.contains(key))
      refuse(fmt::format("'{}' is written in another case", printable(key)));
  }
}

std::string string_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return {};
  if (!found->is_string()) refuse(fmt::format("'{}' is not a text", name));
  return found->get<std::string>();
}

std::string media_type_of(const Json& object) {
  std::string type = string_of(object, "mediaType");
  const bool odd = std::any_of(type.begin(), type.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
  });
  if (odd || type.size() > media_type_bytes_max)
    refuse(fmt::format("'{}' is no media type", printable(type.substr(0, media_type_bytes_max))));
  return type;
}

Annotations annotations_of(const Json& object) {
  Annotations annotations;
  const auto found = object.find("annotations");
  if (found == object.end() || found->is_null()) return annotations;
  if (!found->is_object()) refuse("'annotations' is not an object");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) refuse(fmt::format("annotation '{}' is not a text", printable(key)));
    annotations[key] = value.get<std::string>();
  }
  return annotations;
}

Platform platform_of(const Json& object) {
  if (!object.is_object()) refuse("'platform' is not an object");
  Platform platform;
  platform.os = string_of(object, "os");
  platform.architecture = string_of(object, "architecture");
  platform.variant = string_of(object, "variant");
  platform.os_version = string_of(object, "os.version");
  return platform;
}

Descriptor descriptor_of(const Json& object, const char* what) {
  if (!object.is_object()) refuse(fmt::format("{} is not an object", what));
  Descriptor descriptor;
  descriptor.media_type = media_type_of(object);
  if (descriptor.media_type.empty()) refuse(fmt::format("{} has no media type", what));
  descriptor.digest = string_of(object, "digest");
  if (!is_digest(descriptor.digest))
    refuse(fmt::format("'{}' is not a digest (sha256: and 64 lower-case hex digits)",
                       printable(descriptor.digest.substr(0, 200))));
  const auto size = object.find("size");
  if (size == object.end() || !size->is_number_integer() ||
      (!size->is_number_unsigned() && size->get<int64_t>() < 0) ||
      size->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    refuse(fmt::format("{} has no size in bytes", what));
  descriptor.size_bytes = size->get<uint64_t>();
  if (const auto platform = object.find("platform");
      platform != object.end() && !platform->is_null())
    descriptor.platform = platform_of(*platform);
  descriptor.annotations = annotations_of(object);
  if (const auto urls = object.find("urls"); urls != object.end() && !urls->is_null()) {
    if (!urls->is_array() || urls->size() > entries_max) refuse("'urls' is not a list of texts");
    for (const Json& url : *urls) {
      if (!url.is_string()) refuse("'urls' is not a list of texts");
      descriptor.urls.push_back(url.get<std::string>());
    }
  }
  descriptor.artifact_type = string_of(object, "artifactType");
  descriptor.data = string_of(object, "data");
  return descriptor;
}

std::vector<Descriptor> descriptors_of(const Json& list, const char* what) {
  if (list.is_null()) return {};
  if (!list.is_array()) refuse(fmt::format("its list of {}s is not a list", what));
  if (list.size() > entries_max)
    refuse(fmt::format("it has {} {}s, at most {} are allowed", list.size(), what, entries_max));
  std::vector<Descriptor> descriptors;
  descriptors.reserve(list.size());
  for (const Json& entry : list) descriptors.push_back(descriptor_of(entry, what));
  return descriptors;
}

bool is_docker_type(std::string_view type) {
  return type == media_type::docker_list || type == media_type::docker_manifest;
}

/// The type a document must have: its own word and its sender's agree, or only one of them speaks.
std::string agreed_type(const Json& document, std::string_view expected, bool is_index) {
  const std::string own = media_type_of(document);
  if (!own.empty() && !expected.empty() && own != expected)
    refuse(fmt::format("it says it is '{}', but '{}' was promised", printable(own),
                       printable(expected)));
  const std::string type = own.empty() ? std::string(expected) : own;
  if (type.empty()) return is_index ? media_type::index : media_type::manifest;
  if (is_index ? !is_index_type(type) : !is_manifest_type(type))
    refuse(fmt::format("it has the form of {}, but the type '{}'",
                       is_index ? "an index" : "a manifest", printable(type)));
  return type;
}

OrderedJson platform_json(const Platform& platform) {
  OrderedJson json = {{"architecture", platform.architecture}, {"os", platform.os}};
  if (!platform.os_version.empty()) json["os.version"] = platform.os_version;
  if (!platform.variant.empty()) json["variant"] = platform.variant;
  return json;
}

OrderedJson descriptor_json(const Descriptor& descriptor, bool with_annotations) {
  OrderedJson json = {{"mediaType", descriptor.media_type},
                      {"digest", descriptor.digest},
                      {"size", descriptor.size_bytes}};
  if (!descriptor.urls.empty()) json["urls"] = descriptor.urls;
  if (with_annotations && !descriptor.annotations.empty())
    json["annotations"] = descriptor.annotations;
  if (!descriptor.data.empty()) json["data"] = descriptor.data;
  if (descriptor.platform) json["platform"] = platform_json(*descriptor.platform);
  if (!descriptor.artifact_type.empty()) json["artifactType"] = descriptor.artifact_type;
  return json;
}

std::string dump(const OrderedJson& json) {
  return json.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

bool is_index_type(std::string_view type) {
  return type == media_type::index || type == media_type::docker_list;
}

bool is_manifest_type(std::string_view type) {
  return type == media_type::manifest || type == media_type::docker_manifest;
}

bool is_image_config_type(std::string_view type) {
  return type == media_type::config || type == media_type::docker_config;
}

Document parse_document(std::string_view json, std::string_view expected_type) {
  if (json.size() > document_bytes_max)
    refuse(fmt::format("it is {} bytes long, at most {} are allowed", json.size(),
                       document_bytes_max));
  // First for depth and position of a mistake, then for keys.
  Json value = parse_json(json, "manifest", static_cast<int>(ExitCode::outside));
  value = Json::parse(json, RepeatedKeys());
  if (!value.is_object()) refuse("it is not an object");
  check_key_case(value);
  const auto version = value.find("schemaVersion");
  if (value.contains("fsLayers") || (version != value.end() && *version == 1) ||
      string_of(value, "mediaType") == docker_schema1)
    throw Error(ExitCode::outside,
                "the image is in Docker's schema 1, which nobody writes any more")
        .set_hint("push the image again with a current engine");
  if (version != value.end() && *version != 2)
    refuse(fmt::format("its schemaVersion is {}, not 2", dump_json(*version).substr(0, 40)));
  const bool has_manifests = value.contains("manifests");
  const bool has_image = value.contains("layers") || value.contains("config");
  if (has_manifests && has_image) refuse("it is an index and a manifest at once");
  Document document;
  if (has_manifests) {
    Index index;
    index.media_type = agreed_type(value, expected_type, true);
    index.manifests = descriptors_of(value["manifests"], "manifest");
    index.annotations = annotations_of(value);
    document.index = std::move(index);
    return document;
  }
  if (!value.contains("config") || !value.contains("layers"))
    refuse("it lists neither manifests nor a config and layers");
  Manifest manifest;
  manifest.media_type = agreed_type(value, expected_type, false);
  manifest.config = descriptor_of(value["config"], "the config");
  manifest.layers = descriptors_of(value["layers"], "layer");
  manifest.annotations = annotations_of(value);
  manifest.artifact_type = string_of(value, "artifactType");
  if (const auto subject = value.find("subject"); subject != value.end() && !subject->is_null())
    manifest.subject = descriptor_of(*subject, "the subject");
  document.manifest = std::move(manifest);
  return document;
}

std::string serialize_manifest(const Manifest& manifest) {
  const bool annotated = !is_docker_type(manifest.media_type);
  OrderedJson json = {{"schemaVersion", 2}, {"mediaType", manifest.media_type}};
  if (!manifest.artifact_type.empty()) json["artifactType"] = manifest.artifact_type;
  json["config"] = descriptor_json(manifest.config, annotated);
  json["layers"] = OrderedJson::array();
  for (const Descriptor& layer : manifest.layers)
    json["layers"].push_back(descriptor_json(layer, annotated));
  if (manifest.subject) json["subject"] = descriptor_json(*manifest.subject, annotated);
  if (annotated && !manifest.annotations.empty()) json["annotations"] = manifest.annotations;
  return dump(json);
}

std::string serialize_index(const Index& index) {
  const bool annotated = !is_docker_type(index.media_type);
  OrderedJson json = {{"schemaVersion", 2}, {"mediaType", index.media_type}};
  json["manifests"] = OrderedJson::array();
  for (const Descriptor& entry : index.manifests)
    json["manifests"].push_back(descriptor_json(entry, annotated));
  if (annotated && !index.annotations.empty()) json["annotations"] = index.annotations;
  return dump(json);
}

const Descriptor* pick_platform(const Index& index, const Platform& wanted) {
  const Descriptor* best = nullptr;
  int best_score = 0;
  const Descriptor* unnamed = nullptr;
  bool named = false;
  for (const Descriptor& entry : index.manifests) {
    if (!is_manifest_type(entry.media_type) && !is_index_type(entry.media_type)) continue;
    if (!entry.platform) {
      if (unnamed == nullptr) unnamed = &entry;
      continue;
    }
    if (entry.platform->os == "unknown" || entry.platform->architecture == "unknown") continue;
    named = true;
    // Of equal ones the first: that is what other engines take.
    const int score = platform_match(wanted, *entry.platform);
    if (score > best_score) {
      best = &entry;
      best_score = score;
    }
  }
  return named ? best : unnamed;
}

std::string platforms_text(const Index& index) {
  std::vector<std::string> names;
  for (const Descriptor& entry : index.manifests) {
    if (!entry.platform || entry.platform->os == "unknown") continue;
    std::string name = printable(entry.platform->to_string());
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(std::move(name));
  }
  return join(names, ", ");
}

}  // namespace slipway::oci
