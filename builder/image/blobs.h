// Bytes of image blobs out of the store.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "image/assemble.h"

namespace slipway::image {

/// Writes the layer's compressed bytes at fd's offset, in-kernel where possible. Chunks are checked
/// before they are copied. Throws Error(machine) when the store has not got them (any more).
void write_layer(cache::Store& store, cache::Lease& lease, const Layer& layer, int fd);

/// Whether the store has the layer's bytes; they are put under the lease.
bool has_layer(cache::Store& store, cache::Lease& lease, const Layer& layer);

/// Each blob of some outputs once, by digest.
struct BlobSource {
  const Layer* layer = nullptr;
  const Document* document = nullptr;  ///< one of the two
  uint64_t size_bytes = 0;
};
/// Sorted by digest. The outputs stay the caller's.
std::map<std::string, BlobSource> blobs_of(const std::vector<Assembled>& outputs);
void write_blob(cache::Store& store, cache::Lease& lease, const BlobSource& blob, int fd);

}  // namespace slipway::image
