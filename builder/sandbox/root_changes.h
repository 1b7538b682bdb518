// What a step changed in a whole copy of a root, for rungs without overlay: found by comparing the
// tree with how it was, and put into a layer as an overlay would have it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sandbox/layer_target.h"

namespace slipway::sandbox {

/// How a tree looks: enough to see whether anything was touched since (ctime cannot be set back).
class TreeState {
 public:
  static TreeState of(int root);
  struct Entry {
    std::string path;
    struct stat info {};
  };
  const std::vector<Entry>& entries() const { return entries_; }  ///< sorted by path
  /// Returns when what is written from now on has a later time than anything here.
  void settle() const;

 private:
  std::vector<Entry> entries_;
};

/// Gives each name of a file with several a file of its own, as writing through one of them does on
/// an overlay, where the others keep what they were. True when there were any.
bool separate_names(int root, const TreeState& state);

/// Puts what differs between the tree and `before` into the target's layer. Paths of `held` were
/// out of reach meanwhile: the same file there is unchanged, although it was moved. Returns files
/// and bytes written.
std::pair<uint64_t, uint64_t> store_changes(int root, const TreeState& before, LayerTarget& target,
                                            const std::set<std::string>& held = {});

}  // namespace slipway::sandbox
