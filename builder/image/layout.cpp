#include "image/layout.h"

#include "base/error.h"
#include "base/json.h"

namespace slipway::image {
namespace {

constexpr const char* created_annotation = "org.opencontainers.image.created";

Json entry_of(const Named& named, const Assembled& output, const std::string& name) {
  const oci::Descriptor& top = output.top().descriptor;
  Json entry = {{"mediaType", top.media_type}, {"digest", top.digest}, {"size", top.size_bytes}};
  if (!output.index) {
    const oci::Platform& platform = named.platforms.front().config.platform;
    Json& shown = entry["platform"];
    shown = {{"architecture", platform.architecture}, {"os", platform.os}};
    if (!platform.variant.empty()) shown["variant"] = platform.variant;
    if (!platform.os_version.empty()) shown["os.version"] = platform.os_version;
  }
  Json annotations = Json::object();
  const std::string& created = named.platforms.front().config.created;
  if (!created.empty()) annotations[created_annotation] = created;
  if (!name.empty()) {
    const oci::Reference reference = oci::parse_reference(name);
    annotations[full_name_annotation] = reference.canonical();
    if (!reference.tag.empty()) annotations[tag_annotation] = reference.tag;
  }
  if (!annotations.empty()) entry["annotations"] = std::move(annotations);
  return entry;
}

std::string annotation(const Json& entry, const char* name) {
  const auto annotations = entry.find("annotations");
  if (annotations == entry.end() || !annotations->is_object()) return {};
  const auto found = annotations->find(name);
  return found != annotations->end() && found->is_string() ? found->get<std::string>()
                                                           : std::string();
}

// Tools that know no full names mean the tag.
bool same_name(const Json& old, const Json& fresh) {
  const std::string old_name = annotation(old, full_name_annotation);
  const std::string fresh_name = annotation(fresh, full_name_annotation);
  if (!old_name.empty() && !fresh_name.empty()) return old_name == fresh_name;
  const std::string old_tag = annotation(old, tag_annotation);
  const std::string fresh_tag = annotation(fresh, tag_annotation);
  if (old_tag.empty() && fresh_tag.empty()) return old.at("digest") == fresh.at("digest");
  return old_tag == fresh_tag;
}

Json read_index(std::string_view existing) {
  constexpr auto code = static_cast<int>(ExitCode::machine);
  if (existing.empty()) return Json::object();
  // Checked as any foreign index, then kept with all that it says.
  try {
    if (!oci::parse_document(existing).index)
      throw Error(ExitCode::machine, "it is a manifest, not an index");
  } catch (const Error& error) {
    throw Error(ExitCode::machine, error.cause()).add_context("reading the layout's index.json");
  }
  return parse_json(existing, index_file, code);
}

// The fresh entries stand after those of other names.
std::string merged_index(Json fresh, std::string_view existing) {
  Json index = read_index(existing);
  Json old = index.contains("manifests") ? index["manifests"] : Json::array();
  Json entries = Json::array();
  for (Json& entry : old) {
    const bool replaced = std::any_of(fresh.begin(), fresh.end(),
                                      [&](const Json& one) { return same_name(entry, one); });
    if (!replaced) entries.push_back(std::move(entry));
  }
  for (Json& entry : fresh) entries.push_back(std::move(entry));
  index["schemaVersion"] = 2;
  index["mediaType"] = oci::media_type::index;
  index["manifests"] = std::move(entries);
  return dump_json(index);
}

}  // namespace

std::string layout_index(const std::vector<Named>& images, const std::vector<Assembled>& outputs,
                         std::string_view existing) {
  SLIPWAY_CHECK(images.size() == outputs.size());
  Json fresh = Json::array();
  for (size_t i = 0; i < images.size(); ++i) {
    if (images[i].names.empty()) fresh.push_back(entry_of(images[i], outputs[i], {}));
    for (const std::string& name : images[i].names)
      fresh.push_back(entry_of(images[i], outputs[i], name));
  }
  return merged_index(std::move(fresh), existing);
}

std::string layout_index(const Document& top, const std::string& tag, std::string_view existing) {
  const oci::Descriptor& descriptor = top.descriptor;
  Json entry = {{"mediaType", descriptor.media_type},
                {"digest", descriptor.digest},
                {"size", descriptor.size_bytes},
                {"annotations", {{tag_annotation, tag}}}};
  return merged_index(Json::array({std::move(entry)}), existing);
}

std::string docker_manifest(const std::vector<Named>& images,
                            const std::vector<Assembled>& outputs) {
  Json list = Json::array();
  for (size_t i = 0; i < images.size(); ++i) {
    const Assembled::OnePlatform& one = outputs[i].platforms.front();
    Json tags = Json::array(), layers = Json::array();
    for (const std::string& name : images[i].names) {
      oci::Reference reference = oci::parse_reference(name);
      reference.digest.clear();
      if (!reference.tag.empty()) tags.push_back(reference.familiar());
    }
    for (const Layer& layer : one.layers) layers.push_back(blob_place(layer.blob.digest));
    list.push_back({{"Config", blob_place(one.config.descriptor.digest)},
                    {"RepoTags", std::move(tags)},
                    {"Layers", std::move(layers)}});
  }
  return dump_json(list);
}

std::string blob_place(const std::string& digest) {
  SLIPWAY_CHECK(oci::is_digest(digest));
  return fmt::format("{}/{}", blobs_folder, digest.substr(std::string_view("sha256:").size()));
}

}  // namespace slipway::image
