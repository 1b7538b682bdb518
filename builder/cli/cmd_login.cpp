// login and logout. The password goes to slipway-fetch, which alone asks the registry and keeps it.
#include <poll.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>

#include "base/cancel.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/command.h"
#include "fetch/fetcher.h"
#include "oci/reference.h"

namespace slipway::cli {
namespace {

/// While it lives, what is typed is not shown.
class Silence {
 public:
  Silence() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) fail_errno("the terminal's settings");
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0) fail_errno("the terminal's settings");
  }
  ~Silence() {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
    fmt::print(stderr, "\n");
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  termios before_{};
};

/// A line of the terminal, without its end. Ctrl-C is heard.
std::string read_line() {
  std::string line;
  while (true) {
    pollfd polls[2] = {{STDIN_FILENO, POLLIN, 0}, {process_cancel().fd(), POLLIN, 0}};
    if (poll(polls, 2, -1) < 0 && errno != EINTR) fail_errno("poll");
    process_cancel().check();
    if (polls[0].revents == 0) continue;
    char c = 0;
    if (read_some(STDIN_FILENO, &c, 1) == 0 || c == '\n') return line;
    line += c;
  }
}

std::string ask(const std::string& question) {
  fmt::print(stderr, "{}: ", question);
  std::fflush(stderr);
  return read_line();
}

Fd ask_password() {
  fmt::print(stderr, "Password or token: ");
  std::fflush(stderr);
  const Silence silence;
  Fd file(memfd_create("slipway-password", MFD_CLOEXEC));
  if (!file) fail_errno("memfd_create");
  write_all(file.get(), read_line());
  if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("rewind a password");
  return file;
}

fetch::Fetcher new_fetcher(fetch::RegistrySettings settings) {
  fetch::Fetcher fetcher;
  fetcher.cancel = &process_cancel();
  fetcher.registry = std::move(settings);
  fetcher.on_note = [](const std::string& text) { fmt::print(stderr, "warning: {}\n", text); };
  return fetcher;
}

struct LoginFlags {
  std::string registry, user, password;
  bool password_stdin = false;
  RegistryOptions registries;
};

int log_in(const LoginFlags& flags) {
  if (!flags.password.empty())
    throw Error(ExitCode::usage,
                "--password is refused: every user of this machine can read a command line")
        .set_hint("give it on standard input: slipway login --password-stdin <FILE");
  fetch::LoginRequest request;
  request.domain = oci::parse_registry(flags.registry);
  request.user = flags.user;
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (flags.password_stdin && request.user.empty())
    fail(ExitCode::usage, "--password-stdin needs --username");
  if (!flags.password_stdin && !terminal)
    throw Error(ExitCode::usage, "a password cannot be asked for: standard input is no terminal")
        .set_hint("--password-stdin reads it from there");
  if (request.user.empty()) request.user = ask("User name for " + request.domain);
  Fd typed;
  if (!flags.password_stdin) typed = ask_password();
  request.password_fd = flags.password_stdin ? STDIN_FILENO : typed.get();
  const std::string kept = new_fetcher(flags.registries.parsed()).login(request);
  if (std::getenv("DOCKER_AUTH_CONFIG") != nullptr)
    fmt::print(stderr, "warning: what DOCKER_AUTH_CONFIG says comes before what was kept now\n");
  fmt::print("logged in to {}; kept in {}\n", request.domain, kept);
  return 0;
}

}  // namespace

std::function<int()> setup_login(CLI::App& app, Environment&) {
  auto flags = std::make_shared<LoginFlags>();
  app.add_option("registry", flags->registry, "the default registry where none is named")
      ->type_name("REGISTRY");
  app.add_option("-u,--username", flags->user)->type_name("USER");
  app.add_flag("--password-stdin", flags->password_stdin,
               "read the password or token from standard input");
  app.add_option("-p,--password", flags->password, "refused; use --password-stdin")
      ->type_name("PASSWORD");
  flags->registries.declare(app, false);
  return [flags] { return log_in(*flags); };
}

std::function<int()> setup_logout(CLI::App& app, Environment&) {
  auto registry = std::make_shared<std::string>();
  app.add_option("registry", *registry, "the default registry where none is named")
      ->type_name("REGISTRY");
  return [registry] {
    const std::string domain = oci::parse_registry(*registry);
    const bool erased = new_fetcher({}).logout(domain);
    fmt::print("{} {}\n", erased ? "removed the credentials for" : "there are no credentials for",
               domain);
    return 0;
  };
}

}  // namespace slipway::cli
