#include "build/debug_shell.h"

#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "base/cancel.h"
#include "base/text.h"

namespace slipway::build {

void debug_shell(sandbox::Worker& worker, const sandbox::ExecSpec& failed) {
  // Steps of several stages may fail, and there is one terminal.
  static std::mutex terminal_mutex;
  const std::lock_guard lock(terminal_mutex);
  sandbox::ExecSpec spec = failed;
  spec.timeout.reset();
  spec.argv = {"/bin/sh", "-c", ":"};
  if (!worker.exec(spec, {}, process_cancel()).status.ok()) {
    dprintf(STDERR_FILENO, "The failed step's filesystem has no /bin/sh that runs: no shell.\n");
    return;
  }
  // What failed is shown, and stands ready to be typed again.
  spec.argv = {
      "/bin/sh", "-c",
      "printf 'This is the failed step. What ran:\\n%s\\nexit ends the build.\\n' \"$1\" >&2"
      "; if [ -x /bin/bash ]; then exec /bin/bash -i; fi; exec /bin/sh -i",
      "sh", ""};
  for (const std::string& word : failed.argv)
    spec.argv.back() += (spec.argv.back().empty() ? "" : " ") + shell_quote(word);
  const char* terminal = std::getenv("TERM");
  spec.env.emplace_back("TERM", terminal != nullptr ? terminal : "xterm");
  spec.terminal = true;
  sandbox::ExecIo io;
  io.stdin_fd = STDIN_FILENO;
  io.stdout_fd = STDERR_FILENO;
  io.stderr_fd = STDERR_FILENO;
  (void)worker.exec(spec, io, process_cancel());
}

}  // namespace slipway::build
