#include "report/views.h"

#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/text.h"

namespace slipway::report {
namespace {

bool is_terminal(int fd) {
  const char* kind = std::getenv("TERM");
  return isatty(fd) == 1 && kind != nullptr && std::string_view(kind) != "dumb" && *kind != '\0';
}

}  // namespace

std::chrono::steady_clock::time_point steady_now() {
  return std::chrono::steady_clock::now();
}

std::shared_ptr<View> make_view(const std::string& name, int fd, bool explain) {
  if (name == "auto" || name == "tty")
    return is_terminal(fd) ? make_tty_view(fd, explain) : make_plain_view(fd, explain);
  if (name == "plain") return make_plain_view(fd, explain);
  if (name == "heroku") return make_heroku_view(fd, explain);
  if (name == "json") return make_json_view(fd);
  throw Error(ExitCode::usage, fmt::format("--progress: unknown view '{}'", printable(name)))
      .set_hint("use auto, tty, plain, heroku or json");
}

}  // namespace slipway::report
