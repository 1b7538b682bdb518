// Chunked, parallel, cached compression of a tar stream: multi-member gzip (RFC 1952). A chunk is a
// run of whole members (or a slice of one big file) of about 4 MiB whose limits depend on content
// only; its key covers the member headers and file digests, so an unchanged chunk is neither read
// nor compressed again. Output order is fixed; memory is bounded by the window of chunks in flight.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/cancel.h"
#include "base/fd.h"

namespace slipway::archive {

/// "gzip libdeflate 1.14 level 6 chunker 1": part of every chunk key and of manifests.
std::string compressor_name();

struct TarSource {
  /// Members in archive order, final path, mode, owner and mtime (seconds) as they shall appear.
  std::vector<TreeEntry> members;
  /// Paths to open for members, in the same order (they differ from the archive's paths).
  std::vector<std::string> open_paths;
  /// Opens several files at once.
  std::function<std::vector<Fd>(const std::vector<std::string>&)> open;
};

struct Chunk {
  Digest key;
  std::string compressed;   ///< empty when it was known
  uint32_t raw_size = 0;
  bool known = false;
};

struct CompressOptions {
  int threads = 0;  ///< 0 = processors this process may use
  /// True when the chunk is stored already: it will not be read or compressed.
  std::function<bool(const Digest& key)> known;
  /// Receives every chunk in order.
  std::function<void(Chunk&&)> on_chunk;
  std::function<void(uint64_t raw_done, uint64_t raw_total)> on_progress;
  Cancel* cancel = nullptr;
};

/// Plain GNU tar (heroku.md SLUG-1): ustar headers, GNU long names, no PAX, no sparse members.
/// Throws Error(machine) when a file is shorter or longer than its listing says.
void compress_tar(const TarSource& source, const CompressOptions& options);

}  // namespace slipway::archive
