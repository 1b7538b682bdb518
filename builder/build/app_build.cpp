// One buildpack build, start to end: plan → solve → slug → record. The order of what is printed is
// the platform's (heroku.md §1, §6).
#include "base/digest.h"
#include "base/files.h"
#include "base/text.h"
#include "build/image_outputs.h"
#include "build/pipeline_facts.h"
#include "build/pipeline_results.h"
#include "build/plan.h"
#include "build/record.h"
#include "build/slug_image.h"
#include "report/transcript.h"
#include "source/procfile.h"
#include "source/release_yaml.h"

namespace slipway::build {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string minutes_text(milliseconds limit) {
  const auto whole = std::chrono::round<std::chrono::minutes>(limit);
  return whole == limit ? fmt::format("{} minutes", whole.count()) : format_duration(limit);
}

class AppBuild {
 public:
  AppBuild(const Session& session, const BuildRequest& request, BuildRecorder& record,
           Project project)
      : session_(session), request_(request), record_(record) {
    check_buildpack_flags(request_);
    plan_ = make_plan(session_, request_, std::move(project));
  }

  BuildOutcome run(const StrategyChoice& choice) {
    out().emit(report::BuildStarted{record_.id(), plan_.app, strategy_name(choice.strategy),
                                    choice.reason, plan_.stack});
    for (const std::string& note : choice.notes) out().warning(note);
    try {
      return build();
    } catch (const Error&) {
      drop_leftovers();
      throw;
    }
  }

 private:
  BuildOutcome build();
  void announce();
  void choose_packs();
  PipelineFacts run_pipeline(const buildpack::Pipeline& pipeline);
  void run_detect(const buildpack::Pipeline& pipeline, size_t unit, PipelineFacts& facts);
  void run_compile(const buildpack::Pipeline& pipeline, size_t unit, const PipelineFacts& facts);
  void run_reports(const buildpack::Pipeline& pipeline, PipelineFacts& facts);
  std::string read_procfile(const cache::Result& sealed);
  cache::Artifact make_slug(const cache::Result& sealed, int64_t source_time);
  BuiltImage make_image(const cache::Result& sealed, const PipelineFacts& facts,
                        const source::ProcessTypes& types, int64_t time);
  void check_size(const cache::Artifact& artifact, const archive::Tree& tree);
  slug::Manifest make_manifest(const PipelineFacts& facts, const source::ProcessTypes& types,
                               const cache::Artifact& artifact, int64_t time) const;
  [[noreturn]] void reject(Error error);
  // The failed workspace goes; what cannot be removed now is stale and goes with the next build.
  void drop_leftovers() noexcept {
    try {
      if (plan_.engine && plan_.engine->worker_started()) plan_.engine->sweep();
    } catch (const std::exception&) {
      return;
    }
  }

  report::Stream& out() { return session_.stream; }

