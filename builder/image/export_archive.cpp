// OCI archives and docker-archives: a tar of the layout, written in one go.
#include <unistd.h>

#include "archive/layer_header.h"
#include "archive/tar_header.h"
#include "base/error.h"
#include "base/files.h"
#include "image/blobs.h"
#include "image/cache_archive.h"
#include "image/export.h"
#include "image/layout.h"

namespace slipway::image {
namespace {

using archive::LayerEntry;
using archive::LayerEntryType;

class ArchiveWriter {
 public:
  explicit ArchiveWriter(int fd) : fd_(fd) {}

  void folder(const std::string& path) {
    LayerEntry entry;
    entry.type = LayerEntryType::directory;
    entry.path = path;
    entry.mode = 0755;
    header(entry);
  }
  void file(const std::string& path, std::string_view content) {
    begin(path, content.size());
    write_all(fd_, content);
    pad(content.size());
  }
  void blob(const ExportContext& context, const std::string& path, const BlobSource& blob) {
    begin(path, blob.size_bytes);
    write_blob(context.store, context.lease, blob, fd_);
    pad(blob.size_bytes);
  }
  void finish() { write_all(fd_, std::string(archive::tar_trailer_bytes, '\0')); }

 private:
  void begin(const std::string& path, uint64_t size) {
    LayerEntry entry;
    entry.path = path;
    entry.mode = 0644;
    entry.size = size;
    header(entry);
  }
  void header(const LayerEntry& entry) {
    std::string bytes;
    archive::append_layer_header(bytes, entry);
    write_all(fd_, bytes);
  }
  void pad(uint64_t size) { write_all(fd_, std::string(archive::tar_padded(size) - size, '\0')); }

  int fd_;
};

void write_archive(const ExportContext& context, int fd, const std::vector<Named>& images,
                   const std::vector<Assembled>& outputs, bool docker,
                   const std::set<std::string>& left_out = {}) {
  ArchiveWriter archive(fd);
  archive.folder("blobs");
  archive.folder(blobs_folder);
  for (const auto& [digest, blob] : blobs_of(outputs)) {
    context.cancel.check();
    if (left_out.contains(digest)) continue;
    archive.blob(context, blob_place(digest), blob);
  }
  archive.file(index_file, layout_index(images, outputs));
  if (docker) archive.file("manifest.json", docker_manifest(images, outputs));
  archive.file(layout_file, layout_text);
  archive.finish();
}

std::vector<Assembled> assemble_all(const std::vector<Named>& images, bool docker) {
  std::vector<Assembled> outputs;
  for (const Named& named : images) {
    if (docker && named.platforms.size() != 1)
      throw Error(ExitCode::usage, "a docker-archive holds one platform an image")
          .set_hint("build one platform, or write an OCI layout or archive");
    outputs.push_back(assemble(named));
  }
  return outputs;
}

std::vector<Published> export_archive(const ExportContext& context, const fs::path& file,
                                      const std::vector<Named>& images, bool docker) {
  std::vector<Assembled> outputs = assemble_all(images, docker);
  if (file == "-") {
    if (isatty(STDOUT_FILENO) != 0)
      throw Error(ExitCode::usage, "an archive is not written to a terminal")
          .set_hint("redirect the output, or name a file");
    write_archive(context, STDOUT_FILENO, images, outputs, docker);
  } else {
    try {
      AtomicFile target(file);
      write_archive(context, target.fd(), images, outputs, docker);
      target.commit();
    } catch (Error& error) {
      error.add_context("writing " + file.string());
      throw;
    }
  }
  std::vector<Published> published;
  for (Assembled& output : outputs) published.push_back(std::move(output.published));
  return published;
}

}  // namespace

void write_cache_archive(const ExportContext& context, const fs::path& file,
                         const CacheBundle& bundle) {
  std::map<std::string, BlobSource> blobs;
  for (const Layer& layer : bundle.layers)
    blobs[layer.blob.digest] = {&layer, nullptr, layer.blob.size_bytes};
  for (const Document* document : {&bundle.config, &bundle.manifest})
    blobs[document->descriptor.digest] = {nullptr, document, document->bytes.size()};
  AtomicFile target(file);
  ArchiveWriter archive(target.fd());
  archive.file(layout_file, layout_text);
  archive.file(index_file, layout_index(bundle.manifest, "cache", {}));
  archive.folder("blobs");
  archive.folder(blobs_folder);
  for (const auto& [digest, blob] : blobs) {
    context.cancel.check();
    archive.blob(context, blob_place(digest), blob);
  }
  archive.finish();
  target.commit();
}

std::vector<Published> export_oci_archive(const ExportContext& context, const fs::path& file,
                                          const std::vector<Named>& images) {
  return export_archive(context, file, images, false);
}

std::vector<Published> export_docker_archive(const ExportContext& context, const fs::path& file,
                                             const std::vector<Named>& images) {
  return export_archive(context, file, images, true);
}

void write_docker_archive(const ExportContext& context, int fd, const std::vector<Named>& images,
                          const std::set<std::string>& left_out) {
  write_archive(context, fd, images, assemble_all(images, true), true, left_out);
}

}  // namespace slipway::image
