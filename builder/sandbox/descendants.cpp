#include "sandbox/descendants.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::sandbox {

void kill_descendants() {
  const std::string list = fmt::format("/proc/self/task/{}/children", getpid());
  for (;;) {
    const std::string children = read_file_if_exists(list, 1 << 20).value_or("");
    for (const std::string& word : split(children, ' ')) {
      pid_t pid = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), pid);
      if (error == std::errc() && end != word.data() && pid > 1) kill(pid, SIGKILL);
    }
    int status = 0;
    const pid_t reaped = waitpid(-1, &status, 0);
    if (reaped < 0 && errno == ECHILD) return;
  }
}

}  // namespace slipway::sandbox
