// LayerListing: what an image layer holds, entry by entry in the order of its tar — what a stack of
// snapshots adds to and takes from those below it (dockerfile.md O1-O10). Unlike a Tree it knows
// whiteouts, devices, FIFOs and extended attributes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/digest.h"

namespace slipway::archive {

enum class LayerEntryType : uint8_t {
  file,
  directory,
  symlink,
  hard_link,  ///< a further name of a file of this layer that comes before it
  character_device,
  block_device,
  fifo,
  whiteout,  ///< hides a path of the layers below
};

struct LayerEntry {
  /// In the archive: relative, no final '/'. A whiteout's is ".wh.<name>" in the hidden path's
  /// folder.
  std::string path;
  LayerEntryType type = LayerEntryType::file;
  uint32_t mode = 0;  ///< permission bits only (07777); 0 for a whiteout
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;  ///< of a file's content, bytes
  int64_t mtime = 0;  ///< seconds since 1970
  Digest digest;      ///< of a file's content (BLAKE2b); unset only in a listing without digests
  std::string link;   ///< a symlink's text, verbatim; a hard link's first name
  uint32_t device_major = 0, device_minor = 0;
  std::vector<std::pair<std::string, std::string>> attributes;  ///< extended; sorted by name
  bool operator==(const LayerEntry&) const = default;
};

/// Sorted bytewise by path, which puts parents before children; each path once.
struct LayerListing {
  std::vector<LayerEntry> entries;
  uint64_t total_size() const;
};

inline constexpr std::string_view whiteout_prefix = ".wh.";
/// "a/b" → "a/.wh.b"
std::string whiteout_path(std::string_view hidden);

/// Binary form (versioned). parse throws Error(machine) on anything malformed.
std::string serialize_listing(const LayerListing& listing);
LayerListing parse_listing(std::string_view data);

}  // namespace slipway::archive
