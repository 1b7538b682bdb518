#include <cstdio>

#include "base/cancel.h"
#include "base/text.h"
#include "build/cache_file.h"
#include "buildpack/pipeline.h"
#include "cli/command.h"
#include "engine/engine.h"

namespace slipway::cli {
namespace {

// Directories of mapped ids are removed by the worker alone.
void remove_stale(Environment& environment) {
  if (environment.store().stale_snapshots().empty()) return;
  engine::Options options;
  options.store = &environment.store();
  options.stream = &environment.stream();
  options.cancel = &process_cancel();
  engine::Engine(std::move(options)).sweep();
}

// CACHE-4: all goes but vendor/heroku, where generated secrets lie.
void purge_app(Environment& environment, const std::string& cache_id,
               sandbox::Isolation isolation) {
  cache::Store& store = environment.store();
  const cache::SnapshotId old = store.app_cache(cache_id);
  if (old == 0) return;
  const std::string kept_folder = std::string(buildpack::cache_folder) + "/vendor/heroku";
  engine::Options options;
  options.store = &store;
  options.stream = &environment.stream();
  options.cancel = &process_cancel();
  options.isolation = isolation;
  engine::Engine engine(std::move(options));
  engine.lease().protect_snapshot(old);
  sandbox::ScanRequest scan;
  scan.tree = {0, store.chain(old)};
  scan.path = kept_folder;
  scan.digests = false;
  const archive::Tree tree = engine.worker().scan(scan).tree;
  cache::SnapshotId fresh = 0;
  if (!tree.entries.empty()) {
    const cache::SnapshotId flat = store.allocate_snapshot(engine.lease());
    engine.worker().flatten(store.chain(old), flat);
    cache::Snapshot kept;
    kept.id = fresh = store.allocate_snapshot(engine.lease());
    kept.kind = "cache";
    kept.size_bytes = tree.total_size();
    kept.files = tree.entries.size();
    engine.worker().move(flat, kept_folder, fresh, kept_folder);
    store.commit_snapshot(kept);
  }
  store.set_app_cache(cache_id, fresh);
  store.sync();
}

}  // namespace

std::function<int()> setup_cache(CLI::App& app, Environment& environment) {
  struct Flags {
    std::string keep = "0", app, file, max_size;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  app.require_subcommand(1);
  CLI::App* du = app.add_subcommand("du", "show what the store holds");
  du->add_flag("--json", flags->json, "print JSON");
  CLI::App* prune = app.add_subcommand("prune", "remove what no app's cache or stack needs");
  prune->add_option("--keep", flags->keep, "shrink to this size only, by last use")
      ->type_name("SIZE");
  CLI::App* verify = app.add_subcommand("verify", "check everything in the store");
  CLI::App* purge =
      app.add_subcommand("purge", "empty an app's build cache, but for vendor/heroku");
  purge->add_option("APP", flags->app)->required();
  CLI::App* out =
      app.add_subcommand("export", "write results, apps' caches and cache mounts into one file");
  out->add_option("FILE", flags->file)->required();
  out->add_option("--max-size", flags->max_size, "leave out what was used longest ago")
      ->type_name("SIZE");
  CLI::App* in = app.add_subcommand("import", "take over what `cache export` wrote");
  in->add_option("FILE", flags->file)->required();
  return [=, &environment] {
    if (out->parsed() || in->parsed()) {
      uint64_t size_max = 0;
      if (!flags->max_size.empty()) {
        const auto bytes = parse_size(flags->max_size);
        if (!bytes || *bytes == 0)
          fail(ExitCode::usage, "--max-size {}: not a size", printable(flags->max_size));
        size_max = *bytes;
      }
      environment.show_progress("auto", false);
      const build::Session session = environment.session();
      const build::CacheFileCounts counts =
          out->parsed() ? build::export_cache(session, flags->file, size_max)
                        : build::import_cache(session, flags->file);
      environment.stop_progress();
      fmt::print("{} {} results, {} app caches, {} cache mounts",
                 in->parsed() ? "imported" : "exported", counts.results, counts.apps,
                 counts.mounts);
      if (out->parsed()) fmt::print(" ({})", format_size(counts.size_bytes));
      if (counts.left_out > 0)
        fmt::print("; {} {}", counts.left_out, in->parsed() ? "were here" : "left out");
      fmt::print("\n");
      return 0;
    }
    cache::Store& store = environment.store();
    if (du->parsed()) {
      const cache::DiskUsage usage = store.disk_usage();
      std::vector<std::vector<std::string>> rows;
      for (const auto& row : usage.rows)
        rows.push_back(
            {row.kind, std::to_string(row.count),
             flags->json ? std::to_string(row.size_bytes) : format_size(row.size_bytes)});
      rows.push_back(
          {"total", "",
           flags->json ? std::to_string(usage.total_bytes) : format_size(usage.total_bytes)});
      print_table({"kind", "count", "size"}, rows, flags->json);
      if (!flags->json) fmt::print("store: {}\n", store.root().string());
      return 0;
    }
    if (prune->parsed()) {
      const auto keep = parse_size(flags->keep);
      if (!keep) fail(ExitCode::usage, "--keep {}: not a size", printable(flags->keep));
      const cache::Garbage garbage = store.collect(*keep);
      remove_stale(environment);
      fmt::print("freed {}\n", format_size(garbage.freed_bytes));
      return 0;
    }
    if (verify->parsed()) {
      const auto problems = store.verify();
      for (const auto& problem : problems)
        fmt::print("{}: {}{}\n", problem.what, problem.problem,
                   problem.repaired ? " (dropped; it is made again when needed)" : "");
      remove_stale(environment);
      fmt::print("{}\n", problems.empty() ? "the store is sound" : "");
      return static_cast<int>(problems.empty() ? ExitCode::ok : ExitCode::machine);
    }
    SLIPWAY_CHECK(purge->parsed());
    bool found = false;
    for (const auto& [id, value] : store.list_values("app")) {
      if (id != flags->app && value.value("name", std::string()) != flags->app) continue;
      found = true;
      for (const auto isolation : {sandbox::Isolation::oci, sandbox::Isolation::none})
        purge_app(environment, build::app_cache_id(id, isolation), isolation);
    }
    if (!found) fail(ExitCode::usage, "there is no app '{}'", printable(flags->app));
    remove_stale(environment);
    return 0;
  };
}

}  // namespace slipway::cli
