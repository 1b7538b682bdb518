#include "base/error.h"
#include "base/text.h"
#include "build/run.h"
#include "cli/command.h"

namespace slipway::cli {

std::function<int()> setup_run(CLI::App& app, Environment& environment) {
  struct Flags {
    build::RunRequest request;
    SandboxOptions sandbox;
    ConfigOptions config;
    RegistryOptions registries;
    std::vector<std::string> command;
    std::string network = "host";
    int port = 0;
  };
  auto flags = std::make_shared<Flags>();
  app.add_option("TARGET", flags->request.target, "a slug file, or the name of a built app")
      ->required();
  app.add_option("COMMAND", flags->command,
                 "a process type, a command quoted as one word, or -- and a command in several");
  app.add_option("--port", flags->port,
                 "PORT for the web process (default: 5000 or the next free)");
  app.add_option("--stack", flags->request.stack, "stack to run on (default: the build's)");
  app.add_option("--network", flags->network, "host (default), open or none");
  flags->config.declare(app);
  flags->sandbox.declare(app, false);
  flags->registries.declare(app, true);
  return [flags, &environment] {
    build::RunRequest& request = flags->request;
    request.config = flags->config.parsed(nullptr);
    request.isolation = flags->sandbox.parsed_isolation();
    request.limits = flags->sandbox.parsed_limits();
    request.network = parse_network(flags->network);
    if (flags->port != 0) request.port = flags->port;
    // RUN-5: several words become one shell text; their boundaries are kept.
    request.is_words = environment.had_double_dash();
    if (flags->command.size() == 1 && !request.is_words) {
      request.command = flags->command[0];
    } else if (!flags->command.empty()) {
      std::vector<std::string> words;
      for (const std::string& word : flags->command) words.push_back(shell_quote(word));
      request.command = join(words, " ");
      request.is_words = true;
    }
    environment.show_progress("heroku", false);
    build::Session session = environment.session();
    session.registries = flags->registries.parsed();
    return build::run_app(session, request);
  };
}

}  // namespace slipway::cli
