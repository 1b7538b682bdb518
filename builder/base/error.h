// Errors and exit codes. Library code throws Error; only main() and the command layer print, exit
// or choose a status. An Error carries the exit code of the published table (see README), a cause,
// the context added on the way up, and what to do next.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace slipway {

/// Process exit codes; the table is part of the command-line contract.
enum class ExitCode : int {
  ok = 0,
  build_failed = 1,   ///< the app's build failed (a buildpack, a limit, a release phase)
  usage = 2,          ///< the command line is wrong
  not_detected = 3,   ///< no buildpack or build file applies
  app_files = 4,      ///< the app's own files are wrong
  outside = 5,        ///< network, registry, git remote, image not found
  machine = 6,        ///< this machine can't: runtime, namespaces, disk full, permissions
  bug = 70,           ///< a bug in Slipway
  interrupted = 130,  ///< Ctrl-C; nothing half-done is left
};

/// Position in a file of the user's; line and column count from 1, 0 = unknown.
struct SourcePos {
  std::string file;
  int line = 0;
  int column = 0;
  std::string to_string() const;
};

/// A user's mistake or an outside failure. Bugs are std::logic_error (exit 70).
class Error : public std::exception {
 public:
  Error(ExitCode code, std::string cause) : code_(code), cause_(std::move(cause)) {}

  /// Adds what was being done when the cause struck; the last one added is the outermost.
  Error& add_context(std::string doing) & {
    context_.push_back(std::move(doing));
    text_.clear();
    return *this;
  }
  Error&& add_context(std::string doing) && { return std::move(add_context(std::move(doing))); }
  /// What to do next; the first hint set wins, it is nearest to the cause.
  Error& set_hint(std::string hint) & {
    if (hint_.empty()) hint_ = std::move(hint);
    return *this;
  }
  Error&& set_hint(std::string hint) && { return std::move(set_hint(std::move(hint))); }
  Error& set_pos(SourcePos pos) & {
    pos_ = std::move(pos);
    text_.clear();
    return *this;
  }
  Error&& set_pos(SourcePos pos) && { return std::move(set_pos(std::move(pos))); }
  /// Marks a failure whose story has been told on the output already (a buildpack's own words).
  Error&& set_reported() && {
    reported_ = true;
    return std::move(*this);
  }

  ExitCode code() const { return code_; }
  const std::string& cause() const { return cause_; }
  const std::string& hint() const { return hint_; }
  const std::vector<std::string>& context() const { return context_; }
  const std::optional<SourcePos>& pos() const { return pos_; }
  bool reported() const { return reported_; }
  /// "file:line:col: cause" followed by " (outer: inner)" context, on one line.
  const char* what() const noexcept override;

 private:
  ExitCode code_;
  std::string cause_;
  std::vector<std::string> context_;
  std::string hint_;
  std::optional<SourcePos> pos_;
  bool reported_ = false;
  mutable std::string text_;
};

/// fail(ExitCode::usage, "unknown stack '{}'", name)
template <typename... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(code, fmt::format(text, std::forward<Args>(args)...));
}

/// Error of a system call: reads errno before anything can change it and appends its text.
/// The code is ExitCode::machine. ENOSPC and EDQUOT get a hint how to free space.
[[noreturn]] void fail_errno_text(int error_number, std::string doing);
template <typename... Args>
[[noreturn]] void fail_errno(fmt::format_string<Args...> doing, Args&&... args) {
  const int saved = errno;
  fail_errno_text(saved, fmt::format(doing, std::forward<Args>(args)...));
}

/// Thrown by Cancel::check(); main() answers with exit 130.
class Interrupted : public Error {
 public:
  Interrupted() : Error(ExitCode::interrupted, "interrupted") {}
};

/// An impossible state. Kept in release builds: a wrong artifact is worse than exit 70.
#define SLIPWAY_CHECK(condition)                                                   \
  do {                                                                             \
    if (!(condition))                                                              \
      throw std::logic_error(                                                      \
          fmt::format("{}:{}: check failed: {}", __FILE__, __LINE__, #condition)); \
  } while (0)

}  // namespace slipway
