// Whole copies of stacks of layers, for rungs that cannot mount: what a step may write to. A copy
// that a step has left behind is the next step's root, so that a chain of steps copies its base
// once; layers that were made beside it are added to the copy.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cache/store.h"

namespace slipway::sandbox {

class RootCopies {
 public:
  /// Copies live below snapshots/, in a folder of this object's own that is made when needed and
  /// held by a lock: what killed processes left is removed.
  explicit RootCopies(cache::Store& store);
  ~RootCopies();
  RootCopies(const RootCopies&) = delete;
  RootCopies& operator=(const RootCopies&) = delete;

  /// A copy that nobody else has; removed when it goes out of scope, unless it was kept.
  class Root {
   public:
    Root(Root&&) noexcept = default;
    ~Root();
    Fd fd;
    std::string path;  ///< absolute

   private:
    friend class RootCopies;
    Root(RootCopies& owner, Fd given, std::string name, std::string full_path)
        : fd(std::move(given)), path(std::move(full_path)), owner_(owner), name_(std::move(name)) {}
    RootCopies& owner_;
    std::string name_;
  };
  /// What the stack (topmost first) shows.
  Root copy(const std::vector<cache::SnapshotId>& layers);
  /// The copy shows this stack now; a later copy() may take it.
  void keep(Root root, std::vector<cache::SnapshotId> layers);
  /// An empty folder beside the copies, on the same filesystem.
  Root empty();

 private:
  struct Kept {
    std::vector<cache::SnapshotId> layers;
    std::string name;
  };
  int folder();
  Root fresh();
  cache::Store& store_;
  std::mutex mutex_;
  std::string name_;
  Fd folder_;
  uint64_t number_ = 0;
  std::list<Kept> kept_;
};

/// Makes `root` show what it would with the layer over it: whiteouts remove, the rest is copied.
void apply_layer(int layer, int root, bool single_id);

}  // namespace slipway::sandbox
