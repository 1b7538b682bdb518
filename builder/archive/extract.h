// Safe extraction of foreign archives (tar, cpio, zip; gzip, bzip2, xz, zstd) below a directory
// descriptor. Threats 8 and 21: parents are resolved in-root per entry, the last component is never
// followed, hard links go through an in-root descriptor, link text is stored verbatim.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "archive/placer.h"
#include "archive/tree.h"

namespace slipway::archive {

struct ExtractOptions {
  std::string prefix;           ///< place everything below this folder of the target
  bool strip_wrapper = false;   ///< drop one wrapping directory if the root has no bin/ (SRC-6)
  bool bin_executable = false;  ///< chmod a+x below bin/ (SRC-7)
  /// The archive is an image's layer (dockerfile.md O11): a tar and nothing else, with or without
  /// its end marker. .wh.x becomes an overlay whiteout, .wh..wh..opq makes its folder opaque, in
  /// whatever order they come. FIFOs are made; a device that may not be made hides what the layers
  /// below have, with a warning.
  bool whiteouts = false;
  /// Of a layer: those below it; null = none. Asked when an entry's folder is not in the archive
  /// (links there are followed, folders copied without what they hold) and when a hard link's
  /// target is not.
  LowerTree* lower = nullptr;
  /// Of a layer: SHA-256 (hex digits) that all of the decompressed bytes must have; empty = any.
  std::string raw_sha256;
  std::optional<std::pair<uint32_t, uint32_t>> owner;  ///< all entries
  bool keep_owner = true;        ///< chown as the archive says (needs ids); false = leave
  bool needs_end_marker = true;  ///< of a tar; without one it may have been cut short
  bool devices = false;          ///< else device nodes and FIFOs are left out with a warning
  bool digests = true;           ///< of contents, in the listing
  uint64_t size_max_bytes = 50ULL << 30;
  uint64_t entries_max = 5'000'000;
  /// Expanded over compressed size, once 1 GiB was written; gzip alone cannot pass 1032.
  uint64_t ratio_max = 1500;
  std::function<void(const std::string&)> on_warning;
  std::function<void(uint64_t bytes)> on_progress;
};

/// Extracts from `archive` (read at its current offset to the end) below `target`. Returns the
/// listing below prefix, content digests included. Throws Error(outside) when the archive is
/// malformed, cut short, over a limit, or not what raw_sha256 says; what was written by then stays
/// for the caller to drop.
///
/// What a tar means where readers differ:
///   - Absolute names lose their '/'; a ".." in a name is an error; links on the way to a name are
///     resolved with `prefix` as "/", and the listing has the real paths.
///   - A later entry replaces an earlier one; a directory over a directory only changes its
///   metadata.
///   - A hard link may come before the file it names. Its target must be in the archive, or (of a
///   layer) in the layers below, whose file is copied then.
///   - Extended attributes: user.* and security.capability stay, others and *.overlay.* are
///   dropped.
///   - A tar must have its end marker, unless needs_end_marker is off; what follows the marker or
///   the compressed stream is ignored.
///   - Wrapper (SRC-6): dropped when the root has no bin/ and either exactly one top-level
///   directory
///     has one, or a single directory is all there is at the top.
///   - Directories get their modes and times last, deepest first; files with holes stay sparse.
Tree extract(int archive, int target, const ExtractOptions& options);

}  // namespace slipway::archive
