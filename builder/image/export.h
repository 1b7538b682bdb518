// Images into files: OCI layout directories and archives, docker-archives (dockerfile.md M16, M17).
// Everything is written beside and renamed; a failed export leaves what was there. An archive's
// bytes depend on the images and names only.
#pragma once

#include <filesystem>
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
  std::string digest;         ///< of the top document
  std::string config_digest;  ///< image id, of the first platform
  std::vector<oci::Descriptor> manifests;
};

/// Adds to an existing layout: blobs that are there are not written again, entries of the same name
/// are replaced, others stay. The directory may be absent or empty; anything else but a layout is
/// refused with Error(machine).
std::vector<Published> export_oci_layout(const cache::Store& store,
                                         const std::filesystem::path& dir,
                                         const std::vector<Named>& images, Cancel& cancel);
/// A tar of the layout; `file` "-" is stdout.
std::vector<Published> export_oci_archive(const cache::Store& store,
                                          const std::filesystem::path& file,
                                          const std::vector<Named>& images, Cancel& cancel);
/// What `docker load` reads: the layout and manifest.json. One platform each.
std::vector<Published> export_docker_archive(const cache::Store& store,
                                             const std::filesystem::path& file,
                                             const std::vector<Named>& images, Cancel& cancel);

}  // namespace slipway::image
