// Images into files: OCI layout directories and archives, docker-archives (dockerfile.md M16, M17),
// and a root filesystem as a plain directory. Everything is written beside and renamed; a failed
// export leaves what was there. An archive's bytes depend on the images and names only.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "image/assemble.h"

namespace slipway::image {

struct ExportContext {
  cache::Store& store;
  cache::Lease& lease;
  Cancel& cancel;
};

/// Adds to an existing layout: blobs that are there are not written again, entries of the same name
/// are replaced, others stay. The directory may be absent or empty; anything else but a layout is
/// refused with Error(machine).
std::vector<Published> export_oci_layout(const ExportContext& context,
                                         const std::filesystem::path& dir,
                                         const std::vector<Named>& images);
/// A tar of the layout; `file` "-" is stdout, which must be no terminal (Error(usage)).
std::vector<Published> export_oci_archive(const ExportContext& context,
                                          const std::filesystem::path& file,
                                          const std::vector<Named>& images);
/// What `docker load` reads: the layout and manifest.json. One platform each, else Error(usage).
std::vector<Published> export_docker_archive(const ExportContext& context,
                                             const std::filesystem::path& file,
                                             const std::vector<Named>& images);

/// The same at fd, without the blobs of `left_out` (digests): for an engine that has these layers
/// and reads of an archive only what it lacks.
void write_docker_archive(const ExportContext& context, int fd, const std::vector<Named>& images,
                          const std::set<std::string>& left_out = {});

}  // namespace slipway::image
