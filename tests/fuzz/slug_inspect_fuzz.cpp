// links: slug
#include <libdeflate.h>
#include <sys/mman.h>
#include <unistd.h>

#include <memory>

#include "base/fd.h"
#include "slug/slug.h"
#include "tar_checksums.h"
#include "target.h"

using namespace slipway;

namespace {

struct CompressorDeleter {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};

// Mutated gzip fails at its checksum, so what is no gzip is compressed first.
std::string as_slug(const uint8_t* data, size_t size) {
  if (size >= 2 && data[0] == 0x1f && data[1] == 0x8b)
    return {reinterpret_cast<const char*>(data), size};
  const std::unique_ptr<libdeflate_compressor, CompressorDeleter> compressor(
      libdeflate_alloc_compressor(1));
  const std::string tar = with_tar_checksums(data, size);
  std::string slug(libdeflate_gzip_compress_bound(compressor.get(), tar.size()), '\0');
  slug.resize(
      libdeflate_gzip_compress(compressor.get(), tar.data(), tar.size(), slug.data(), slug.size()));
  return slug;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string slug = as_slug(data, size);
  const Fd memory(memfd_create("fuzz", MFD_CLOEXEC));
  write_all(memory.get(), slug);
  demand(lseek(memory.get(), 0, SEEK_SET) == 0);
  slug::Manifest manifest;
  manifest.buildpacks = {{.name = "pack"}};
  const slug::WriterOf writers = {{"lib/app.rb", 0}};
  expect_answer(data, size, ExitCode::app_files, [&](std::string_view) {
    const slug::Inspection found = slug::inspect_slug(memory.get(), &manifest, &writers);
    uint64_t folders = 0, files = 0;
    for (const auto& row : found.folders) {
      folders += row.compressed_bytes;
      files += row.files;
    }
    demand(folders <= found.compressed_bytes && found.compressed_bytes <= slug.size());
    demand(files == found.files);
    demand(found.largest.size() <= 10);
    (void)dump_json(found.to_json());
  });
  return 0;
}
