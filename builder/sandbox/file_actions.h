// Batched file actions (graph::FileOp) on an open root: copy, mkdir, mkfile, rm, symlink, with the
// path and metadata rules of COPY (dockerfile.md C3 to C12, C24). Destinations are resolved in the
// root, sources in their own; links never lead out of either.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "graph/op.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

class FileApplier {
 public:
  /// `root` must outlive this. With single_id owners are not set.
  FileApplier(int root, bool single_id) : root_(root), single_id_(single_id) {}
  /// `source` is the root of a copy's source, else -1. Throws Error(app_files) for a source that is
  /// missing and for a directory that meets a file.
  void apply(const graph::FileAction& action, int source);

 private:
  struct CopyContext;
  Fd make_parent(const graph::FileAction& action, const std::string& path);
  void make_directory(const graph::FileAction& action);
  void make_file(const graph::FileAction& action);
  void make_link(const graph::FileAction& action);
  void remove(const graph::FileAction& action);
  void copy(const graph::FileAction& action, int source);
  void copy_match(CopyContext& context, const std::string& path, bool into_directory);
  void copy_entry(CopyContext& context, int from, const std::string& name, int to,
                  const std::string& to_name, const std::string& to_path, size_t depth);
  void copy_contents(CopyContext& context, int from, int to, const std::string& to_path,
                     size_t depth);
  graph::Owner owner_of(const graph::FileAction& action) const;

  int root_;
  bool single_id_;
};

/// Paths below `root` that a pattern names, in lexical order (C7): the part before the first
/// wildcard is followed through links inside the root, the rest matched component by component.
std::vector<std::string> match_pattern(int root, const std::string& pattern, bool wildcards);

/// Applies a request to snapshots/<target> over its base layers, by overlay, in a mount namespace of
/// the calling process's own. The current directory is snapshots/.
void apply_files_on_overlay(SnapshotId target, const FileRequest& request, bool single_id);

}  // namespace slipway::sandbox
