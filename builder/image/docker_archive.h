// docker-archives, as `docker save` writes and `docker load` reads them: a tar with manifest.json,
// a config and layers for each image (dockerfile.md M17). Their layers have no digests of their
// own: the config's diff ids are what they are verified by.
#pragma once

#include "image/import.h"

namespace slipway::image {

/// `wanted` is a reference, "@<n>" (counted from 0) or empty: the only image.
Imported import_docker_archive(const ImportContext& context, const std::string& path,
                               const std::string& wanted);

/// An image of manifest.json.
struct DockerEntry {
  std::string config;               ///< member's name
  std::vector<std::string> tags;    ///< as written
  std::vector<std::string> layers;  ///< members' names, lowest first
};
/// Throws Error(outside) for what is no such list.
std::vector<DockerEntry> parse_docker_manifest(std::string_view json);

}  // namespace slipway::image
