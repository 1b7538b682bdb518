// diff_layers(): what an image layer must hold so that the rest of a stack with the layer over it
// shows what the whole stack shows (dockerfile.md O1-O6, O8). Nothing is mounted.
//
//   - A whiteout stands only for a path that the rest has; an opaque folder becomes one whiteout
//     for each of its names that the rest has and the layer has not.
//   - A folder counts as changed by its own attributes, never by its time; an entry that was copied
//     up and is equal in all (content compared where times have no fraction) is left out. Folders
//     on the way to an entry are listed with it.
//   - Names of one file are hard links within the layer; a file of the rest that got another name
//     is listed whole under the new one.
#pragma once

#include <string>
#include <vector>

#include "archive/layer_listing.h"
#include "archive/tree.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

struct LayerDiffOptions {
  /// The own layers hold everything: what they lack was removed.
  bool own_is_whole = false;
  /// Owners are not kept where only one id is used (rung none): all is 0:0.
  bool root_owns_all = false;
  /// false = no file is read.
  bool digests = true;
};

/// `own` and `rest` are descriptors of layer directories, topmost first; `known` as in
/// LayerRequest. Throws Error(build_failed) for a name that begins with ".wh.": in an image it
/// would hide another.
LayerResult diff_layers(const std::vector<int>& own, const std::vector<int>& rest,
                        const archive::Tree& known, const LayerDiffOptions& options);

}  // namespace slipway::sandbox
