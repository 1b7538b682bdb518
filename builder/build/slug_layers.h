// How an app's tree is parted into image layers: each path is in one of them (its folders are
// repeated above it), so that nothing is ever hidden, and what changes together is uploaded
// together. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "archive/layer_listing.h"
#include "archive/tree.h"
#include "slug/members.h"

namespace slipway::build {

/// Who a process of the image is (heroku.md SLUG-3).
inline constexpr uint32_t app_uid = 1000, app_gid = 1000;

struct SlugLayer {
  std::string title;                           ///< "dependencies of elixir"
  archive::LayerListing listing;               ///< below app/
  std::vector<slug::PycCandidate> candidates;  ///< .pyc files of this layer, entries of the tree
  std::map<size_t, size_t> member_of;  ///< tree entry of a candidate → place in the listing
};

struct SlugParts {
  /// By pack in their order: what it wrote to folders of dependencies. Times are fixed.
  std::vector<SlugLayer> dependencies;
  SlugLayer output;  ///< whatever else packs wrote
  SlugLayer source;  ///< what nobody wrote
};

/// A pack as images name it: of a folder of this machine only the last part.
std::string pack_name(const std::string& display);

/// `writers`: path → the pack that wrote it last; absent = the source. Layers may be empty. Owner,
/// modes and times are a slug's, but that all belongs to app.
SlugParts part_slug(const archive::Tree& tree, const std::map<std::string, std::string>& writers,
                    const std::vector<std::string>& packs, int64_t source_time);

}  // namespace slipway::build
