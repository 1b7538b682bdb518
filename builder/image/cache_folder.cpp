#include "image/cache_folder.h"

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "image/layout.h"

namespace slipway::image {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY;

oci::Descriptor choose(const oci::Index& index, const std::string& wanted) {
  for (const oci::Descriptor& entry : index.manifests) {
    const auto tag = entry.annotations.find(tag_annotation);
    if (entry.digest == wanted || (tag != entry.annotations.end() && tag->second == wanted))
      return entry;
  }
  fail(ExitCode::outside, "there is no cache '{}' in it", printable(wanted));
}

}  // namespace

CacheFolder::CacheFolder(const std::filesystem::path& dir, const std::string& wanted) {
  const Fd folder = open_at_if_exists(AT_FDCWD, dir.string(), folder_flags);
  if (!folder) fail(ExitCode::outside, "there is no folder {}", printable(dir.string()));
  const Fd index = open_at_if_exists(folder.get(), index_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!index) fail(ExitCode::outside, "it is no OCI layout: index.json is missing");
  const oci::Document document =
      oci::parse_document(read_all(index.get(), oci::document_bytes_max));
  if (!document.index) fail(ExitCode::outside, "its index.json is no index");
  const oci::Descriptor entry = choose(*document.index, wanted);
  blobs_ = open_at(folder.get(), blobs_folder, folder_flags);
  const std::string manifest = read(entry, oci::document_bytes_max);
  if ("sha256:" + sha256_hex(manifest) != entry.digest)
    fail(ExitCode::outside, "the manifest {} is damaged", entry.digest);
  listing_ = read_cache(manifest, read(cache_config_of(manifest), cache_document_bytes_max));
}

Fd CacheFolder::open(const oci::Descriptor& blob) const {
  SLIPWAY_CHECK(oci::is_digest(blob.digest));
  const std::string name = blob.digest.substr(std::string_view("sha256:").size());
  // A FIFO must not hold us up.
  Fd file = open_at_if_exists(blobs_.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const auto info = stat_at(blobs_.get(), name);
  if (!file || !info || !S_ISREG(info->st_mode))
    fail(ExitCode::outside, "the blob {} is missing", blob.digest);
  return file;
}

std::string CacheFolder::read(const oci::Descriptor& blob, uint64_t size_max) const {
  return read_all(open(blob).get(), size_max);
}

}  // namespace slipway::image
