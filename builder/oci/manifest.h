// Descriptors, manifests and indexes, OCI's and Docker's (dockerfile.md M7-M12). What was read is
// kept byte for byte: a digest is over exact bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/platform.h"

namespace slipway::oci {

namespace media_type {
inline constexpr const char* index = "application/vnd.oci.image.index.v1+json";
inline constexpr const char* manifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr const char* config = "application/vnd.oci.image.config.v1+json";
inline constexpr const char* layer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr const char* layer_gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr const char* layer_zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr const char* docker_list =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr const char* docker_manifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr const char* docker_config = "application/vnd.docker.container.image.v1+json";
inline constexpr const char* docker_layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}  // namespace media_type

using Annotations = std::map<std::string, std::string>;

struct Descriptor {
  std::string media_type;
  std::string digest;  ///< "sha256:<hex>", checked
  uint64_t size_bytes = 0;
  std::optional<Platform> platform;  ///< of an index's entry; parts that are not given are empty
  Annotations annotations;
  std::vector<std::string> urls;
  std::string artifact_type;
  std::string data;  ///< the content in base64, for small things (M14); not checked, not decoded
};

struct Manifest {
  std::string media_type = media_type::manifest;
  Descriptor config;
  std::vector<Descriptor> layers;
  Annotations annotations;
  std::string artifact_type;
  std::optional<Descriptor> subject;  ///< the manifest this one is about (M14, N5)
};

struct Index {
  std::string media_type = media_type::index;
  std::vector<Descriptor> manifests;
  Annotations annotations;
};

bool is_index_type(std::string_view type);
bool is_manifest_type(std::string_view type);
/// A config with which a container can be started, OCI's or Docker's: other artifacts have others.
bool is_image_config_type(std::string_view type);

/// Bytes of a manifest or index; a longer one is refused (threat 21).
inline constexpr uint64_t document_bytes_max = 4 << 20;

/// A document that is both an index and a manifest, that says a thing twice, or whose own mediaType
/// contradicts its form or `expected_type` (empty = none), is refused (threat 19); so are more than
/// 1,000 entries, sizes that are negative and digests that are none. Docker's schema 1 is named in
/// the refusal. Throws Error(outside).
struct Document {
  std::optional<Manifest> manifest;
  std::optional<Index> index;  ///< exactly one of the two
};
Document parse_document(std::string_view json, std::string_view expected_type = {});

/// With two spaces of indent, as BuildKit writes them (M7). Docker's types know no annotations but
/// an entry's own platform: they are left out (M8).
std::string serialize_manifest(const Manifest& manifest);
std::string serialize_index(const Index& index);

/// The best entry for the platform (N1); attestations ("unknown/unknown") are passed over. An entry
/// without a platform is taken when no entry names one. nullptr when none fits.
const Descriptor* pick_platform(const Index& index, const Platform& wanted);
/// The platforms an index offers, for messages: "linux/amd64, linux/arm64"; empty when it names
/// none.
std::string platforms_text(const Index& index);

}  // namespace slipway::oci
