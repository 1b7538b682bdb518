// The part of an import that all sources share.
#pragma once

#include "image/import.h"

namespace slipway::image {

/// Unpacks what is not a snapshot yet and keeps the blobs. `image` has config and layers that
/// agree; `digest` of the answer is left to the caller.
Imported import_layers(const ImportContext& context, Image image, const OpenBlob& open);

/// The layer a snapshot was unpacked from, if it was and its blob is still in the store; the blob
/// is put under the lease.
std::optional<Layer> imported_layer(cache::Store& store, cache::Lease& lease,
                                    cache::SnapshotId snapshot);

}  // namespace slipway::image
