#include "report/sink.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace slipway::report {

void Sink::write(std::string_view bytes) {
  if (bytes.empty()) return;
  at_line_start_ = bytes.ends_with('\n');
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      // A terminal or pipe that another program made non-blocking.
      pollfd wanted{fd_, POLLOUT, 0};
      (void)poll(&wanted, 1, -1);
    } else if (errno != EINTR) {
      fail_errno("writing progress");
    }
  }
}

void Sink::line(std::string_view text) {
  std::string whole;
  if (!at_line_start_) whole += '\n';
  whole += text;
  whole += '\n';
  write(whole);
}

}  // namespace slipway::report
