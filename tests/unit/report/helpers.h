// What the report tests share: a file that stands for the terminal or pipe a view writes to, and a
// clock that stands still.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "report/views.h"

class Paper {
 public:
  Paper() : file_(memfd_create("paper", MFD_CLOEXEC)) {}
  int fd() const { return file_.get(); }
  std::string text() const {
    std::string all(static_cast<size_t>(lseek(fd(), 0, SEEK_END)), '\0');
    if (pread(fd(), all.data(), all.size(), 0) != static_cast<ssize_t>(all.size())) return "?";
    return all;
  }

 private:
  slipway::Fd file_;
};

struct HandClock {
  std::shared_ptr<std::chrono::steady_clock::time_point> time =
      std::make_shared<std::chrono::steady_clock::time_point>();
  void advance(std::chrono::milliseconds by) const { *time += by; }
  operator slipway::report::Clock() const {
    return [time = time] { return *time; };
  }
};
