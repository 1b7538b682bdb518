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

 private:
  std::vector<Entry> entries_;
};

/// Puts what differs between the tree and `before` into the target's layer. Paths of `held` were
/// out of reach meanwhile: the same file there is unchanged, although it was moved. Returns files
/// and bytes written.
std::pair<uint64_t, uint64_t> store_changes(int root, const TreeState& before, LayerTarget& target,
                                            const std::set<std::string>& held = {});

}  // namespace slipway::sandbox
