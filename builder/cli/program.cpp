#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/cancel.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/command.h"
#include "report/views.h"

namespace slipway::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      {"build", "build a slug or images from a source tree", setup_build},
      {"detect", "say which buildpacks apply, and why", setup_detect},
      {"plan", "show the graph of a build without running it", setup_plan},
      {"run", "run a slug or an app's last build", setup_run},
      {"slug", "inspect, compare and extract slugs", setup_slug},
      {"stack", "list, make, import and remove stacks", setup_stack},
      {"buildpack", "list the built-in buildpacks", setup_buildpack},
      {"cache", "show, shrink and check the store", setup_cache},
      {"login", "keep credentials for a registry, once it takes them", setup_login},
      {"logout", "forget credentials for a registry", setup_logout},
      {"doctor", "say what this machine offers and what is missing", setup_doctor},
      {"completion", "print a shell completion script", setup_completion},
      {"version", "print the version", setup_version},
  };
  return table;
}

void print_error(const Error& error) {
  // What was told on the output already is not told twice; what to do next is.
  if (!error.reported()) fmt::print(stderr, "error: {}\n", error.what());
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
}

struct Environment::State {
  std::unique_ptr<cache::Store> store;
  report::Stream stream;
  std::jthread ticker;
};

Environment::Environment() : state_(std::make_unique<State>()) {}
Environment::~Environment() {
  stop_progress();
}

cache::Store& Environment::store() {
  if (!state_->store) {
    state_->store = cache::Store::open(cache::Store::default_root());
    for (const std::string& warning : state_->store->warnings())
      fmt::print(stderr, "warning: {}\n", warning);
    if (const char* limit = std::getenv("SLIPWAY_CACHE_LIMIT")) {
      const auto bytes = parse_size(limit);
      if (!bytes) fail(ExitCode::usage, "SLIPWAY_CACHE_LIMIT='{}' is not a size", limit);
      state_->store->set_limit_bytes(*bytes);
    }
  }
  return *state_->store;
}

report::Stream& Environment::stream() {
  return state_->stream;
}
build::Session Environment::session() {
  return {store(), state_->stream, process_cancel(), {}};
}

void Environment::show_progress(const std::string& name, bool explain) {
  state_->stream.add_view(report::make_view(name, STDERR_FILENO, explain));
  state_->ticker = std::jthread([this](const std::stop_token& stop) {
    // A command that is done does not wait for the next tick.
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    const auto never = [] { return false; };
    while (!stop.stop_requested()) {
      wake.wait_for(lock, stop, std::chrono::milliseconds(100), never);
      if (!stop.stop_requested()) state_->stream.tick();
    }
  });
}

void Environment::stop_progress() {
  if (!state_->ticker.joinable()) return;
  state_->ticker.request_stop();
  state_->ticker.join();
}

namespace {

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Command& command : commands()) names.emplace_back(command.name);
  return names;
}

std::string help_text() {
  std::string text =
      "Slipway turns an app's source into a slug or images: it detects what the app is, runs its\n"
      "buildpacks or Dockerfiles in a sandbox with cached dependencies, and packs the result.\n\n"
      "usage: slipway COMMAND [OPTIONS]\n\n";
  for (const Command& command : commands())
    text += fmt::format("  {:<12} {}\n", command.name, command.help);
  text +=
      "\n`slipway COMMAND --help` tells a command's options.\n\n"
      "exit codes: 0 done, 1 the app's build failed, 2 wrong command line, 3 nothing detected,\n"
      "4 the app's own files are wrong, 5 something outside failed, 6 this machine can't,\n"
      "70 a bug in Slipway, 130 interrupted\n\n"
      "environment: SLIPWAY_HOME (the store), SLIPWAY_CACHE_LIMIT, SOURCE_DATE_EPOCH, NO_COLOR,\n"
      "CI, XDG_DATA_HOME, http_proxy, https_proxy, no_proxy, SSL_CERT_FILE, DOCKER_CONFIG,\n"
      "DOCKER_AUTH_CONFIG\n";
  return text;
}

int dispatch(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name.empty() || name == "help" || name == "--help" || name == "-h") {
    fmt::print("{}", help_text());
    return name.empty() ? static_cast<int>(ExitCode::usage) : 0;
  }
  const std::string wanted = name == "--version" ? "version" : name;
  for (const Command& command : commands()) {
    if (wanted != command.name) continue;
    CLI::App app(command.help, "slipway " + std::string(command.name));
    Environment environment;
    const std::function<int()> work = command.setup(app, environment);
    for (int i = 2; i < argc; ++i)
      if (std::string_view(argv[i]) == "--") environment.note_double_dash();
    try {
      app.parse(argc - 1, argv + 1);
    } catch (const CLI::CallForHelp&) {
      fmt::print("{}", app.help());
      return 0;
    } catch (const CLI::ParseError& error) {
      throw Error(ExitCode::usage, error.what())
          .set_hint(fmt::format("slipway {} --help", command.name));
    }
    const int code = work();
    environment.stop_progress();
    return code;
  }
  Error error(ExitCode::usage, fmt::format("unknown command '{}'", printable(name)));
  if (const auto near = closest(name, command_names()))
    error.set_hint(fmt::format("did you mean '{}'?", *near));
  else
    error.set_hint("slipway --help lists the commands");
  throw error;
}

}  // namespace

int run_program(int argc, char** argv) {
  install_signal_handlers();
  try {
    return dispatch(argc, argv);
  } catch (const Interrupted&) {
    fmt::print(stderr, "interrupted\n");
    return static_cast<int>(ExitCode::interrupted);
  } catch (const Error& error) {
    print_error(error);
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
    return static_cast<int>(ExitCode::machine);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: a bug in Slipway: {}\nhint: please report it with this line\n",
               error.what());
    return static_cast<int>(ExitCode::bug);
  }
}

}  // namespace slipway::cli
