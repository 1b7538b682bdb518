#include "image/assemble.h"

#include "base/error.h"
#include "image/layers.h"

namespace slipway::image {
namespace {

Document make_document(std::string bytes, const char* media_type) {
  Document document;
  document.descriptor.media_type = media_type;
  document.descriptor.digest = "sha256:" + sha256_hex(bytes);
  document.descriptor.size_bytes = bytes.size();
  document.bytes = std::move(bytes);
  return document;
}

std::vector<Layer> layers_of(const Image& image, bool docker_types) {
  SLIPWAY_CHECK(image.config.diff_ids.size() == image.layers.size());
  std::vector<Layer> layers = image.layers;
  for (size_t i = 0; i < layers.size(); ++i) {
    SLIPWAY_CHECK(layers[i].diff_id == image.config.diff_ids[i]);
    oci::Descriptor& blob = layers[i].blob;
    const auto codec = codec_of(blob.media_type);
    SLIPWAY_CHECK(codec.has_value());
    blob.media_type = layer_media_type(*codec, docker_types);
    blob.urls.clear();
  }
  return layers;
}

bool is_docker_type(const std::string& media_type) {
  return media_type == oci::media_type::docker_manifest;
}

// The manifest as it came, if it may be handed on.
std::optional<oci::Manifest> kept_manifest(const Image& image, bool docker_types) {
  if (image.manifest_bytes.empty()) return std::nullopt;
  oci::Document document = oci::parse_document(image.manifest_bytes);
  SLIPWAY_CHECK(document.manifest.has_value());
  if (docker_types && !is_docker_type(document.manifest->media_type)) return std::nullopt;
  SLIPWAY_CHECK(document.manifest->layers.size() == image.layers.size());
  return std::move(document.manifest);
}

Assembled::OnePlatform assemble_platform(const Image& image, const oci::Annotations& annotations,
                                         bool docker_types) {
  Assembled::OnePlatform made;
  const auto kept = annotations.empty() ? kept_manifest(image, docker_types) : std::nullopt;
  if (kept) {
    made.layers = image.layers;
    for (size_t i = 0; i < made.layers.size(); ++i) made.layers[i].blob = kept->layers[i];
    made.config = make_document(image.config_bytes, kept->config.media_type.c_str());
    SLIPWAY_CHECK(made.config.descriptor.digest == kept->config.digest);
    made.manifest = make_document(image.manifest_bytes, kept->media_type.c_str());
    return made;
  }
  made.layers = layers_of(image, docker_types);
  made.config = make_document(
      image.config_bytes.empty() ? oci::serialize_image_config(image.config) : image.config_bytes,
      docker_types ? oci::media_type::docker_config : oci::media_type::config);
  oci::Manifest manifest;
  manifest.media_type = docker_types ? oci::media_type::docker_manifest : oci::media_type::manifest;
  manifest.config = made.config.descriptor;
  for (const Layer& layer : made.layers) manifest.layers.push_back(layer.blob);
  manifest.annotations = annotations;
  made.manifest =
      make_document(oci::serialize_manifest(manifest),
                    docker_types ? oci::media_type::docker_manifest : oci::media_type::manifest);
  return made;
}

}  // namespace

Assembled assemble(const Named& named) {
  SLIPWAY_CHECK(!named.platforms.empty());
  const bool several = named.platforms.size() > 1;
  Assembled all;
  for (const Image& image : named.platforms) {
    all.platforms.push_back(assemble_platform(
        image, several ? oci::Annotations() : named.annotations, named.docker_types));
    oci::Descriptor manifest = all.platforms.back().manifest.descriptor;
    manifest.platform = image.config.platform;
    all.published.manifests.push_back(std::move(manifest));
  }
  if (several) {
    oci::Index index;
    index.media_type = named.docker_types ? oci::media_type::docker_list : oci::media_type::index;
    index.manifests = all.published.manifests;
    index.annotations = named.annotations;
    all.index = make_document(oci::serialize_index(index), index.media_type.c_str());
  }
  all.published.digest = all.top().descriptor.digest;
  all.published.config_digest = all.platforms.front().config.descriptor.digest;
  return all;
}

}  // namespace slipway::image
