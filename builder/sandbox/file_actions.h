// File actions (graph::FileOp) on mounted trees: copy, mkdir, mkfile, rm, symlink. Every path is
// resolved in-root (threats 8, 10): links inside the tree are followed as a step would see them,
// but never leave it; the last component of what is created or removed is not followed.
#pragma once

#include <vector>

#include "graph/op.h"

namespace slipway::sandbox {

struct FileActionOn {
  graph::FileAction action;
  int source = -1;  ///< open root of a copy's source tree
};

/// Applies the actions in order below `root` (an open directory, usually a merged overlay).
/// Throws Error(app_files) for a copy source that is missing, naming what is near it.
void apply_file_actions(int root, const std::vector<FileActionOn>& actions, bool single_id);

}  // namespace slipway::sandbox
