#include "base/cancel.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

namespace slipway {
namespace {

void on_signal(int) {
  Cancel& cancel = process_cancel();
  if (cancel.requested()) _exit(static_cast<int>(ExitCode::interrupted));
  cancel.request();
}

}  // namespace

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
