#include "build/container_build.h"

#include <ctime>
#include <future>

#include "base/files.h"
#include "base/text.h"
#include "build/bases.h"
#include "build/container_units.h"
#include "build/image_outputs.h"
#include "build/image_trees.h"
#include "build/plan.h"
#include "build/remote_cache.h"
#include "image/layers.h"

namespace slipway::build {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string rfc3339(int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Json heroku_about(const source::HerokuYml& yml) {
  Json about = Json::object();
  Json addons = Json::array();
  for (const source::HerokuAddon& addon : yml.addons)
    addons.push_back({{"plan", addon.plan}, {"as", addon.as}});
  about["setup"] = {{"addons", addons}, {"config", yml.setup_config}};
  if (yml.release)
    about["release"] = {{"image", yml.release->image}, {"command", yml.release->line()}};
  Json run = Json::object();
  for (const source::HerokuCommand& process : yml.processes)
    run[process.name] = {{"image", process.image}, {"command", process.line()}};
  about["run"] = run;
  return about;
}

/// One unit for one platform.
struct Target {
  const ContainerUnit* unit = nullptr;
  oci::Platform platform;
  dockerfile::Compiled compiled;
};

class ContainerBuild {
 public:
  /// Without a recorder nothing may be built.
  ContainerBuild(const Session& session, const BuildRequest& request, BuildRecorder* record,
                 Project project)
      : session_(session),
        request_(request),
        record_(record),
        project_(std::move(project)),
        stacks_(session.store, session.stream, session.cancel),
        bases_(session, make_fetcher(session), stacks_, request.container.pull),
        caches_(session, make_fetcher(session), request.cache_from) {}

  BuildOutcome run(const StrategyChoice& choice) {
    out().emit(report::BuildStarted{record_->id(), project_.app, strategy_name(choice.strategy),
                                    choice.reason, container_stack});
    prepare(choice);
    try {
      return build();
    } catch (const Error&) {
      drop_leftovers();
      throw;
    }
  }

  Json describe(const StrategyChoice& choice) {
    prepare(choice);
    std::vector<graph::NodeRef> roots;
    for (const Target& target : compile_all())
      if (target.compiled.root) roots.push_back(target.compiled.root);
    return {{"app", project_.app},
            {"strategy", strategy_name(choice.strategy)},
            {"reason", choice.reason},
            {"stack", container_stack},
            {"steps", describe_steps(*engine_, roots)}};
  }

 private:
  report::Stream& out() { return session_.stream; }
  void prepare(const StrategyChoice& choice);
  std::vector<Target> compile_all();
  void hide_secrets();
  void start_engine();
  BuildOutcome build();
  Target compile(const ContainerUnit& unit, const oci::Platform& platform);
  void tell_findings(const Target& target);
  void solve(const std::vector<Target>& targets);
  [[noreturn]] void tell_failure(const Target& target, const engine::StepFailed& failed);
  image::Image make_image(const Target& target);
  std::vector<BuiltImage> make_images(const std::vector<Target>& targets);
  std::string created(const cache::Result& result) const;
  void write_caches(const std::vector<Target>& targets);
  void drop_leftovers() noexcept {
    try {
      if (engine_->worker_started()) engine_->sweep();
    } catch (const std::exception&) {
      return;
    }
  }

  const Session& session_;
  const BuildRequest& request_;
  BuildRecorder* record_;
  Project project_;
  ContainerPlan plan_;
  stack::Stacks stacks_;
  Bases bases_;
  RemoteCaches caches_;
  std::unique_ptr<engine::Engine> engine_;
};

void ContainerBuild::prepare(const StrategyChoice& choice) {
  bases_.serve(stacks_);
  for (const std::string& note : choice.notes) out().warning(note);
  plan_ = plan_containers(project_, request_, choice.strategy);
  for (const std::string& warning : plan_.warnings) out().warning(warning);
  hide_secrets();
  start_engine();
}

// Values that only a step may see: secrets, and config vars that became build args.
void ContainerBuild::hide_secrets() {
  for (const SecretSource& secret : request_.container.secrets) (void)out().mask(secret.value);
  for (const std::string& name : request_.secret_names) (void)out().mask(request_.config.at(name));
  for (const ContainerUnit& unit : plan_.units)
    for (const auto& [name, shown] : unit.hidden_args)
      if (!out().mask(unit.build_args.at(name)))
        out().warning(fmt::format(
            "{} is shorter than 8 bytes, so it cannot be masked in the steps' output", name));
}

void ContainerBuild::start_engine() {
  engine::Options options;
  options.store = &session_.store;
  options.stream = &session_.stream;
  options.cancel = &session_.cancel;
  options.isolation = request_.isolation;
  options.limits = request_.limits;
  options.fetcher = make_fetcher(session_);
  options.app_id = project_.app_id;
  options.no_cache = request_.no_cache;
  options.jobs = request_.jobs;
  options.locals = plan_.locals;
  for (const SecretSource& secret : request_.container.secrets)
    options.secrets[secret.id] = {secret.value, {}};
  options.ssh_agents = request_.container.ssh_agents;
  options.allow_insecure = request_.container.allow_insecure;
  options.allow_host_network = request_.container.allow_host_network;
  for (const ContainerUnit& unit : plan_.units)
    for (const auto& [name, shown] : unit.hidden_args) options.hidden_variables.insert(name);
  options.remote = caches_.results();
  options.resolve_image = [this](engine::Engine& engine, const graph::ImageOp& image) {
    return bases_.resolve(engine, image);
  };
  engine_ = std::make_unique<engine::Engine>(std::move(options));
  if (request_.on_failed_step) engine_->set_on_failed_step(request_.on_failed_step);
}

Target ContainerBuild::compile(const ContainerUnit& unit, const oci::Platform& platform) {
  const ContainerOptions& given = request_.container;
  dockerfile::Options options;
  options.target = unit.target;
  options.build_args = unit.build_args;
  options.hidden_args = unit.hidden_args;
  options.build_platform = oci::native_platform();
  if (!given.platforms.empty()) options.platform = platform;
  options.contexts = plan_.named_contexts;
  graph::LocalOp context;
  context.name = unit.context;
  options.context = graph::Node::make(context, {}, {.title = "context"});
  options.labels = given.labels;
  options.no_cache = request_.no_cache;
  options.no_cache_stages = given.no_cache_stages;
  options.allow_host_network = given.allow_host_network;
  options.allow_insecure = given.allow_insecure;
  options.network = request_.network;
  options.extra_hosts = given.extra_hosts;
  options.ulimits = given.ulimits;
  options.shm_size_bytes = given.shm_size_bytes;
  options.source_date_epoch = request_.source_date_epoch;
  options.several_platforms = given.platforms.size() > 1;
  options.ignored = unit.surely_ignored;
  for (;;) {
    session_.cancel.check();
    auto compiled = dockerfile::compile(unit.file, options);
    if (auto* done = std::get_if<dockerfile::Compiled>(&compiled))
      return {&unit, platform, std::move(*done)};
    for (const dockerfile::BaseRequest& base : std::get<dockerfile::Missing>(compiled).bases)
      options.bases[base] = bases_.config_of(*engine_, base);
  }
}

void ContainerBuild::tell_findings(const Target& target) {
  for (const dockerfile::Finding& finding : target.compiled.findings)
    out().warning(fmt::format("{}:{}: {} ({})", target.unit->file.file, finding.lines.first,
                              finding.text, finding.rule));
  for (const std::string& name : target.compiled.unused_build_args)
    if (!request_.container.build_args.contains(name) || plan_.units.size() == 1)
      out().warning(fmt::format("{}: the build arg {} is declared by no ARG of what was built",
                                target.unit->file.file, printable(name)));
}

// Which line failed, and the last that it said: the log above may be long.
void ContainerBuild::tell_failure(const Target& target, const engine::StepFailed& failed) {
  for (const dockerfile::Step& step : target.compiled.steps) {
    if (step.node->digest() != failed.node()) continue;
    Error error = dockerfile::error_at(target.unit->file, step.lines.first, 0, failed.cause());
    const std::string tail = failed.tail();
    std::string hint = error.hint();
    if (!tail.empty()) hint += "\nlast output:\n" + tail;
    hint += fmt::format("\nthe full log is in {}; --debug opens a shell where it failed",
                        session_.store.log_path(record_->id()).string());
    throw Error(ExitCode::build_failed, error.cause())
        .set_pos(*error.pos())
        .set_hint(std::string(trim(hint)));
  }
  throw failed;
}

void ContainerBuild::solve(const std::vector<Target>& targets) {
  engine_->set_deadline(steady_clock::now() + request_.timeout);
  std::vector<std::future<void>> running;
  for (const Target& target : targets)
    if (target.compiled.root)
      running.push_back(std::async(std::launch::async, [this, &target] {
        try {
          (void)engine_->solve(target.compiled.root);
        } catch (const engine::StepFailed& failed) {
          tell_failure(target, failed);
        }
      }));
  // All are waited for before the first failure is told: their steps use this object.
  std::exception_ptr first;
  for (std::future<void>& one : running) {
    try {
      one.get();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

std::string ContainerBuild::created(const cache::Result& result) const {
  if (request_.source_date_epoch) return rfc3339(*request_.source_date_epoch);
  if (project_.source.commit_time) return rfc3339(*project_.source.commit_time);
  return rfc3339(result.extra.value("created", int64_t{0}));
}

image::Image ContainerBuild::make_image(const Target& target) {
  const dockerfile::Compiled& compiled = target.compiled;
  image::Image image;
  if (compiled.base) image = bases_.image_of(*engine_, *compiled.base);
  image.manifest_bytes.clear();
  image.config_bytes.clear();
  image.config = compiled.config;
  image.config.diff_ids.clear();
  for (const image::Layer& layer : image.layers) image.config.diff_ids.push_back(layer.diff_id);

  std::vector<std::string> times;
  std::vector<image::LayerInput> inputs;
  std::vector<cache::SnapshotId> below;
  if (compiled.base && compiled.base->reference != "scratch")
    below =
        bases_.resolve(*engine_, {compiled.base->reference, compiled.base->platform.to_string()})
            .layers;
  for (const graph::NodeRef& node : compiled.layers) {
    const cache::Result result = engine_->solve(node).result;
    image::LayerInput input;
    if (result.snapshot != 0) input.stack = session_.store.chain(result.snapshot);
    SLIPWAY_CHECK(input.stack.size() >= below.size());
    input.own = input.stack.size() - below.size();
    input.codec = request_.images.codec;
    below = input.stack;
    inputs.push_back(std::move(input));
    times.push_back(created(result));
  }
  image::LayerOptions options;
  options.cancel = &session_.cancel;
  options.on_progress = [this](uint64_t done, uint64_t total) {
    out().emit(report::Progress{0, "compressing", done, total, done == total});
  };
  options.on_warning = [this](const std::string& text) { out().warning(text); };
  const image::Trees trees = image_trees(session_.store, *engine_);
  for (image::Layer& layer :
       image::write_layers(session_.store, engine_->lease(), trees, inputs, options)) {
    image.config.diff_ids.push_back(layer.diff_id);
    image.layers.push_back(std::move(layer));
  }
  // M5: an entry without a layer has the time of its neighbour.
  size_t next = 0;
  std::string latest;
  for (oci::History& entry : image.config.history) {
    if (!entry.created.empty()) continue;
    if (!entry.empty_layer && next < times.size()) latest = times[next++];
    entry.created = latest.empty() && next < times.size() ? times[next] : latest;
  }
  if (latest.empty()) {
    latest = created({});
    for (oci::History& entry : image.config.history)
      if (entry.created.empty()) entry.created = latest;
  }
  image.config.created = latest;
  oci::repair_history(image.config);
  return image;
}

std::vector<BuiltImage> ContainerBuild::make_images(const std::vector<Target>& targets) {
  std::vector<BuiltImage> images;
  for (const Target& target : targets) {
    if (images.empty() || images.back().process_type != target.unit->name) {
      BuiltImage built;
      built.process_type = target.unit->name;
      images.push_back(std::move(built));
    }
    images.back().named.platforms.push_back(make_image(target));
    images.back().snapshots.push_back(
        target.compiled.root ? engine_->solve(target.compiled.root).result.snapshot : 0);
  }
  return images;
}

void ContainerBuild::write_caches(const std::vector<Target>& targets) {
  RemoteCaches::Built built;
  for (const Target& target : targets) {
    if (target.compiled.root) built.roots.push_back(target.compiled.root);
    built.layers.insert(built.layers.end(), target.compiled.layers.begin(),
                        target.compiled.layers.end());
  }
  caches_.write(*engine_, request_.cache_to, built);
}

std::vector<Target> ContainerBuild::compile_all() {
  std::vector<oci::Platform> platforms = request_.container.platforms;
  if (platforms.empty()) platforms.push_back(oci::native_platform());
  std::vector<Target> targets;
  for (const ContainerUnit& unit : plan_.units)
    for (const oci::Platform& platform : platforms) {
      targets.push_back(compile(unit, platform));
      // L1: only the first platform reports.
      if (platform == platforms.front()) tell_findings(targets.back());
    }
  return targets;
}

BuildOutcome ContainerBuild::build() {
  const auto started = steady_clock::now();
  const std::vector<Target> targets = compile_all();
  solve(targets);

  BuildOutcome outcome;
  outcome.build_id = record_->id();
  outcome.app = project_.app;
  outcome.app_id = project_.app_id;
  outcome.cached = engine_->steps_ran() == 0;
  WrittenImages written;
  if (request_.images.wanted() || request_.metadata_file) {
    std::vector<BuiltImage> images = make_images(targets);
    Json metadata = Json::object();
    if (plan_.heroku_yml) metadata["heroku.yml"] = heroku_about(*plan_.heroku_yml);
    written = write_images(session_, *engine_, request_, project_, metadata, images);
    outcome.image_ids = written.ids;
  } else if (request_.cache_to.empty()) {
    out().warning(
        "no output was asked for: the result stays in the cache (name it with -t, write it with "
        "--oci, --docker-archive or --dir, or --push it)");
  }
  write_caches(targets);

  project_.state.last = {{"build", record_->id()}, {"images", written.about}};
  project_.state.save(session_.store);
  if (engine_->worker_started()) session_.store.sync();
  outcome.duration = duration_cast<milliseconds>(steady_clock::now() - started);
  report::BuildFinished finished;
  finished.ok = true;
  finished.duration = outcome.duration;
  finished.steps_cached = engine_->steps_cached();
  finished.steps_total = engine_->steps_ran() + finished.steps_cached;
  finished.artifact_size = written.size_bytes;
  finished.next_command = written.next_command;
  record_->finish_ok(finished, outcome);
  tidy_store(session_.store, *engine_);
  return outcome;
}

}  // namespace

BuildOutcome build_containers(const Session& session, const BuildRequest& request,
                              BuildRecorder& record, Project project,
                              const StrategyChoice& choice) {
  return ContainerBuild(session, request, &record, std::move(project)).run(choice);
}

DetectOutcome detect_containers(const BuildRequest& request, const Project& project,
                                const StrategyChoice& choice) {
  DetectOutcome outcome;
  outcome.app = project.app;
  outcome.strategy = strategy_name(choice.strategy);
  outcome.stack = container_stack;
  outcome.reason = choice.reason;
  outcome.notes = choice.notes;
  for (const ContainerUnit& unit : plan_containers(project, request, choice.strategy).units)
    outcome.images.push_back({unit.name, unit.file.file, unit.target});
  return outcome;
}

Json plan_images(const Session& session, const BuildRequest& request, Project project,
                 const StrategyChoice& choice) {
  return ContainerBuild(session, request, nullptr, std::move(project)).describe(choice);
}

}  // namespace slipway::build
