#include <cstdio>

#include "base/cancel.h"
#include "base/text.h"
#include "build/bases.h"
#include "build/project.h"
#include "cli/command.h"
#include "stack/stacks.h"

namespace slipway::cli {
namespace {

// Stacks are made by the same engine as builds, without an app.
struct StackWork {
  build::Session session;
  stack::Stacks stacks;
  build::Bases bases;
  engine::Engine engine;
  /// `pull`: what the names of public images stand for now.
  StackWork(Environment& environment, const RegistryOptions& registries, bool pull)
      : session(environment.session()),
        stacks(session.store, session.stream, session.cancel),
        bases(session, fetcher_for(session, registries), stacks, pull),
        engine(options(environment, "oci")) {
    bases.serve(stacks);
  }
  static fetch::Fetcher fetcher_for(build::Session& session, const RegistryOptions& registries) {
    session.registries = registries.parsed();
    return build::make_fetcher(session);
  }
  static engine::Options options(Environment& environment, const std::string& isolation) {
    SandboxOptions sandbox;
    sandbox.isolation = isolation;
    engine::Options made;
    made.store = &environment.store();
    made.stream = &environment.stream();
    made.cancel = &process_cancel();
    made.isolation = sandbox.parsed_isolation();
    made.app_id = "stacks";
    return made;
  }
};

}  // namespace

std::function<int()> setup_stack(CLI::App& app, Environment& environment) {
  struct Flags {
    std::string name, layout, run_layout, presents;
    RegistryOptions registries;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  app.require_subcommand(1);
  CLI::App* ls = app.add_subcommand("ls", "list stacks");
  ls->add_flag("--json", flags->json, "print JSON");
  CLI::App* create = app.add_subcommand(
      "create", "make or fetch a stack now, or import one from an OCI layout with --from");
  create->add_option("NAME", flags->name)->required();
  create->add_option("--from", flags->layout, "OCI layout folder of the build image");
  create->add_option("--run-from", flags->run_layout,
                     "OCI layout folder of the run image (default: the build image)");
  create->add_option("--presents", flags->presents, "STACK value (default: the name)");
  CLI::App* update =
      app.add_subcommand("update", "make a stack anew from today's packages, or fetch its image");
  update->add_option("NAME", flags->name)->required();
  CLI::App* remove = app.add_subcommand("rm", "forget a stack's layers");
  remove->add_option("NAME", flags->name)->required();
  for (CLI::App* command : {create, update}) flags->registries.declare(*command, true);
  return [=, &environment] {
    if (ls->parsed()) {
      stack::Stacks stacks(environment.store(), environment.stream(), process_cancel());
      std::vector<std::vector<std::string>> rows;
      for (const stack::Info& info : stacks.list())
        rows.push_back({info.name, info.origin, info.presents, info.made ? "yes" : "no",
                        format_size(info.run_bytes + info.build_bytes), info.created});
      print_table({"name", "origin", "STACK", "made", "size", "created"}, rows, flags->json);
      return 0;
    }
    environment.show_progress("auto", false);
    StackWork work(environment, flags->registries, update->parsed());
    if (create->parsed() && !flags->layout.empty()) {
      work.stacks.import_layout(work.engine, flags->name, flags->layout, flags->run_layout,
                                flags->presents);
    } else if (create->parsed()) {
      for (const char* variant : {"run", "build"})
        (void)work.stacks.resolve(work.engine,
                                  graph::ImageOp{"stack:" + flags->name + "/" + variant, {}});
    } else if (update->parsed()) {
      work.stacks.update(work.engine, flags->name);
    } else {
      SLIPWAY_CHECK(remove->parsed());
      work.stacks.remove(flags->name);
    }
    if (work.engine.worker_started()) work.engine.sweep();
    return 0;
  };
}

}  // namespace slipway::cli
