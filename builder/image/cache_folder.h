// A remote cache as a folder: an OCI layout whose entries are caches under tags.
#pragma once

#include <filesystem>
#include <string>

#include "image/cache_bundle.h"
#include "image/export.h"

namespace slipway::image {

/// As export_oci_layout() does: what is there is not written again, the tag moves last, other
/// entries stay.
void write_cache_folder(const ExportContext& context, const std::filesystem::path& dir,
                        const std::string& tag, const CacheBundle& bundle);

/// A cache in a folder that anybody may have written.
class CacheFolder {
 public:
  /// `wanted` is a tag or a digest. Throws Error(outside) when there is no such cache, or when it
  /// is damaged.
  CacheFolder(const std::filesystem::path& dir, const std::string& wanted);
  const CacheListing& listing() const { return listing_; }
  /// Not verified yet: who imports it does that. Throws Error(outside) when it is missing.
  Fd open(const oci::Descriptor& blob) const;

 private:
  std::string read(const oci::Descriptor& blob, uint64_t size_max) const;
  Fd blobs_;
  CacheListing listing_;
};

}  // namespace slipway::image
