#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace slipway {

std::string SourcePos::to_string() const {
  if (line == 0) return file;
  if (column == 0) return fmt::format("{}:{}", file, line);
  return fmt::format("{}:{}:{}", file, line, column);
}

const char* Error::what() const noexcept {
  try {
    if (text_.empty()) {
      for (auto it = context_.rbegin(); it != context_.rend(); ++it) text_ += *it + ": ";
      if (pos_) text_ += pos_->to_string() + ": ";
      text_ += cause_;
    }
    return text_.c_str();
  } catch (...) {
    return cause_.c_str();
  }
}

void fail_errno_text(int error_number, std::string doing) {
  Error error(ExitCode::machine, fmt::format("{}: {}", doing, std::strerror(error_number)));
  if (error_number == ENOSPC || error_number == EDQUOT)
    error.set_hint("free some disk space; `slipway cache prune` removes what no build needs");
  throw error;
}

}  // namespace slipway
