// Where the two digests of a layer stood after each chunk. SHA-256 cannot be put together from
// parts, but it can go on from a kept state: the chunks before the first changed one need not be
// read again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "archive/compress.h"
#include "base/digest.h"
#include "base/json.h"

namespace slipway::image {

/// The states after one chunk.
struct HashState {
  size_t chunk = 0;  ///< its number in the layer
  Digest prefix;     ///< of the keys of all chunks up to it
  std::string raw;   ///< Sha256::save() of the tar
  std::string blob;  ///< of the compressed bytes
};

/// Digests of the keys of the first chunk, the first two, …
std::vector<Digest> chunk_prefixes(const archive::TarPlan& plan);

/// The furthest of `states` (sorted by chunk) that a layer with these prefixes goes through.
const HashState* furthest(const std::vector<HashState>& states,
                          const std::vector<Digest>& prefixes);

/// Whether the state after this chunk is worth keeping: layers of any size keep some hundred.
bool is_kept(size_t chunk, size_t chunk_count);

Json states_to_json(const std::vector<HashState>& states);
/// Throws Error(machine) on anything malformed.
std::vector<HashState> states_from_json(const Json& json);

}  // namespace slipway::image
