// Snapshots as image layers: a reproducible tar (dockerfile.md O6-O10), compressed in chunks that
// are kept, named by the digests of its raw and of its compressed bytes. Writing the same layer
// again finds it by its snapshots, or by its listing: nothing is opened, compressed or hashed.
// After a change only chunks with changed members are compressed, and both SHA-256 go on from where
// the first changed chunk begins.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/compress.h"
#include "image/image.h"

namespace slipway::image {

/// A layer that is no difference of snapshots: its listing, and where its files come from. The
/// listing, `patch_key` and the compressor decide its bytes.
struct LayerContents {
  archive::LayerListing listing;
  archive::OpenFiles open;  ///< by the listing's paths
  /// Bytes that replace a file's own (members are numbered as in the listing); asked for only when
  /// the layer must be written. `patch_key` stands for them; unset = there are none.
  std::function<std::vector<archive::TarPatch>()> patches;
  Digest patch_key;
};

struct LayerInput {
  /// The chain of snapshots, topmost first; the layer is what `own` of them add to the rest.
  std::vector<cache::SnapshotId> stack;
  size_t own = 1;
  /// A listing in the store (cache::Store::put_tree) of these very snapshots, paths as in the
  /// layer, whose digests need not be read again; unset = none. It is no part of the layer's
  /// identity.
  Digest known;
  archive::Codec codec = archive::Codec::gzip_quick;
  /// Times newer than this are set to it (rewrite-timestamp, O9); seconds; absent = as they are.
  std::optional<int64_t> clamp_time;
  /// When set, the layer is this, whatever the stack holds. The caller's.
  const LayerContents* contents = nullptr;
};

struct LayerOptions {
  Cancel* cancel = nullptr;
  std::function<void(uint64_t raw_done, uint64_t raw_total)> on_progress;  ///< of one layer
  std::function<void(const std::string&)> on_warning;
};

/// Layers in the order of `inputs`; each is an artifact of the store, under `lease`. New chunks of
/// all of them go into one pack.
std::vector<Layer> write_layers(cache::Store& store, cache::Lease& lease, const Trees& trees,
                                const std::vector<LayerInput>& inputs,
                                const LayerOptions& options = {});

/// The compression of layers of this OCI or Docker media type; empty for what is no layer type.
std::optional<archive::Codec> codec_of(std::string_view media_type);
/// The media type of a layer written by us.
const char* layer_media_type(archive::Codec codec, bool docker_types);

}  // namespace slipway::image
