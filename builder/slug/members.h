// What a slug's tar says about each entry of BUILD_DIR: names below ./app, owner, time.
#pragma once

#include "archive/compress.h"
#include "archive/tree.h"
#include "base/digest.h"
#include "slug/slug.h"

namespace slipway::slug {

/// A timestamp-checked .pyc (PEP 552, flags 0) and the source it may have been compiled from: same
/// size and modification time are to be compared with the header of the .pyc.
struct PycCandidate {
  size_t entry = 0;           ///< of the .pyc, index into the tree
  uint32_t source_mtime = 0;  ///< of the .py as found, cut to 32 bits as Python does
  uint32_t source_size = 0;
  uint32_t slug_mtime = 0;  ///< what the .py has in the slug
};
/// From names and listing alone.
std::vector<PycCandidate> find_pyc_candidates(const archive::Tree& tree, int64_t source_time);

/// The header's time of a candidate that matches its source is replaced by `bytes`, the time that
/// the source has in the slug: Python recompiles nothing at boot, and the bytes do not depend on
/// the day.
struct PycPatch {
  size_t entry = 0;  ///< of the .pyc, index into the tree
  std::string bytes;
};
inline constexpr uint64_t pyc_mtime_offset = 8;  ///< in the .pyc
/// Reads the candidates' headers, in order; those that do not match are left out.
std::vector<PycPatch> find_pyc_patches(const archive::Tree& tree, const archive::OpenFiles& open,
                                       const std::vector<PycCandidate>& candidates);

/// What set-user-id gave is meaningless in a slug; a link has 0777.
uint32_t mode_in_slug(const archive::TreeEntry& entry);

/// Members, in order: "./app", then the tree's entries below it. `open` opens tree paths.
archive::TarSource make_members(const SlugInput& input,
                                const std::vector<PycCandidate>& candidates);

/// Everything that decides a slug's bytes, without opening a file: the artifact's id.
Digest slug_key(const SlugInput& input, const std::vector<PycCandidate>& candidates);

}  // namespace slipway::slug
