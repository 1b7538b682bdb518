// The files that make a folder or a tar an OCI image layout (dockerfile.md M16).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "image/assemble.h"

namespace slipway::image {

inline constexpr const char* layout_file = "oci-layout";
inline constexpr const char* layout_text = R"({"imageLayoutVersion":"1.0.0"})";
inline constexpr const char* index_file = "index.json";
inline constexpr const char* blobs_folder = "blobs/sha256";

/// Annotations of an entry of index.json that name its image: containerd's and docker's full
/// reference, and the tag that OCI tools ask for.
inline constexpr const char* full_name_annotation = "io.containerd.image.name";
inline constexpr const char* tag_annotation = "org.opencontainers.image.ref.name";

/// index.json: an entry for each name of each output, after those of `existing` (an index.json's
/// text; empty = none) that have other names and digests. Throws Error(machine) when `existing` is
/// no index.
std::string layout_index(const std::vector<Named>& images, const std::vector<Assembled>& outputs,
                         std::string_view existing = {});

/// index.json with an entry for one document under a tag, in the place of that tag's last one.
std::string layout_index(const Document& top, const std::string& tag, std::string_view existing);

/// docker-archive's manifest.json (M17).
std::string docker_manifest(const std::vector<Named>& images,
                            const std::vector<Assembled>& outputs);

/// "blobs/sha256/<hex>" of a digest that was checked.
std::string blob_place(const std::string& digest);

}  // namespace slipway::image
