// Chunked, parallel, cached compression of a tar stream: multi-member gzip (RFC 1952), frames of
// zstd, or the tar itself. A chunk is a run of whole members (or slices of a big file) of about 4
// MiB whose limits depend on the members only; its key covers the member headers and file digests,
// so an unchanged chunk is neither read nor compressed again. Output order is fixed; memory is
// bounded by the window of chunks in flight.
//
// Limits of chunks:
//   - after a member, when the chunk has 1 MiB or more and a hash of the member's path says so,
//   with
//     a chance proportional to the member's size (4 MiB on average). The path, not the content: a
//     file that changes does not move a limit, and an added file moves at most its own chunk's.
//   - before a member that would make the chunk larger than 8 MiB.
//   - a file above 4 MiB is cut at multiples of 4 MiB from its start. A slice's key is made of the
//     file's digest, offset and length, so that it is known without reading; limits found in the
//     content (a gear hash) could keep no slice of a changed file, because its digest changed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/codec.h"
#include "archive/tar_members.h"
#include "archive/tree.h"
#include "base/cancel.h"
#include "base/fd.h"

namespace slipway::archive {

/// Bytes that replace a file's own at an offset; the key of the chunk covers them.
struct TarPatch {
  size_t member = 0;
  uint64_t offset = 0;
  std::string bytes;  ///< within the file's size
};

/// What is archived. Files with content carry their digest.
struct TarInput {
  const TarMembers* members = nullptr;
  OpenFiles open;
  /// Sorted by member, at most one for each.
  std::vector<TarPatch> patches;
  Codec codec = Codec::gzip;
};

/// The same as vectors: a slug's.
struct TarSource {
  /// Members in archive order, final path, mode, owner and mtime (seconds) as they shall appear.
  /// Files with content carry their digest.
  std::vector<TreeEntry> members;
  /// Paths to open for members, in the same order (they differ from the archive's paths).
  std::vector<std::string> open_paths;
  /// Called from the caller's thread only.
  OpenFiles open;
  std::vector<TarPatch> patches;
};

struct Chunk {
  Digest key;
  std::string compressed;  ///< empty when it was known
  uint32_t raw_size = 0;
  bool known = false;
};

/// How a source is cut into chunks: made from the listing alone, nothing is opened.
struct TarPlan {
  /// A run of bytes of one member: its header, a range of its content, its padding.
  struct Piece {
    uint32_t member = 0;
    bool header = false;
    bool trailer = false;  ///< the end of the archive; no member
    uint32_t length = 0;   ///< of content, bytes
    uint64_t offset = 0;   ///< of content
    uint32_t padding = 0;
  };
  struct Part {
    Digest key;
    uint32_t raw_size = 0;
    std::vector<Piece> pieces;
  };
  std::vector<Part> chunks;
  uint64_t raw_size = 0;
};
TarPlan plan_tar(const TarInput& input);
TarPlan plan_tar(const TarSource& source);

struct CompressOptions {
  int threads = 0;  ///< 0 = processors this process may use
  /// True when the chunk is stored already: it will not be compressed, and not be read unless
  /// on_raw wants it.
  std::function<bool(const Digest& key)> known;
  /// Receives every chunk in order, on the caller's thread.
  std::function<void(Chunk&&)> on_chunk;
  /// When set, receives the tar's own bytes chunk by chunk from chunk number `raw_from` on, in
  /// order, on a thread of its own.
  std::function<void(size_t chunk, std::string_view raw)> on_raw;
  size_t raw_from = 0;
  std::function<void(uint64_t raw_done, uint64_t raw_total)> on_progress;
  Cancel* cancel = nullptr;
};

/// `plan` is plan_tar(input). Throws Error(machine) when a file is shorter or longer than its
/// listing says.
void compress_tar(const TarInput& input, const TarPlan& plan, const CompressOptions& options);
/// Plain GNU tar (heroku.md SLUG-1): ustar headers, GNU long names, no PAX, no sparse members.
void compress_tar(const TarSource& source, const CompressOptions& options);
/// The same with a plan made before, by plan_tar(source).
void compress_tar(const TarSource& source, const TarPlan& plan, const CompressOptions& options);

}  // namespace slipway::archive
