// A pipeline's result as it is handed on: the sealed files, and beside them the facts that AppBuild
// keeps under the seal's key.
#pragma once

#include <optional>

#include "build/request.h"
#include "engine/engine.h"

namespace slipway::build {

/// Of the store's values: AppBuild's facts by the seal's key.
inline constexpr const char* pipeline_area = "pipeline";

/// What a cache says of a sealed result: {"pipeline", "path", "content"}; empty when it is none.
/// The content is that of its files on disk: listings taken while it was made know owners
/// otherwise.
std::optional<Json> pipeline_facts(cache::Store& store, engine::Engine& engine,
                                   const std::vector<Digest>& keys, const cache::Result& result);

/// The other way: takes the listing of the files anew and keeps AppBuild's facts under the key.
/// Throws Error(outside) when the files are not those that the facts speak of.
cache::Result take_pipeline(cache::Store& store, engine::Engine& engine, const Digest& key,
                            cache::SnapshotId top, const Json& facts);

}  // namespace slipway::build
