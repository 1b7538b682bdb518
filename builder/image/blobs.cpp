#include "image/blobs.h"

#include "base/error.h"

namespace slipway::image {
namespace {

// Only what is a digest becomes a file's name (threat 19).
std::string hex_of(const std::string& digest) {
  SLIPWAY_CHECK(oci::is_digest(digest));
  return digest.substr(std::string_view("sha256:").size());
}

}  // namespace

void write_layer(cache::Store& store, cache::Lease& lease, const Layer& layer, int fd) {
  try {
    if (layer.artifact) {
      const auto artifact = store.find_artifact(layer.artifact, lease);
      if (!artifact)
        throw Error(ExitCode::machine, "the store has lost it")
            .set_hint("run the build again: it is made anew");
      store.write_artifact(*artifact, fd);
      return;
    }
    const std::string hex = hex_of(layer.blob.digest);
    lease.protect_blob(hex);
    const Fd blob = store.open_blob(hex);
    if (copy_bytes(blob.get(), fd, layer.blob.size_bytes) != layer.blob.size_bytes)
      fail(ExitCode::machine, "the store's copy is shorter than it was");
  } catch (Error& error) {
    error.add_context("writing layer " + layer.blob.digest);
    throw;
  }
}

bool has_layer(cache::Store& store, cache::Lease& lease, const Layer& layer) {
  if (layer.artifact) return store.find_artifact(layer.artifact, lease).has_value();
  const std::string hex = hex_of(layer.blob.digest);
  lease.protect_blob(hex);
  return store.has_blob(hex);
}

std::map<std::string, BlobSource> blobs_of(const std::vector<Assembled>& outputs) {
  std::map<std::string, BlobSource> blobs;
  const auto add = [&](const Document& document) {
    blobs.try_emplace(document.descriptor.digest,
                      BlobSource{.document = &document, .size_bytes = document.bytes.size()});
  };
  for (const Assembled& output : outputs) {
    for (const Assembled::OnePlatform& one : output.platforms) {
      for (const Layer& layer : one.layers)
        blobs.try_emplace(layer.blob.digest,
                          BlobSource{.layer = &layer, .size_bytes = layer.blob.size_bytes});
      add(one.config);
      add(one.manifest);
    }
    if (output.index) add(*output.index);
  }
  return blobs;
}

void write_blob(cache::Store& store, cache::Lease& lease, const BlobSource& blob, int fd) {
  if (blob.document != nullptr)
    write_all(fd, blob.document->bytes);
  else
    write_layer(store, lease, *blob.layer, fd);
}

}  // namespace slipway::image
