// The documents of an output — configs, manifests, index — as they are published, in memory.
// Exporters and the registry client take them from here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/image.h"

namespace slipway::image {

/// What one output gets: images under names. Several platforms make one index.
struct Named {
  std::vector<Image> platforms;    ///< one, or several for an index
  std::vector<std::string> names;  ///< canonical references; may be empty
  oci::Annotations annotations;    ///< of the manifest (single) or index
  /// Docker media types instead of OCI's (registries that take only those, YML-15).
  bool docker_types = false;
};

/// The manifest (or index) as it is published: its digest is the image's.
struct Published {
  std::string digest;                      ///< of the top document
  std::string config_digest;               ///< image id, of the first platform
  std::vector<oci::Descriptor> manifests;  ///< in the order of the platforms
};

/// A small blob that is made here.
struct Document {
  oci::Descriptor descriptor;
  std::string bytes;
};

/// One output's blobs in the order in which a registry wants them: each platform's layers, config
/// and manifest, then the index.
struct Assembled {
  struct OnePlatform {
    std::vector<Layer> layers;  ///< with the media types the manifest gives them
    Document config, manifest;
  };
  std::vector<OnePlatform> platforms;
  std::optional<Document> index;  ///< of several platforms
  Published published;
  /// What a name stands for.
  const Document& top() const { return index ? *index : platforms.front().manifest; }
};

/// An image that was brought here and is not changed keeps its documents byte for byte (unless
/// annotations or other media types are wanted). Layers that are "foreign" become normal ones
/// (M10). The same value gives the same bytes.
Assembled assemble(const Named& named);

}  // namespace slipway::image
