// Parts of gc that others need.
#pragma once

#include "cache/state.h"

namespace slipway::cache {

/// Runs `write` (a whole transaction that deletes rows). When the disk is full it calls `make_room`
/// (may be empty), uses the space set aside, and runs it once more.
void with_reserve(const Store::State& state, Database& database, const std::function<void()>& write,
                  const std::function<void()>& make_room);

/// Removes the listings that no row names and no lease holds; returns the bytes freed. Inside an
/// exclusive session: put_tree() relies on it.
uint64_t remove_unused_trees(const Store::State& state, Database& database, const Leased& leased);

/// Removes the files and rows of packs whose writer is gone.
void remove_unfinished_packs(const Store::State& state, Database& database, const Leased& leased);

/// Removes packs that no chunk lives in, and pack files that no row names (from a lost index).
void remove_dead_packs(const Store::State& state, Database& database, const Leased& leased);

/// Copies what lives in mostly dead packs to new ones; stricter while the store is over its limit.
/// Opens transactions of its own. No other process may hold a lease: it may be about to read a
/// chunk at the place it was told.
void rewrite_poor_packs(const Store::State& state, Database& database, const Leased& leased,
                        bool over_limit);

}  // namespace slipway::cache
