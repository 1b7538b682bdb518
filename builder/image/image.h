// Images: a config and layers whose compressed bytes are in the store. Layers come from a base
// (pulled or read from a layout or archive; kept as they came) or are written here from snapshots.
//
// A layer written here is an artifact (a list of compressed chunks, cache/store.h): the same file
// contents are compressed once, and a small change compresses one chunk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "archive/codec.h"
#include "archive/layer_listing.h"
#include "archive/tar_members.h"
#include "base/cancel.h"
#include "base/fd.h"
#include "cache/store.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/reference.h"

namespace slipway::image {

/// A layer's compressed bytes, wherever they are kept.
struct Layer {
  std::string diff_id;     ///< "sha256:<hex>" of the uncompressed tar
  oci::Descriptor blob;    ///< media type, digest and size of the compressed bytes
  Digest artifact;         ///< set: chunks in the store (cache::Artifact); unset: a store blob
  uint64_t raw_bytes = 0;  ///< of the tar; 0 = unknown
};

/// One platform's image: everything an exporter needs but the bytes.
struct Image {
  oci::ImageConfig config;    ///< diff_ids agree with `layers`
  std::vector<Layer> layers;  ///< lowest first
  /// Bytes of the manifest and config when the image was brought here and is handed on unchanged.
  std::string manifest_bytes, config_bytes;
};

/// What is asked of the sandbox's worker, which this folder does not know (build/image_trees.h
/// makes it of one). Called only when something must really be read or written, from several
/// threads.
struct Trees {
  /// What the first `own` snapshots of a stack (topmost first) add to the rest. With `known` (a
  /// listing of the store, paths as in the layer) files are not read for digests it has.
  struct Request {
    std::vector<cache::SnapshotId> stack;
    size_t own = 1;
    Digest known;
    bool digests = true;
  };
  struct Listed {
    archive::LayerListing listing;
    std::vector<std::string> warnings;
  };
  std::function<Listed(const Request&)> list;
  /// Opens regular files of the stack by the paths of its listing.
  std::function<archive::OpenFiles(const std::vector<cache::SnapshotId>& stack)> open;

  /// Unpacks a layer's archive into a new snapshot; returns the listing of what it brought, without
  /// digests. See sandbox::UnpackOptions.
  struct Unpack {
    cache::SnapshotId target = 0;
    std::vector<cache::SnapshotId> lower;  ///< topmost first
    std::function<void()> wait_for_lower;
    std::string diff_id;  ///< that the decompressed bytes must have
    std::function<void(const std::string&)> on_warning;
  };
  std::function<archive::Tree(int archive, const Unpack&)> unpack;
  /// How owners are kept on disk ("mapped", "single", …): snapshots of one way are no use to
  /// another and are kept apart.
  std::string ids = "mapped";
};

}  // namespace slipway::image
