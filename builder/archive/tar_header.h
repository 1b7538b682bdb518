// Bytes of GNU tar members (heroku.md SLUG-1): ustar fields with GNU's magic, @LongLink members for
// long names, base-256 numbers where octal digits do not suffice. No PAX, no sparse members.
#pragma once

#include <cstdint>
#include <string>

#include "archive/tree.h"

namespace slipway::archive {

inline constexpr uint64_t tar_block_bytes = 512;
/// Two zero blocks: what every reader takes for the end.
inline constexpr uint64_t tar_trailer_bytes = 2 * tar_block_bytes;

/// Content rounded up to whole blocks.
inline uint64_t tar_padded(uint64_t size) {
  return (size + tar_block_bytes - 1) / tar_block_bytes * tar_block_bytes;
}

/// Bytes append_tar_header() will append.
uint64_t tar_header_size(const TreeEntry& entry);

/// Appends the header blocks of a member. Directories get a trailing '/'. mtime_ns is cut to
/// seconds; ids 0 are named "root", others have no name.
void append_tar_header(std::string& out, const TreeEntry& entry);

}  // namespace slipway::archive
