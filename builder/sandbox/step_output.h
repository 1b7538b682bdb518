// The parent's ends of a step: pipes that carry its output to the callbacks, or the user's terminal
// that is relayed to the step's pseudo terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/fd.h"
#include "sandbox/agent_proxy.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

class StepOutput {
 public:
  StepOutput(const ExecSpec& spec, const ExecIo& io);
  ~StepOutput();
  StepOutput(const StepOutput&) = delete;
  StepOutput& operator=(const StepOutput&) = delete;

  /// Whether the step gets a pseudo terminal: asked for, and stdin and stdout are terminals.
  bool terminal() const { return terminal_; }
  /// The descriptors to hand to the step, in order stdin, stdout, stderr as far as present() says.
  std::vector<int> step_fds() const;
  uint32_t present() const;
  /// The step has its own copies now.
  void close_step_ends();

  /// Passes output on until the step's result has come on `channel` and the pipes are drained.
  /// Throws the worker's errors, and Interrupted after the step has been ended on cancel.
  ExecResult relay(int channel, Cancel& cancel);
  /// The same for a child of this process; `wait` returns the result once there is one.
  ExecResult relay_child(const std::function<std::optional<ExecResult>()>& poll_child,
                         const std::function<void(int signal)>& send_signal, Cancel& cancel);

 private:
  struct Stream {
    Fd read;   ///< our end; empty when the step writes straight to a descriptor
    Fd write;  ///< the step's end
    int direct = -1;
    const std::function<void(std::string_view)>* callback = nullptr;
  };
  void open_stream(Stream& stream, int direct,
                   const std::function<void(std::string_view)>& callback);
  /// Reads what is there; false at the end.
  static bool pump(Stream& stream);
  void drain();
  void start_terminal(Fd master);
  void relay_terminal(bool readable, bool typed);
  void copy_window_size();
  void stop_terminal();

  const ExecSpec& spec_;
  const ExecIo& io_;
  std::vector<std::unique_ptr<AgentProxy>> agents_;
  bool terminal_ = false;
  Stream out_, err_;
  Fd master_;
  bool typing_ = false;  ///< stdin of the terminal is still open
  struct SavedMode;
  std::unique_ptr<SavedMode> saved_;
};

}  // namespace slipway::sandbox
