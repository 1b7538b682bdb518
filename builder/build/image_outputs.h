// What a build of images leaves: layers from solved steps, files, pushed references, the store's
// own names, the metadata file.
#pragma once

#include <string>
#include <vector>

#include "build/project.h"
#include "engine/engine.h"
#include "image/export.h"

namespace slipway::build {

/// One image, for one or several platforms.
struct BuiltImage {
  std::string process_type;  ///< empty for a Dockerfile of its own
  image::Named named;        ///< names are filled by write_images()
  /// The root filesystem, by platform; 0 = empty or, with layers, never unpacked.
  std::vector<cache::SnapshotId> snapshots;
};

struct WrittenImages {
  std::vector<std::string> ids;  ///< config digests, one for each image (its first platform)
  Json about = Json::array();    ///< for the app's state and records
  uint64_t size_bytes = 0;       ///< of all layers, each once
  std::string next_command;
};

/// Names, exports and pushes them; `metadata` is what the metadata file says besides. A file that
/// could not be written completely is not left behind.
WrittenImages write_images(const Session& session, engine::Engine& engine,
                           const BuildRequest& request, const Project& project,
                           const Json& metadata, std::vector<BuiltImage>& images);

/// "hello:1" and "web" → "hello-web:1": how several images share one -t.
std::string name_for_process(const std::string& reference, const std::string& process_type);

}  // namespace slipway::build
