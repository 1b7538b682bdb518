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
  /// True = leave this entry (and all below it) out. Path relative to the root.
  std::function<bool(const std::string& path, bool is_directory)> ignored;
  Cancel* cancel = nullptr;
  /// Modes are normalised to 0644/0755 (+ links 0777) like git does, so that an umask does not
  /// change the result.
  bool normalise_modes = true;
};

struct ScannedSource {
  archive::Tree tree;  ///< uid and gid 0; mtimes as found
  std::vector<std::string>
      warnings;  ///< skipped FIFOs, sockets, devices: "log/pipe: FIFO, left out"
  uint64_t bytes_read = 0;
};

/// Scans `root` (an open directory). Links are recorded, never followed (threat 9); names of any
/// bytes are kept. Throws Error(app_files) for what cannot be read or keeps changing under us
/// ("file X changed while it was read").
ScannedSource scan_source(Store& store, const std::string& root_path, int root,
                          const ScanOptions& options);

/// Opens one file of a scanned source again for copying and checks that it is still the one that
/// was hashed (size, mtime, ctime, inode); throws Error(app_files) otherwise. Beneath root only.
Fd open_scanned(Store& store, const std::string& root_path, int root,
                const archive::TreeEntry& entry);

}  // namespace slipway::cache
