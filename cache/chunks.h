// Parts of the chunk store that gc and verify need.
#pragma once

#include "cache/state.h"

namespace slipway::cache {

std::string pack_name(uint64_t pack);
/// Reads the chunk into `data`; returns what is wrong with it, empty when nothing is.
std::string check_chunk(int pack, const ChunkRef& ref, std::string& data);
void drop_artifact(Database& database, const Digest& id);

}  // namespace slipway::cache
