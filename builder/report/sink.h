// Where a view writes: a descriptor (never closed) or a file of its own, with the one thing every
// text view must know — whether the cursor stands at the beginning of a line.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace slipway::report {

class Sink {
 public:
  /// Borrows the descriptor.
  explicit Sink(int fd) : fd_(fd) {}
  /// Owns it.
  explicit Sink(Fd fd) : owned_(std::move(fd)), fd_(owned_.get()) {}

  /// Bytes as they are; waits when the descriptor is non-blocking and full. Throws when it is gone.
  void write(std::string_view bytes);
  /// A whole line of the builder's, on a line of its own.
  void line(std::string_view text);
  /// Ends a line that was left open.
  void fresh_line() {
    if (!at_line_start_) write("\n");
  }
  bool at_line_start() const { return at_line_start_; }
  int fd() const { return fd_; }

 private:
  Fd owned_;
  int fd_ = -1;
  bool at_line_start_ = true;
};

}  // namespace slipway::report
