// Results as an OCI artifact (cache_document.h) and back. A result's filesystem is kept as the
// whole chain of its layers, the base's included, so that what is brought here shares snapshots
// with an image of the same layers, whichever came first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/assemble.h"
#include "image/cache_document.h"
#include "image/import.h"
#include "image/layers.h"

namespace slipway::image {

/// A result, or a kept folder, to be handed on.
struct CacheItem {
  Digest key, first;
  int64_t created = 0;
  /// Its topmost snapshot, 0 = an empty filesystem; absent = only the keys are told.
  std::optional<cache::SnapshotId> top;
  Json facts;
  /// Instead of keys: a folder; its chain is filled here.
  std::optional<CacheDocument::Folder> folder;
};

struct CacheBundle {
  CacheDocument document;
  std::vector<Layer> layers;  ///< in the order of the manifest
  Document config, manifest;
  /// Results of which only the keys are told, because a manifest has no room for their layers.
  size_t left_out = 0;
};

/// What is left out when there is no room: the last items' layers, then the items.
struct CacheBounds {
  uint64_t size_bytes = 0;  ///< of all layers, compressed; 0 = any
};

/// Layers that were imported are handed on as they came, others are written (write_layers).
CacheBundle bundle_cache(cache::Store& store, cache::Lease& lease, const Trees& trees,
                         const std::vector<CacheItem>& items, const std::string& scope,
                         archive::Codec codec, const LayerOptions& options = {},
                         const CacheBounds& bounds = {});

/// A cache that was read: its documents agree.
struct CacheListing {
  CacheDocument document;
  std::vector<oci::Descriptor> layers;
};
/// The config's descriptor of a manifest that is a cache's. Throws Error(outside) for anything
/// else.
oci::Descriptor cache_config_of(const std::string& manifest_bytes);
/// Throws Error(outside) when the config is not the one that the manifest names, or damaged.
CacheListing read_cache(const std::string& manifest_bytes, const std::string& config_bytes);

/// Brings a chain's layers here, as import_image() does: verified, side by side, shared.
Imported import_chain(const ImportContext& context, const CacheListing& cache, int64_t chain,
                      const OpenBlob& open);

}  // namespace slipway::image
