#include "base/cancel.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.h"

namespace slipway {
namespace {

void on_signal(int) {
  Cancel& cancel = process_cancel();
  if (cancel.requested()) _exit(static_cast<int>(ExitCode::interrupted));
  cancel.request();
}

constexpr std::array relayed_signals{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
constexpr int ends_asked_max = 3;
std::atomic<int> relay_fd{-1}, ends_asked{0};

void relay_signal(int number) {
  const int saved_errno = errno;
  const auto byte = static_cast<unsigned char>(number);
  // A full pipe drops the signal: hundreds wait in it already.
  const bool passed = write(relay_fd.load(), &byte, 1) == 1;
  const bool asks_for_end = number != SIGUSR1 && number != SIGUSR2;
  if (asks_for_end && (++ends_asked >= ends_asked_max || !passed)) process_cancel().request();
  errno = saved_errno;
}

}  // namespace

struct SignalRelay::Saved {
  std::array<struct sigaction, relayed_signals.size()> actions{};
};

SignalRelay::SignalRelay() : saved_(std::make_unique<Saved>()) {
  (void)process_cancel();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) fail_errno("pipe");
  read_ = Fd(ends[0]);
  write_ = Fd(ends[1]);
  relay_fd = write_.get();
  ends_asked = 0;
  struct sigaction action {};
  action.sa_handler = relay_signal;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < relayed_signals.size(); ++i)
    sigaction(relayed_signals[i], &action, &saved_->actions[i]);
}

SignalRelay::~SignalRelay() {
  for (size_t i = 0; i < relayed_signals.size(); ++i)
    sigaction(relayed_signals[i], &saved_->actions[i], nullptr);
  relay_fd = -1;
}

Cancel::Cancel() : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!event_) fail_errno("eventfd");
}

void Cancel::request() noexcept {
  requested_.store(true);
  const uint64_t one = 1;
  // A failed write cannot be reported from a signal handler; the flag alone still works.
  if (write(event_.get(), &one, sizeof one) < 0) return;
}

void Cancel::check() const {
  if (requested()) throw Interrupted();
}

Cancel& process_cancel() {
  static Cancel cancel;
  return cancel;
}

void install_signal_handlers() {
  (void)process_cancel();
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace slipway
