// A cache as one file, for any CI's cache step: an OCI archive with one cache artifact.
#pragma once

#include <filesystem>
#include <memory>

#include "image/cache_bundle.h"
#include "image/export.h"

namespace slipway::image {

/// Written beside and renamed.
void write_cache_archive(const ExportContext& context, const std::filesystem::path& file,
                         const CacheBundle& bundle);

class CacheArchive {
 public:
  /// Reads and verifies all of it: what is cut short, altered or incomplete is refused before
  /// anything is made of it. Throws Error(outside).
  CacheArchive(const std::filesystem::path& file, Cancel& cancel);
  ~CacheArchive();
  const CacheListing& listing() const { return listing_; }
  /// Puts its layers' blobs into the store, under the lease.
  void bring_blobs(cache::Store& store, cache::Lease& lease, Cancel& cancel);

 private:
  void verify(Cancel& cancel);
  std::unique_ptr<class ArchiveFiles> files_;
  CacheListing listing_;
};

}  // namespace slipway::image
