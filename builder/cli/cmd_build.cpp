#include <cstdio>

#include "base/error.h"
#include "base/text.h"
#include "build/debug_shell.h"
#include "build/strategy.h"
#include "cli/cache_options.h"
#include "cli/command.h"
#include "cli/container_options.h"

namespace slipway::cli {
namespace {

// Flags of build, detect and plan.
struct BuildFlags {
  build::BuildRequest request;
  SandboxOptions sandbox;
  ConfigOptions config;
  ContainerFlags container;
  CacheOptions caches;
  RegistryOptions registries;
  std::string app, strategy, network = "open", slug, metadata_file, max_size, progress = "auto";
  bool explain = false, debug = false, json = false;

  void declare(CLI::App& command) {
    command.add_option("PATH", request.source,
                       "folder, tarball, git URL with #ref, bare repository, or - for "
                       "stdin (default: .)");
    command.add_option("--app", app, "the app's name (default: app.json's, else the folder's)");
    command
        .add_option("-b,--buildpack", request.buildpacks,
                    "buildpack to use, in order: built-in name, ns/name, URL[#ref] or ./folder")
        ->type_name("PACK")
        ->allow_extra_args(false);
    command.add_option("--strategy", strategy, "buildpack, dockerfile or heroku.yml")
        ->type_name("KIND");
    command.add_option("--stack", request.stack,
                       "stack to build on (`slipway stack ls`); container means images");
    command.add_option("--present", request.present, "STACK value shown to buildpacks");
    command.add_option("--network", network, "none, open or host");
    config.declare(command);
    sandbox.declare(command, true);
    registries.declare(command, true);
    command.add_flag("--no-cache", request.no_cache, "run every step, whatever is cached");
    command.add_option("--progress", progress, "auto, tty, plain, heroku or json");
  }

  build::BuildRequest parsed() {
    if (!app.empty()) request.app = app;
    if (!strategy.empty()) request.strategy = build::parse_strategy(strategy);
    container.apply(request);
    caches.apply(request);
    request.network = parse_network(network);
    request.isolation = sandbox.parsed_isolation();
    request.limits = sandbox.parsed_limits();
    request.config = config.parsed(&request.secret_names);
    if (!sandbox.timeout.empty()) {
      const auto limit = parse_duration(sandbox.timeout);
      if (!limit || limit->count() == 0)
        fail(ExitCode::usage, "--timeout {}: not a time", printable(sandbox.timeout));
      request.timeout = *limit;
    }
    if (!max_size.empty()) {
      const auto bytes = parse_size(max_size);
      if (!bytes || *bytes == 0)
        fail(ExitCode::usage, "--max-size {}: not a size", printable(max_size));
      request.max_size_bytes = *bytes;
    }
    if (!slug.empty()) request.slug = slug;
    if (!metadata_file.empty()) request.metadata_file = metadata_file;
    if (const char* epoch = std::getenv("SOURCE_DATE_EPOCH")) {
      char* end = nullptr;
      const long long value = std::strtoll(epoch, &end, 10);
      if (end == epoch || *end != '\0' || value < 0)
        fail(ExitCode::usage, "SOURCE_DATE_EPOCH='{}' is not a number of seconds", epoch);
      request.source_date_epoch = value;
    }
    if (debug) request.on_failed_step = build::debug_shell;
    return request;
  }

