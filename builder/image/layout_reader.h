// Finding an image in an OCI layout, wherever its files lie: a folder, an archive.
#pragma once

#include <functional>
#include <string>

#include "image/import.h"

namespace slipway::image {

/// The documents of the image that was asked for.
struct FoundImage {
  std::string manifest, config;
};

/// Reads a small file of the layout by its path; throws Error(outside) when it is missing or longer
/// than oci::document_bytes_max.
using ReadDocument = std::function<std::string(const std::string& path)>;

/// `wanted` is a tag, a full name, a digest or empty; digests are verified, indexes followed.
FoundImage find_in_layout(const ReadDocument& read, const std::string& wanted,
                          const oci::Platform& platform);

}  // namespace slipway::image
