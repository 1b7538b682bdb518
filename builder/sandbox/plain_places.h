// Rung none has no mounts: what a step expects at an absolute path (/tmp/build_x, /app) is moved
// there before the step and back afterwards, as real directories without links. A record in the
// store tells after a crash what is ours.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "cache/store.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

class PlainPlaces {
 public:
  /// Puts the workspace's and the other mounts' content at their places. Throws Error(machine)
  /// when a place is taken by something that is not ours, or cannot be made, with the remedy.
  PlainPlaces(cache::Store& store, int snapshots, const ExecSpec& spec);
  /// Moves the workspace's content back and removes the rest.
  ~PlainPlaces();
  PlainPlaces(const PlainPlaces&) = delete;
  /// The same, reporting what fails.
  void restore();

 private:
  struct Moved {
    std::string place;         ///< absolute path on the machine
    int layer = -1;            ///< workspace upper it goes back to; -1 = removed afterwards
    std::string inside;        ///< path below the layer
    bool keep_folder = false;  ///< the folder was there before; only its entries are ours
  };
  void place_workspace(const StepMount& mount);
  void place_files(const StepMount& mount);
  void place_layers(const StepMount& mount);
  void claim(const std::string& place);
  void record();

  cache::Store& store_;
  int snapshots_;
  const ExecSpec& spec_;
  cache::Lock lock_;
  Fd upper_;
  std::vector<Moved> moved_;
};

/// Whether a layer holds everything (rung none copies instead of stacking): what stands below it in
/// a stack is already in it.
bool is_full_layer(int snapshots, SnapshotId id);
void mark_full_layer(int snapshots, SnapshotId id);
/// The stack down to and including the first full layer.
std::vector<SnapshotId> cut_at_full_layer(int snapshots, const std::vector<SnapshotId>& layers);

}  // namespace slipway::sandbox
