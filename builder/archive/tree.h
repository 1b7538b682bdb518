// Tree: the listing of a directory tree — what an archive's members, a snapshot and a source folder
// have in common. Paths are relative, '/'-separated bytes without "." or "..", sorted bytewise
// with parents first; the root itself is not listed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace slipway::archive {

enum class EntryType : uint8_t { file = 0, directory = 1, symlink = 2 };

struct TreeEntry {
  std::string path;
  EntryType type = EntryType::file;
  uint32_t mode = 0;  ///< permission bits only (07777)
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;     ///< of a file's content, bytes
  int64_t mtime_ns = 0;  ///< since 1970
  Digest digest;         ///< of a file's content (BLAKE2b)
  std::string link;      ///< a symlink's text, verbatim
  /// Names of one file inside this tree share a number (from 1); 0 = a single name.
  uint64_t hard_link_group = 0;
  bool operator==(const TreeEntry&) const = default;
};

struct Tree {
  std::vector<TreeEntry> entries;
  /// Sorts entries into the canonical order. Plain bytewise order of paths already puts parents
  /// before children.
  void sort();
  /// nullptr when absent; entries must be sorted.
  const TreeEntry* find(std::string_view path) const;
  /// The entries below `folder` (not the folder itself), paths relative to it.
  Tree below(std::string_view folder) const;
  uint64_t total_size() const;
};

/// Content digest of a tree: path, type, mode, uid, gid, size, link and content digest of every
/// entry — no times (dockerfile.md K7). Equal trees, equal digest.
Digest tree_digest(const Tree& tree);

/// Binary form kept in the store (versioned, length-prefixed). parse throws ExitCode::machine on
/// anything malformed.
std::string serialize_tree(const Tree& tree);
Tree parse_tree(std::string_view data);

}  // namespace slipway::archive
