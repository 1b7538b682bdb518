// Images as bases: layers verified and unpacked into snapshots that all images with the same lower
// layers share (by chain id); the compressed blobs are kept in the store, so that a base is pushed
// and exported as it came.
//
// Nothing is visible before it was verified as a whole (threat 20): a blob by its digest, a
// snapshot by the diff id of the very bytes that were unpacked, the config by the manifest, the
// manifest by who names it. Layers are unpacked side by side; one waits for those below it only
// when its archive leaves something to them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "image/image.h"

namespace slipway::image {

struct ImportContext {
  cache::Store& store;
  cache::Lease& lease;
  const Trees& trees;
  Cancel& cancel;
  std::function<void(const std::string&)> on_warning;
  /// Blobs done and to do, in bytes; from several threads, by one at a time.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
};

struct Imported {
  Image image;                     ///< the documents' bytes are set
  cache::SnapshotId snapshot = 0;  ///< the topmost; 0 = the image has no layers
  std::string chain_id;            ///< "sha256:<hex>" of all layers (M9); empty = no layers
  /// Of the manifest; of the config where there is none (docker-archive).
  std::string digest;
};

/// Gives a blob of the image: a regular file at offset 0. Its bytes need not be verified: they are
/// here. May wait until it has come; called from several threads. Not called for what the store
/// has.
using OpenBlob = std::function<Fd(const oci::Descriptor&)>;

/// Of an image whose manifest and config were read already (the config has the digest that the
/// manifest says: checked again). Throws Error(outside) for what is no image, lies about a digest
/// or size, or whose layers and diff ids do not agree.
Imported import_image(const ImportContext& context, const std::string& manifest_bytes,
                      const std::string& config_bytes, const OpenBlob& open);

/// Of an image whose config and layers agree, unpacked from the store's own layers: one that was
/// put together without ever being a snapshot. `digest` stays empty.
Imported unpack_image(const ImportContext& context, const Image& image);

/// The snapshots that layers with these diff ids were written from, one each: an image that begins
/// with them is unpacked onto `top`. `ids` as in Trees.
void remember_layers(cache::Store& store, const std::string& ids,
                     const std::vector<std::string>& diff_ids, cache::SnapshotId top);

/// Where an image comes from: "oci:<dir>[:<tag>]", "oci-archive:<file>[:<tag>]",
/// "docker-archive:<file>[:<reference>]" (skopeo's names; "oci-layout:" is "oci:"). Instead of a
/// tag a digest: "oci:<dir>@sha256:<hex>".
struct LocalSource {
  enum class Kind : uint8_t { oci, oci_archive, docker_archive } kind = Kind::oci;
  std::string path;
  std::string tag;  ///< tag, full name or digest; empty = the only one
  std::string to_string() const;
};
/// Empty when the text begins with none of these words. Throws Error(usage) when the path is
/// missing.
std::optional<LocalSource> parse_local_source(const std::string& text);

/// Throws Error(outside) when it is none, has no such image (naming those it has), or none for the
/// platform.
Imported import_local(const ImportContext& context, const LocalSource& source,
                      const oci::Platform& platform);

/// The chain ids of layers with these diff ids (M9).
std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids);

}  // namespace slipway::image
