// The index's tables, and what happens when the file is missing, damaged or from another boot.
#pragma once

#include "cache/state.h"

namespace slipway::cache {

/// Opens the index into state.database. A missing or damaged one is set aside as
/// index.sqlite.bad-<n> and started anew: settings and build records are carried over as far as
/// they can be read, blobs are entered again by their names, packs are dropped. Says so through
/// state.warnings. Throws Error(machine) for an index of an unknown version.
void open_index(Store::State& state);

/// Once after each start of the machine: drops what was committed before it and never synced.
void discard_unsynced(Store::State& state);

/// Highest number that any directory in snapshots/ has.
uint64_t highest_snapshot_directory(const Store::State& state);

}  // namespace slipway::cache
