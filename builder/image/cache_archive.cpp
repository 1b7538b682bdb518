#include "image/cache_archive.h"

#include <map>
#include <set>

#include "base/error.h"
#include "image/archive_files.h"
#include "image/layout.h"

namespace slipway::image {
namespace {

std::string hex_of(const oci::Descriptor& blob) {
  SLIPWAY_CHECK(oci::is_digest(blob.digest));
  return blob.digest.substr(std::string_view("sha256:").size());
}

}  // namespace

CacheArchive::CacheArchive(const std::filesystem::path& file, Cancel& cancel)
    : files_(std::make_unique<ArchiveFiles>(file.string())) {
  const oci::Document document =
      oci::parse_document(files_->read(index_file, oci::document_bytes_max));
  if (!document.index || document.index->manifests.size() != 1)
    fail(ExitCode::outside, "it is no cache that Slipway exported");
  const oci::Descriptor& entry = document.index->manifests.front();
  const std::string manifest = files_->read(blob_place(entry.digest), oci::document_bytes_max);
  if ("sha256:" + sha256_hex(manifest) != entry.digest)
    fail(ExitCode::outside, "its manifest is damaged");
  const oci::Descriptor config = cache_config_of(manifest);
  listing_ =
      read_cache(manifest, files_->read(blob_place(config.digest), cache_document_bytes_max));
  verify(cancel);
}
CacheArchive::~CacheArchive() = default;

void CacheArchive::verify(Cancel& cancel) {
  std::map<std::string, const oci::Descriptor*> wanted;
  std::set<std::string> names;
  for (const oci::Descriptor& layer : listing_.layers) {
    wanted[blob_place(layer.digest)] = &layer;
    names.insert(blob_place(layer.digest));
  }
  Sha256 hash;
  uint64_t size = 0;
  files_->stream(names, [&](const std::string& name, std::string_view piece) {
    cancel.check();
    if (!piece.empty()) {
      hash.update(piece.data(), piece.size());
      size += piece.size();
      return;
    }
    const auto found = wanted.find(name);
    if (found == wanted.end()) fail(ExitCode::outside, "it has {} twice", name);
    if ("sha256:" + hash.finish_hex() != found->second->digest || size != found->second->size_bytes)
      fail(ExitCode::outside, "its {} is damaged", name);
    wanted.erase(found);
    hash = Sha256();
    size = 0;
  });
  if (!wanted.empty())
    fail(ExitCode::outside, "it lacks {} of its {} blobs", wanted.size(), names.size());
}

void CacheArchive::bring_blobs(cache::Store& store, cache::Lease& lease, Cancel& cancel) {
  std::map<std::string, std::string> wanted;  // place → hex
  std::set<std::string> names;
  for (const oci::Descriptor& layer : listing_.layers) {
    const std::string hex = hex_of(layer);
    lease.protect_blob(hex);
    if (store.has_blob(hex)) continue;
    wanted[blob_place(layer.digest)] = hex;
    names.insert(blob_place(layer.digest));
  }
  std::optional<cache::BlobWriter> writer;
  files_->stream(names, [&](const std::string& name, std::string_view piece) {
    cancel.check();
    if (!writer) writer.emplace(store.write_blob());
    if (!piece.empty()) return writer->write(piece.data(), piece.size());
    (void)writer->commit(wanted.at(name));
    writer.reset();
  });
}

}  // namespace slipway::image
