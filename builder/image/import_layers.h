// The part of an import that all sources share.
#pragma once

#include "image/import.h"

namespace slipway::image {

/// Unpacks what is not a snapshot yet and keeps the blobs. `image` has config and layers that
/// agree; `digest` of the answer is left to the caller.
Imported import_layers(const ImportContext& context, Image image, const OpenBlob& open);

}  // namespace slipway::image
