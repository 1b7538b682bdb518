// Hashing a directory of the user's through the stat cache: a file whose (size, mtime, ctime,
// inode) is the one recorded is not read again. Notices files that change while they are read.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/cancel.h"
#include "base/fd.h"

namespace slipway::cache {

class Store;

struct ScanOptions {
  /// True = leave this entry (and all below it) out. Path relative to the root. Called from
  /// several threads, by one at a time, in no order but parents first.
  std::function<bool(const std::string& path, bool is_directory)> ignored;
  Cancel* cancel = nullptr;
  /// Modes are normalised to 0644/0755 (+ links 0777) like git does, so that an umask does not
  /// change the result.
  bool normalise_modes = true;
  /// Sockets are listed as empty files instead of being left out (dockerfile.md C10).
  bool sockets_as_files = false;
};

struct ScannedSource {
  archive::Tree tree;  ///< uid and gid 0; mtimes as found
  std::vector<std::string>
      warnings;  ///< skipped FIFOs, sockets, devices: "log/pipe: FIFO, left out"
  uint64_t bytes_read = 0;
};

/// Scans `root` (an open directory; root_path names its stat cache and must be the same, absolute
/// text each time). Links are recorded, never followed (threat 9); names of any bytes, paths of any
/// length and trees of any depth are kept; the store itself is left out when it lies inside. A file
/// touched less than 2 s before a scan is read again at the next one, because a later change may
/// leave the same times. Throws Error(app_files) for what cannot be read or keeps changing under us
/// ("file 'x' changed while it was read"); what changes only once is read again. Thread-safe.
ScannedSource scan_source(Store& store, const std::string& root_path, int root,
                          const ScanOptions& options);

/// Opens one file of a scanned source again for copying and checks that it is still the one that
/// was hashed (size, mtime, ctime, inode); throws Error(app_files) otherwise. Beneath root only.
Fd open_scanned(Store& store, const std::string& root_path, int root,
                const archive::TreeEntry& entry);

}  // namespace slipway::cache
