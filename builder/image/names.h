// The store's own images by name: what `-t` names stays here and can be a base of later builds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/image.h"

namespace slipway::image {

struct NamedImage {
  Image image;
  std::string image_id;  ///< "sha256:<hex>" of the config
  /// The finished root filesystem; 0 = an empty one or, with layers, one that was never unpacked
  /// (import.h: unpack_image).
  cache::SnapshotId snapshot = 0;
  /// How the snapshot keeps owners (Trees::ids): of no use where it is done otherwise.
  std::string owners;
};

/// Keeps the image under a canonical name; gc leaves what it needs as long as the name stands.
void name_image(cache::Store& store, const std::string& name, const NamedImage& image);
/// Empty when there is no such name, or part of it is gone (a removed store folder).
std::optional<NamedImage> find_named(const cache::Store& store, const std::string& name,
                                     const oci::Platform& platform);

/// One row of `slipway image ls`.
struct NameRow {
  std::string name, platform, image_id;
  uint64_t size_bytes = 0;  ///< of the compressed layers
  std::string created;      ///< as the config says
};
/// All names, sorted; damaged records are left out.
std::vector<NameRow> list_names(const cache::Store& store);
/// Forgets a name, of all platforms; what nothing else needs goes with the next gc. False = there
/// was none.
bool forget_name(cache::Store& store, const std::string& name);

}  // namespace slipway::image