  build::Session session(Environment& environment) const {
    build::Session session = environment.session();
    session.registries = registries.parsed();
    return session;
  }
};

std::string how(const std::string& strategy, const std::string& stack) {
  if (strategy == build::strategy_name(build::Strategy::buildpack))
    return "with buildpacks on " + stack;
  return strategy == build::strategy_name(build::Strategy::dockerfile) ? "from a Dockerfile"
                                                                       : "from " + strategy;
}

}  // namespace

std::function<int()> setup_build(CLI::App& app, Environment& environment) {
  auto flags = std::make_shared<BuildFlags>();
  flags->declare(app);
  flags->container.declare(app);
  flags->caches.declare(app);
  app.add_option("--slug", flags->slug, "write the slug to this file; - is stdout")
      ->type_name("FILE");
  app.add_option("--metadata-file", flags->metadata_file, "write the slug's manifest as JSON")
      ->type_name("FILE");
  app.add_option("--max-size", flags->max_size, "fail when the slug is larger (default 500M)")
      ->type_name("SIZE");
  app.add_flag("--explain", flags->explain, "say for each step that ran why it was not cached");
  app.add_flag("--debug", flags->debug, "when a step fails, open a shell in its filesystem");
  return [flags, &environment] {
    const build::BuildRequest request = flags->parsed();
    if (!flags->container.quiet) environment.show_progress(flags->progress, flags->explain);
    const build::BuildOutcome outcome = build::build_app(flags->session(environment), request);
    if (flags->container.quiet && !outcome.image_ids.empty())
      fmt::print("{}\n", join(outcome.image_ids, "\n"));
    else if (!request.slug && !request.images.any())
      fmt::print("{}\n", outcome.build_id);
    return 0;
  };
}

std::function<int()> setup_detect(CLI::App& app, Environment& environment) {
  auto flags = std::make_shared<BuildFlags>();
  flags->declare(app);
  flags->container.declare(app);
  app.add_flag("--json", flags->json, "print JSON");
  return [flags, &environment] {
    const build::BuildRequest request = flags->parsed();
    environment.show_progress(flags->progress, false);
    const build::DetectOutcome outcome = build::detect_app(flags->session(environment), request);
    environment.stop_progress();
    bool any = false;
    std::vector<std::vector<std::string>> rows;
    Json list = Json::array();
    for (const auto& row : outcome.rows) {
      any = any || row.detected;
      const std::string_view first =
          trim(std::string_view(row.output)
                   .substr(0, std::min(row.output.size(), row.output.find('\n'))));
      rows.push_back({row.buildpack, row.detected ? "yes" : "no",
                      row.detected ? row.name : std::string(first)});
      list.push_back({{"buildpack", row.buildpack},
                      {"detected", row.detected},
                      {"name", row.name},
                      {"output", row.output}});
    }
    std::vector<std::vector<std::string>> image_rows;
    Json images = Json::array();
    for (const auto& image : outcome.images) {
      any = true;
      image_rows.push_back({image.name, image.dockerfile, image.target});
      images.push_back(
          {{"name", image.name}, {"dockerfile", image.dockerfile}, {"target", image.target}});
    }
    if (flags->json) {
      fmt::print("{}\n", dump_json({{"app", outcome.app},
                                    {"strategy", outcome.strategy},
                                    {"stack", outcome.stack},
                                    {"reason", outcome.reason},
                                    {"notes", outcome.notes},
                                    {"buildpacks", list},
                                    {"images", images}},
                                   2));
    } else {
      fmt::print("{} builds {}: {}\n", outcome.app, how(outcome.strategy, outcome.stack),
                 outcome.reason);
      for (const std::string& note : outcome.notes) fmt::print("note: {}\n", note);
      if (outcome.images.empty())
        print_table({"buildpack", "detected", "says"}, rows, false);
      else
        print_table({"image", "Dockerfile", "target"}, image_rows, false);
    }
    return static_cast<int>(any ? ExitCode::ok : ExitCode::not_detected);
  };
}

std::function<int()> setup_plan(CLI::App& app, Environment& environment) {
  auto flags = std::make_shared<BuildFlags>();
  flags->declare(app);
  flags->container.declare(app);
  app.add_flag("--json", flags->json, "print JSON");
  return [flags, &environment] {
    const build::BuildRequest request = flags->parsed();
    environment.show_progress(flags->progress, false);
    const Json plan = build::plan_app(flags->session(environment), request);
    environment.stop_progress();
    if (flags->json) {
      fmt::print("{}\n", dump_json(plan, 2));
      return 0;
    }
    fmt::print("{} builds {}: {}\n", plan["app"].get<std::string>(),
               how(plan["strategy"], plan["stack"]), plan["reason"].get<std::string>());
    std::vector<std::vector<std::string>> rows;
    for (const Json& step : plan["steps"])
      rows.push_back({step["op"].get<std::string>(), step["key"].get<std::string>().substr(0, 12),
                      step["cached"].get<bool>() ? "cached" : "to do",
                      step["title"].get<std::string>()});
    print_table({"op", "key", "state", "title"}, rows, false);
    return 0;
  };
}

}  // namespace slipway::cli
