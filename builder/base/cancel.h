// Cancellation: a flag with a descriptor that becomes readable, so that poll loops and child
// processes notice Ctrl-C, a time limit or a closed connection at once.
#pragma once

#include <atomic>
#include <memory>

#include "base/fd.h"

namespace slipway {

/// Shared by everything one build does. Thread-safe; request() is async-signal-safe.
class Cancel {
 public:
  Cancel();
  void request() noexcept;
  bool requested() const noexcept { return requested_.load(std::memory_order_relaxed); }
  /// Throws Interrupted when requested.
  void check() const;
  /// Becomes readable (and stays so) on request.
  int fd() const { return event_.get(); }

 private:
  std::atomic<bool> requested_{false};
  Fd event_;
};

/// The process-wide token that SIGINT, SIGTERM and SIGHUP request once install_signal_handlers()
/// ran; a second signal ends the process at once.
Cancel& process_cancel();
void install_signal_handlers();

}  // namespace slipway