  const Session& session_;
  const BuildRequest& request_;
  BuildRecorder& record_;
  Plan plan_;
};

// ` !     Push failed` ends every rejected build (§6); the command layer adds only what to do next.
void AppBuild::reject(Error error) {
  out().plain("");
  out().error("Push failed");
  throw std::move(error).set_reported();
}

void AppBuild::announce() {
  for (const std::string& warning : plan_.warnings) out().warning(warning);
  if (!request_.secret_names.empty()) {
    for (const std::string& name : request_.secret_names)
      if (!out().mask(request_.config.at(name)))
        out().warning(
            fmt::format("{} is shorter than 8 bytes, so it cannot be masked in the output", name));
  }
  const std::string last_stack =
      plan_.state.last.is_object() ? plan_.state.last.value("stack", std::string()) : std::string();
  if (plan_.has_slugignore) {
    // Resolving the source scans it, and the scan counts what the patterns match.
    (void)plan_.engine->key(plan_.spec.source);
    out().step(fmt::format("Deleting {} files matching .slugignore patterns.",
                           plan_.ignored_count->load()));
  }
  out().step(fmt::format("Building on the {} stack", plan_.stack));
  if (plan_.stack_value != plan_.stack)
    out().detail(fmt::format("presented to buildpacks as STACK={}", plan_.stack_value));
  if (!last_stack.empty() && last_stack != plan_.stack)
    out().step(fmt::format("Stack changed from {} to {}", last_stack, plan_.stack));
}

void AppBuild::choose_packs() {
  for (const std::string& note : plan_.selection.notes) out().warning(note);
  if (plan_.selection.origin != source::Selection::Origin::detection) {
    const auto& packs = plan_.selection.buildpacks;
    if (packs.size() == 1) {
      out().step("Using buildpack: " + packs[0].display());
    } else {
      out().step("Using buildpacks:");
      for (size_t i = 0; i < packs.size(); ++i)
        out().detail(fmt::format("{}. {}", i + 1, packs[i].display()));
    }
    out().detail("(" + plan_.selection.reason + ")");
    add_units(plan_, session_, request_, packs);
    return;
  }
  out().step("Determining which buildpack to use for this app");
  const Detection detection = detect_packs(plan_, session_, request_);
  if (detection.hits.empty()) {
    for (const std::string& line : report::no_default_language()) out().plain(line);
    reject(Error(ExitCode::not_detected, "no buildpack applies to this app")
               .set_hint("`slipway detect` shows what was tried; name one with -b"));
  }
  if (detection.hits.size() > 1) {
    std::vector<std::string> names;
    for (const size_t hit : detection.hits) names.push_back(detection.rows[hit].name);
    for (const std::string& line : report::several_languages(names)) out().plain(line);
  }
  const source::BuildpackRef chosen = plan_.selection.buildpacks[detection.hits.front()];
  add_units(plan_, session_, request_, {chosen});
}

void AppBuild::run_detect(const buildpack::Pipeline& pipeline, size_t unit, PipelineFacts& facts) {
  const buildpack::Unit& pack = plan_.spec.units[unit];
  engine::Solved detected;
  try {
    detected = plan_.engine->solve(pipeline.steps[unit].detect);
  } catch (const engine::StepFailed& failed) {
    // Killed or out of time: no answer is a "no".
    detected.result.exit_code = failed.result().status.shell_code();
  }
  if (detected.result.exit_code != 0) {
    for (const std::string& line :
         report::not_compatible(pack.display, detected.result.extra.value("output", std::string())))
      out().plain(line);
    reject(Error(ExitCode::not_detected,
                 fmt::format("the buildpack {} does not apply to this app", pack.display))
               .set_hint("check the order and the list of buildpacks (" + plan_.selection.reason +
                         ")"));
  }
  // DET-1: without a name the platform prints the pack itself.
  const std::string name(trim(detected.result.stdout_text));
  facts.detected.push_back(name.empty() ? pack.display : name);
  out().step(facts.detected.back() + " app detected");
}

void AppBuild::run_compile(const buildpack::Pipeline& pipeline, size_t unit,
                           const PipelineFacts& facts) {
  try {
    (void)plan_.engine->solve(pipeline.steps[unit].compile);
  } catch (const engine::StepFailed& failed) {
    PipelineFacts ignored = facts;
    run_reports(pipeline, ignored);
    if (failed.result().timed_out) {
      out().error(fmt::format("Timed out compiling {} app ({})", facts.detected[unit],
                              minutes_text(request_.timeout)));
      out().error("See https://devcenter.heroku.com/articles/slug-compiler#time-limit");
    } else if (failed.result().out_of_memory || failed.result().status.signal != 0) {
      out().error(failed.cause());
    }
    out().plain("");
    out().error(fmt::format("Push rejected, failed to compile {} app.", facts.detected[unit]));
    Error error(
        ExitCode::build_failed,
        fmt::format("the buildpack {} failed ({})", plan_.spec.units[unit].display,
                    failed.result().timed_out ? "time limit" : failed.result().status.to_string()));
    error.set_hint(failed.hint().empty()
                       ? fmt::format("the full log is in {}; --debug opens a shell where it failed",
                                     session_.store.log_path(record_.id()).string())
                       : failed.hint());
    reject(std::move(error));
  }
}

// REP-1: telemetry only; its failures and its output concern nobody.
void AppBuild::run_reports(const buildpack::Pipeline& pipeline, PipelineFacts& facts) {
  for (size_t unit = 0; unit < plan_.spec.units.size(); ++unit) {
    try {
      const cache::Result result =
          plan_.engine->run_beside(pipeline.workspace, buildpack::report_command(plan_.spec, unit),
                                   {plan_.spec.root, pipeline.workspace});
      if (result.exit_code == 0 && !trim(result.stdout_text).empty())
        facts.reports[plan_.spec.units[unit].display] = result.stdout_text.substr(0, 64 << 10);
    } catch (const Interrupted&) {
      throw;
    } catch (const Error&) {
      continue;
    }
  }
}

PipelineFacts AppBuild::run_pipeline(const buildpack::Pipeline& pipeline) {
  PipelineFacts facts;
  plan_.engine->set_deadline(steady_clock::now() + request_.timeout);
  for (size_t unit = 0; unit < plan_.spec.units.size(); ++unit) {
    run_detect(pipeline, unit, facts);
    run_compile(pipeline, unit, facts);
  }
  const std::string& last = plan_.spec.units.back().display;
  const engine::Solved release = plan_.engine->solve(pipeline.release);
  const std::string complaint = release.result.extra.value("stderr", std::string());
  if (release.result.exit_code != 0) {
    if (!complaint.empty()) out().emit(report::Output{0, complaint});
    out().plain("");
    out().error(fmt::format("bin/release of {} failed (exit {})", last, release.result.exit_code));
    reject(Error(ExitCode::build_failed,
                 fmt::format("bin/release of {} failed (exit {})", last, release.result.exit_code))
               .set_hint("a pack without defaults prints nothing and exits 0; the full log is in " +
                         session_.store.log_path(record_.id()).string()));
  }
  if (!complaint.empty()) out().emit(report::Output{0, complaint});
  try {
    facts.defaults =
        source::parse_release_yaml(release.result.stdout_text, last).default_process_types;
  } catch (const Error& error) {
    out().plain("");
    out().error(error.what());
    reject(error);
  }
  run_reports(pipeline, facts);
  const engine::Solved sealed = plan_.engine->solve(pipeline.seal);
  facts.procfile = read_procfile(sealed.result);
  for (const buildpack::Unit& unit : plan_.spec.units) {
    const engine::Solved source = plan_.engine->solve(unit.source);
    facts.resolved.push_back({{"commit", source.result.extra.value("commit", std::string())},
                              {"sha256", source.result.extra.value("sha256", std::string())},
                              {"digest", source.result.content.hex()}});
  }
  std::map<std::string, std::string> titles;
  for (const buildpack::Unit& unit : plan_.spec.units)
    titles["compile " + unit.display] = unit.display;
  for (const auto& [path, title] : plan_.engine->writers(pipeline.workspace))
    if (const auto found = titles.find(title); found != titles.end())
      facts.writers[path] = found->second;
  return facts;
}

// PROC-1: as it is after compile, which may have made or changed it.
std::string AppBuild::read_procfile(const cache::Result& sealed) {
  const archive::Tree tree = session_.store.read_tree(sealed.trees.at(0));
  const archive::TreeEntry* entry = tree.find("Procfile");
  if (entry == nullptr || entry->type != archive::EntryType::file) return {};
  const auto reader = plan_.engine->worker().read_tree(plan_.engine->stack_of(sealed),
                                                       sealed.extra.at("path").get<std::string>());
  return read_all(reader->open({"Procfile"}).at(0).get(), 1 << 20);
}

cache::Artifact AppBuild::make_slug(const cache::Result& sealed, int64_t time) {
  const archive::Tree tree = session_.store.read_tree(sealed.trees.at(0));
  std::unique_ptr<sandbox::TreeReader> reader;
  slug::SlugInput input;
  input.tree = &tree;
  input.source_time = time;
  input.cancel = &session_.cancel;
  // Opened only if some chunk is new: an unchanged slug starts no process.
  input.open = [&](const std::vector<std::string>& paths) {
    if (!reader)
      reader = plan_.engine->worker().read_tree(plan_.engine->stack_of(sealed),
                                                sealed.extra.at("path").get<std::string>());
    return reader->open(paths);
  };
  input.on_progress = [this](uint64_t done, uint64_t total) {
    out().emit(report::Progress{0, "compressing", done, total, done == total});
  };
  out().step("Compressing...");
  const cache::Artifact artifact = slug::write_slug(session_.store, plan_.engine->lease(), input);
  check_size(artifact, tree);
  return artifact;
}

BuiltImage AppBuild::make_image(const cache::Result& sealed, const PipelineFacts& facts,
                                const source::ProcessTypes& types, int64_t time) {
  const archive::Tree tree = session_.store.read_tree(sealed.trees.at(0));
  std::unique_ptr<sandbox::TreeReader> reader;
  SlugImageInput input;
  input.stack = plan_.stack;
  input.tree = &tree;
  input.open = [&](const std::vector<std::string>& paths) {
    if (!reader)
      reader = plan_.engine->worker().read_tree(plan_.engine->stack_of(sealed),
                                                sealed.extra.at("path").get<std::string>());
    return reader->open(paths);
  };
  input.writers = facts.writers;
  for (const buildpack::Unit& unit : plan_.spec.units) input.packs.push_back(unit.display);
  input.types = types;
  input.source_time = time;
  input.app = plan_.app;
  input.commit = plan_.source.commit;
  out().step("Making the image...");
  Bases bases(session_, make_fetcher(session_), *plan_.stacks, false);
  BuiltImage built;
  built.named.platforms.push_back(make_slug_image(session_, *plan_.engine, bases, request_, input));
  built.snapshots.push_back(0);
  return built;
}

void AppBuild::check_size(const cache::Artifact& artifact, const archive::Tree& tree) {
  const uint64_t limit =
      request_.max_size_bytes != 0 ? request_.max_size_bytes : slug::hard_limit_bytes;
  if (artifact.size_bytes <= limit) return;
  std::map<std::string, uint64_t> folders;
  for (const archive::TreeEntry& entry : tree.entries)
    if (entry.type == archive::EntryType::file)
      folders[entry.path.substr(0, entry.path.find('/'))] += entry.size;
  std::vector<std::pair<uint64_t, std::string>> largest;
  for (const auto& [name, size] : folders) largest.emplace_back(size, name);
  std::sort(largest.rbegin(), largest.rend());
  largest.resize(std::min<size_t>(largest.size(), 5));
  std::vector<std::string> words;
  for (const auto& [size, name] : largest)
    words.push_back(fmt::format("{} ({})", printable(name), format_size(size)));
  for (const std::string& line : report::slug_too_large(artifact.size_bytes, limit))
    out().error(line);
  out().detail("largest folders, uncompressed: " + join(words, ", "));
  reject(Error(ExitCode::build_failed,
               fmt::format("the slug is {}, the limit is {}", format_size(artifact.size_bytes),
                           format_size(limit)))
             .set_hint("list what the app does not need at run time in .slugignore; largest: " +
                       join(words, ", ")));
}

slug::Manifest AppBuild::make_manifest(const PipelineFacts& facts,
                                       const source::ProcessTypes& types,
                                       const cache::Artifact& artifact, int64_t time) const {
  slug::Manifest manifest;
  manifest.app = plan_.app;
  manifest.stack = plan_.stack;
  manifest.commit = plan_.source.commit;
  manifest.buildpack_provided_description = facts.detected.back();
  manifest.process_types = types;
  for (size_t i = 0; i < plan_.spec.units.size(); ++i) {
    slug::BuildpackInfo info;
    info.name = plan_.spec.units[i].display;
    if (info.name.find("://") != std::string::npos) info.url = info.name;
    info.detected = facts.detected[i];
    info.commit = facts.resolved[i].value("commit", std::string());
    info.digest = facts.resolved[i].value("digest", std::string());
    manifest.buildpacks.push_back(std::move(info));
  }
  manifest.checksum = "SHA256:" + artifact.sha256;
  manifest.size_bytes = artifact.size_bytes;
  manifest.raw_size_bytes = artifact.raw_size_bytes;
  manifest.compressor = archive::compressor_name();
  static constexpr const char* rungs[] = {"oci", "chroot", "none"};
  manifest.isolation = rungs[static_cast<int>(request_.isolation)];
  manifest.source_time = time;
  return manifest;
}

BuildOutcome AppBuild::build() {
  const auto started = steady_clock::now();
  if (request_.images.wanted()) check_stack_is_image(plan_.stack);
  if (request_.on_failed_step) plan_.engine->set_on_failed_step(request_.on_failed_step);
  announce();
  choose_packs();

  const buildpack::Pipeline pipeline = buildpack::make_pipeline(plan_.spec);
  const std::string facts_name = plan_.engine->key(pipeline.seal).hex();
  const auto find_known = [&]() -> std::optional<std::pair<cache::Result, PipelineFacts>> {
    const auto sealed = plan_.engine->lookup(pipeline.seal);
    if (!sealed) return std::nullopt;
    const auto facts = session_.store.find_value(pipeline_area, facts_name);
    if (!facts) return std::nullopt;
    // They may have come with a cache of somebody else's.
    try {
      PipelineFacts known = PipelineFacts::from_json(*facts);
      const size_t units = plan_.spec.units.size();
      if (known.detected.size() == units && known.resolved.size() == units)
        return std::pair{sealed->result, std::move(known)};
    } catch (const Json::exception&) {
      out().warning("what is known of this pipeline is damaged: it runs again");
    }
    return std::nullopt;
  };

  BuildOutcome outcome;
  auto known = find_known();
  std::optional<cache::Lock> lock;
  if (!known) {
    // The same build in another process: wait for it, then take its result.
    lock.emplace(session_.store.lock("pipeline-" + facts_name, &session_.cancel, [&] {
      out().detail("Waiting: the same build is running already");
    }));
    known = find_known();
  }
  if (known) {
    outcome.cached = true;
    for (size_t i = 0; i < plan_.spec.units.size(); ++i) {
      out().step(known->second.detected[i] + " app detected");
      out().detail("Nothing changed since the last build: using its result");
    }
  } else {
    PipelineFacts facts = run_pipeline(pipeline);
    session_.store.put_value(pipeline_area, facts_name, facts.to_json());
    known = std::pair{plan_.engine->solve(pipeline.seal).result, std::move(facts)};
  }
  lock.reset();
  const auto& [sealed, facts] = *known;

  const source::Procfile procfile = source::parse_procfile(facts.procfile);
  for (const auto& warning : procfile.warnings) out().warning(warning.to_string());
  const source::ProcessTypes types = source::merge_process_types(facts.defaults, procfile.types);
  out().plain("");
  out().step("Discovering process types");
  for (const std::string& line : report::process_type_lines(procfile.types, facts.defaults))
    out().plain(line);
  out().plain("");

  const int64_t time = source_time(request_.source_date_epoch, plan_.source,
                                   plan_.engine->content(plan_.spec.source));
  const cache::Artifact artifact = make_slug(sealed, time);
  out().detail("Done: " + format_size(artifact.size_bytes));
  if (artifact.size_bytes > slug::soft_limit_bytes)
    out().error(report::slug_size_warning(artifact.size_bytes));

  outcome.build_id = record_.id();
  outcome.app = plan_.app;
  outcome.app_id = plan_.app_id;
  outcome.artifact = artifact;
  outcome.snapshot = sealed.snapshot;
  outcome.manifest = make_manifest(facts, types, artifact, time);
  std::vector<BuiltImage> images;
  if (request_.images.wanted()) images.push_back(make_image(sealed, facts, types, time));
  try {
    write_slug_file(session_.store, request_, outcome);
  } catch (const Error& error) {
    // A damaged part of the store is met here and dropped, the artifact with it: compressed again,
    // the same bytes. What went to stdout cannot be taken back.
    const bool dropped = !session_.store.find_artifact(artifact.id, plan_.engine->lease());
    if (!dropped || request_.slug == "-") throw;
    out().warning(error.cause() + "; compressing it anew");
    (void)make_slug(sealed, time);
    write_slug_file(session_.store, request_, outcome);
  }
  Json metadata = outcome.manifest.to_json();
  metadata["build"] = outcome.build_id;
  WrittenImages written;
  if (!images.empty())
    written = write_images(session_, *plan_.engine, request_, plan_, metadata, images);
  else if (request_.metadata_file)
    write_file_atomic(*request_.metadata_file, dump_json(metadata, 2) + "\n");
  outcome.image_ids = written.ids;

  RemoteCaches::Built built;
  built.pipelines = {pipeline.seal};
  plan_.caches->write(*plan_.engine, request_.cache_to, built);

  if (plan_.selection.origin == source::Selection::Origin::detection)
    plan_.state.buildpacks = {plan_.spec.units[0].display};  // SRC-13: pinned
  plan_.state.last = {{"build", record_.id()},
                      {"artifact", artifact.id.hex()},
                      {"snapshot", sealed.snapshot},
                      {"path", sealed.extra.at("path")},
                      {"tree", sealed.trees.at(0).hex()},
                      {"stack", plan_.stack},
                      {"manifest", outcome.manifest.to_json()}};
  plan_.state.save(session_.store);
  // What `run` and `slug inspect` know of the file later: found by its checksum.
  Json about = outcome.manifest.to_json();
  about["writers"] = facts.writers;
  session_.store.put_value("slug", artifact.sha256, about);
  // Nothing ran, nothing to make durable: syncfs would wait for everybody else's writes.
  if (plan_.engine->worker_started()) session_.store.sync();
  outcome.duration = duration_cast<milliseconds>(steady_clock::now() - started);

  report::BuildFinished finished;
  finished.ok = true;
  finished.duration = outcome.duration;
  finished.steps_total = plan_.engine->steps_ran() + plan_.engine->steps_cached();
  finished.steps_cached = plan_.engine->steps_cached();
  // A known result stands for all of its steps; the engine was not asked for any.
  if (outcome.cached)
    finished.steps_total = finished.steps_cached =
        static_cast<int>(graph::topological_order(pipeline.seal).size());
  finished.artifact_size = artifact.size_bytes;
  finished.next_command =
      images.empty() || request_.slug ? next_command(request_, outcome) : written.next_command;
  record_.finish_ok(finished, outcome);
  // After the work: shrink to the limit, drop what nobody needs.
  tidy_store(session_.store, *plan_.engine);
  return outcome;
}

}  // namespace

BuildOutcome build_with_buildpacks(const Session& session, const BuildRequest& request,
                                   BuildRecorder& record, Project project,
                                   const StrategyChoice& choice) {
  return AppBuild(session, request, record, std::move(project)).run(choice);
}

}  // namespace slipway::build
