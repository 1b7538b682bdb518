// What a scan remembers of the fresh layers' entries, so that the next scan reads only files that
// were written since. The text form is compact and versioned; another version is refused.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "archive/tree.h"

namespace slipway::sandbox {

/// One entry as the scan saw it.
struct SeenEntry {
  std::string path;  ///< relative to the scanned folder
  archive::EntryType type = archive::EntryType::file;
  uint64_t inode = 0;
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0, ctime_ns = 0;
  Digest digest;  ///< of a file's content
};

struct ScanState {
  /// Files whose ctime is not older than this may have been written again in the same tick of the
  /// filesystem's clock: their digests are not trusted.
  int64_t trusted_before_ns = 0;
  std::vector<SeenEntry> entries;  ///< sorted by path

  const SeenEntry* find(std::string_view path) const;
};

std::string serialize_state(const ScanState& state);
/// Empty text = a state that knows nothing. Throws Error(machine) when malformed or of another
/// version.
ScanState parse_state(std::string_view text);

}  // namespace slipway::sandbox
