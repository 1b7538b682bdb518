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

/// While it lives, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on instead of
/// being obeyed: each becomes one byte, its number, to be read from fd(). The third that asks for
/// an end (HUP, INT, QUIT, TERM) also requests process_cancel(): who does not listen is ended. One
/// at a time, made and destroyed by the main thread; the handlers from before come back.
class SignalRelay {
 public:
  SignalRelay();
  ~SignalRelay();
  SignalRelay(const SignalRelay&) = delete;
  SignalRelay& operator=(const SignalRelay&) = delete;
  int fd() const { return read_.get(); }

 private:
  struct Saved;
  Fd read_, write_;
  std::unique_ptr<Saved> saved_;
};

}  // namespace slipway
