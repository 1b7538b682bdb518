// A registry's layers on their way here: each can be taken as soon as it is complete and verified,
// so that it is unpacked while others still come.
#pragma once

#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/cancel.h"
#include "fetch/fetcher.h"

namespace slipway::build {

class LayerPull {
 public:
  /// Begins at once; `cancel` is the build's own.
  LayerPull(fetch::Fetcher fetcher, fetch::PullRequest request, const Cancel& cancel);
  /// Ends what is still under way.
  ~LayerPull();
  LayerPull(const LayerPull&) = delete;
  LayerPull& operator=(const LayerPull&) = delete;

  /// Waits for the blob: a file at offset 0, a descriptor of its own for each call. Throws what
  /// ended the pull, Interrupted, or Error(machine) for a blob that was not asked for. Called from
  /// several threads.
  Fd take(const oci::Descriptor& blob);
  /// Throws what ended the pull early, if anything did: it tells more than what failed for want of
  /// a layer.
  void rethrow_failure();

 private:
  void run(const fetch::PullRequest& request);

  const Cancel& cancel_;
  Cancel stop_;
  fetch::Fetcher fetcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Fd> files_;  // by digest; guarded by mutex_
  bool ended_ = false;               // guarded by mutex_
  std::exception_ptr failure_;       // guarded by mutex_
  std::thread thread_;
};

}  // namespace slipway::build
