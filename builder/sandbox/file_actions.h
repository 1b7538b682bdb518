// File actions (graph::FileOp) on stacks of layers: copy, mkdir, mkfile, rm, symlink, and unpacking
// of archives, as dockerfile.md §3.3 has them. Every path is resolved in-root (threats 8, 10):
// links inside a tree are followed as a step would see them, but never leave it; the last component
// of what is created or removed is not followed.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "graph/op.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

struct FileActionOn {
  graph::FileAction action;
  std::vector<int> source_layers;  ///< open layers of a copy's source tree, topmost first
  std::string source_path;         ///< plain folder inside that is the copy's root
  bool keep_origins = false;
};

struct FileTarget {
  int layer = -1;         ///< receives the changes
  std::vector<int> base;  ///< below it, topmost first
  bool single_id = false;
  /// Calls `use` with an open root in which the layer and its base are merged and can be written;
  /// for unpacking. Not needed without a base.
  std::function<void(const std::function<void(int root)>& use)> merged;
};

/// Applies the actions in order. Throws Error(app_files) for a copy source that is missing, naming
/// what is near it, and for what cannot be done as asked.
FileResult apply_file_actions(const FileTarget& target, const std::vector<FileActionOn>& actions);

}  // namespace slipway::sandbox
