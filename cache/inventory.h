// What a store has to hand on, as lists. Reading them protects nothing: who uses an entry looks it
// up again under a lease.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cache/store.h"

namespace slipway::cache {

struct StoredResult {
  std::vector<Digest> keys;
  SnapshotId snapshot = 0;
  Digest content;
  Json extra;
};
/// The last used ones first.
std::vector<StoredResult> list_results(const Store& store);

/// Apps' CACHE_DIRs by their cache ids.
std::vector<std::pair<std::string, SnapshotId>> list_app_caches(const Store& store);

}  // namespace slipway::cache
