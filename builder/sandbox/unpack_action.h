// ADD of an archive: unpacked into its destination (dockerfile.md C18, C19, X3).
#pragma once

#include <optional>

#include "archive/tree.h"
#include "graph/op.h"

namespace slipway::sandbox {

/// Whether the file is a tar, plain or compressed by gzip, bzip2, xz or zstd, with at least one
/// entry. Leaves the descriptor at its start.
bool is_archive(int file);

/// Unpacks below `folder`, which is "/" to all links: absolute ones of the archive do not reach the
/// rest of the root (X3). Throws Error(app_files) for a damaged archive.
archive::Tree unpack_archive(int file, int folder, const std::optional<graph::Owner>& owner,
                             bool single_id);

}  // namespace slipway::sandbox
