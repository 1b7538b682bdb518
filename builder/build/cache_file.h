// `slipway cache export` and `import`: results, apps' caches and cache mounts as one file.
#pragma once

#include <cstdint>
#include <filesystem>

#include "build/request.h"

namespace slipway::build {

struct CacheFileCounts {
  size_t results = 0, apps = 0, mounts = 0;
  size_t left_out = 0;  ///< writing: for want of room; reading: what was here already
  uint64_t size_bytes = 0;
};

/// Apps' caches and cache mounts first, then results, the last used first, until the layers take
/// `size_max_bytes` (0 = any). What came from a remote cache stays out: the file has no scope.
CacheFileCounts export_cache(const Session& session, const std::filesystem::path& file,
                             uint64_t size_max_bytes);

/// All of the file is verified first. What the store has it keeps. Throws Error(outside) for a
/// damaged file, Error(machine) for one of a store that keeps owners another way.
CacheFileCounts import_cache(const Session& session, const std::filesystem::path& file);

}  // namespace slipway::build
