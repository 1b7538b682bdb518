// What the worker does to snapshot directories, as plain functions on directory descriptors: they
// run inside the worker's namespaces (or, in tests and on rung none, in the caller's). A layer is
// an overlayfs upper: whiteouts are character devices 0:0, opaque directories carry
// user.overlay.opaque=y. Links are never followed, descriptors are walked with openat only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/fd.h"
#include "graph/op.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

/// Creates the directories (parents first) below the layer; modes and owners are set exactly.
/// With single_id every owner is 0.
void create_dirs(int layer, const std::vector<graph::WorkspaceOp::Dir>& dirs, bool single_id);

/// A CopyIn that writes straight below `layer`.
std::unique_ptr<CopyIn> make_layer_writer(int layer, bool single_id);

/// Lists a stack: `layers` are descriptors of layer directories, topmost first; the first
/// `fresh_layers` of them are walked, what they do not touch below `path` comes from `lower`.
/// Content digests are computed only for files whose identity is not in previous_state.
ScanResult scan_layers(const std::vector<int>& layers, int fresh_layers, const std::string& path,
                       const archive::Tree& lower, const std::string& previous_state);

/// Opens files of a stack without mounting it: the first layer that has the path decides; a
/// whiteout or opaque parent hides what is below. The folders of the last path stay open, so that
/// sorted paths cost a look-up of their last name each.
class LayerFiles {
 public:
  /// `layers` topmost first; the descriptors stay the caller's.
  explicit LayerFiles(const std::vector<int>& layers);
  ~LayerFiles();
  LayerFiles(const LayerFiles&) = delete;
  LayerFiles& operator=(const LayerFiles&) = delete;
  /// Empty Fd when absent. Throws Error(machine) for what is no regular file.
  Fd open(const std::string& path);

 private:
  struct Folder;
  std::vector<Folder> chain_;  ///< of the last path; the first is the stack's root
};

/// Renames from/from_path to to/to_path, creating missing parents as copies of from's parents.
/// A missing source gives an empty directory.
void move_subtree(int from, const std::string& from_path, int to, const std::string& to_path);

/// Merges a stack into one layer: hard links where owner and mode agree, else copies; whiteouts
/// and opaque markers are resolved and disappear.
void flatten_layers(const std::vector<int>& layers, int target);

/// For rungs without overlay: makes `target` a full private copy of the stack.
void copy_layers(const std::vector<int>& layers, int target);

}  // namespace slipway::sandbox
