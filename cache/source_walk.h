// Lists a directory of the user's by descriptors: any names, any depth, any path length, links
// never followed. Reads no file. Folders are listed by a few threads: asking the kernel about
// 20,000 files takes one of them some 40 ms.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "archive/tree.h"
#include "cache/source_scan.h"
#include "cache/stat_cache.h"

namespace slipway::cache {

/// The tree changed between two looks at it; a new walk may see it whole.
struct SourceChanged {
  std::string path;
};

struct WalkedSource {
  std::vector<archive::TreeEntry> entries;  ///< sorted; files without digests yet
  std::vector<FileIdentity> identities;     ///< of the entries, same order
  std::vector<std::string> warnings;
};

/// A directory that is never entered, by identity: the store itself may lie inside the source.
struct LeaveOut {
  dev_t device = 0;
  ino_t inode = 0;
};

/// options.ignored is called by one thread at a time. Throws SourceChanged, Interrupted, or
/// Error(app_files) naming what cannot be read.
WalkedSource walk_source(int root, const ScanOptions& options, const LeaveOut& store);

/// Opens a path of any length beneath root, the last component not followed; errno is kept on
/// failure and the Fd empty.
Fd open_beneath_long(int root, const std::string& path, int flags);

/// Mode as git would keep it: 0755 for what its owner may execute, else 0644.
uint32_t normalised_mode(archive::EntryType type, uint32_t mode);

/// fstat's answer as an identity.
FileIdentity identity_of(const struct stat& info);

}  // namespace slipway::cache
