// Mounts of a step where nothing can be mounted: each thing is prepared beside the root and
// exchanged with what stands at its place; afterwards everything is exchanged back. What is
// read-only elsewhere can be written here, and what was written is dropped (caches excepted).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "sandbox/mounts.h"
#include "sandbox/protocol.h"
#include "sandbox/root_copies.h"

namespace slipway::sandbox {

/// What steps of this rung share.
struct ChrootHost {
  cache::Store* store = nullptr;
  Cancel* cancel = nullptr;
  int snapshots = -1, caches = -1;
  std::string resolv_conf, ca_bundle;
};

class ChrootPlaces {
 public:
  /// Puts everything in place. `root` outlives this. Throws as StepRoot does.
  ChrootPlaces(const ChrootHost& host, const ExecSpec& spec, int root, RootCopies& copies);
  ~ChrootPlaces();
  /// Puts everything back.
  void restore();
  /// Listening sockets of agent mounts, by their index in the spec.
  const std::vector<std::pair<uint64_t, Fd>>& agents() const { return agents_; }
  /// Paths in the root whose own content was set aside meanwhile.
  const std::set<std::string>& held() const { return held_; }

 private:
  struct Placed {
    Fd from, to;  ///< folders
    std::string from_name, to_name;
    timespec before[2], after;  ///< times of `to`
  };
  /// In place, a cache is one step's alone. It is taken away from the others: what a killed build
  /// had is lost, and never what stood at the place taken for it.
  struct HeldCache {
    std::string name;
    cache::Lock lock;
    Fd folder;
    std::string taken;  ///< its name beside the root
  };
  void make_devices();
  void place_text(const std::string& dest, const std::string& text, uint32_t mode);
  void place_mount(const StepMount& mount, size_t index);
  void place_cache(const StepMount& mount);
  void lock_caches();
  void return_cache(const HeldCache& cache);
  void prepare(const StepMount& mount, size_t index, const std::string& name, bool& directory);
  /// Exchanges `name` in `folder` with what the step sees at `dest`.
  void exchange(Fd folder, const std::string& name, const std::string& dest, bool directory);
  Fd beside() const;
  std::string next_name();

  const ChrootHost& host_;
  const ExecSpec& spec_;
  const int root_;
  RootCopies::Root beside_;
  MountPoints points_;
  std::vector<Placed> placed_;
  std::set<std::string> held_;
  std::vector<std::pair<uint64_t, Fd>> agents_;
  std::vector<HeldCache> caches_;
  int number_ = 0;
};

}  // namespace slipway::sandbox
