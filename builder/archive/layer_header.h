// Bytes of a layer tar's members: ustar headers with PAX records only where a value does not fit
// (dockerfile.md O6, O7), as Go's archive/tar writes them: names beyond 100 bytes or ASCII, times
// before 1970, ids from 2^21, sizes from 8 GiB, extended attributes.
#pragma once

#include <string>

#include "archive/layer_listing.h"

namespace slipway::archive {

/// Appends the header blocks of a member. Directories get a trailing '/'; there are no user names.
void append_layer_header(std::string& out, const LayerEntry& entry);

}  // namespace slipway::archive
