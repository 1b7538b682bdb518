// A root filesystem as plain files (`--dir`), for who wants files rather than an image
// (dockerfile.md M18).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "image/export.h"

namespace slipway::image {

/// One tree and the folder of the target it goes into ("" = the target itself; "linux_arm64" …).
struct DirTree {
  std::vector<cache::SnapshotId> stack;  ///< topmost first; empty = nothing in it
  std::string folder;
};

struct DirOptions {
  std::optional<int64_t> clamp_time;  ///< as LayerInput's
  std::function<void(const std::string&)> on_warning;
};

/// All files belong to who calls; set-user-id and set-group-id go, because they would give that
/// user's rights away. Devices and sockets are left out with a warning. A target that is absent
/// appears when it is complete; one that is there is merged into: what has the name of an entry is
/// replaced, never followed, the rest stays.
void export_dir(const ExportContext& context, const Trees& trees, const std::filesystem::path& dir,
                const std::vector<DirTree>& content, const DirOptions& options = {});

/// "linux_arm_v7"
std::string platform_folder(const oci::Platform& platform);

}  // namespace slipway::image
