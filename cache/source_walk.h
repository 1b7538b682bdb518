// Lists a directory of the user's by descriptors: any names, any depth, any path length, links
// never followed. Reads no file.
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

/// Throws SourceChanged, Interrupted, or Error(app_files) naming what cannot be read.
WalkedSource walk_source(int root, const ScanOptions& options, const LeaveOut& store);

/// Mode as git would keep it: 0755 for what its owner may execute, else 0644.
uint32_t normalised_mode(archive::EntryType type, uint32_t mode);

/// fstat's answer as an identity.
FileIdentity identity_of(const struct stat& info);

}  // namespace slipway::cache
