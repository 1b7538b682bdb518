// Parts of gc that others need.
#pragma once

#include "cache/state.h"

namespace slipway::cache {

/// Removes the listings that no row names and no lease holds; returns the bytes freed. Inside an
/// exclusive session: put_tree() relies on it.
uint64_t remove_unused_trees(const Store::State& state, Database& database, const Leased& leased);

/// Removes the files and rows of packs whose writer is gone.
void remove_unfinished_packs(const Store::State& state, Database& database, const Leased& leased);

}  // namespace slipway::cache
