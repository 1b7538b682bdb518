#include "build/debug_shell.h"

#include <unistd.h>

#include "base/cancel.h"
#include "base/text.h"

namespace slipway::build {

void debug_shell(sandbox::Worker& worker, const sandbox::ExecSpec& failed) {
  sandbox::ExecSpec spec = failed;
  // What failed is shown, and stands ready to be typed again.
  spec.argv = {
      "/bin/bash", "-c",
      "printf 'This is the failed step. What ran:\\n%s\\nexit ends the build.\\n' \"$1\" >&2"
      "; exec /bin/bash -i",
      "bash", ""};
  for (const std::string& word : failed.argv)
    spec.argv.back() += (spec.argv.back().empty() ? "" : " ") + shell_quote(word);
  const char* terminal = std::getenv("TERM");
  spec.env.emplace_back("TERM", terminal != nullptr ? terminal : "xterm");
  spec.terminal = true;
  spec.timeout.reset();
  sandbox::ExecIo io;
  io.stdin_fd = STDIN_FILENO;
  io.stdout_fd = STDERR_FILENO;
  io.stderr_fd = STDERR_FILENO;
  (void)worker.exec(spec, io, process_cancel());
}

}  // namespace slipway::build
