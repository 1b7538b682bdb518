#include "build/plan.h"

#include <set>

#include "base/files.h"
#include "base/installation.h"
#include "base/text.h"
#include "sandbox/ids.h"
#include "source/app_name.h"

namespace slipway::build {
namespace {

constexpr const char* default_stack = "debian-12";
constexpr const char* source_name = "source";
constexpr const char* lock_file = "slipway.lock";

std::string choose_stack(const Plan& plan, const BuildRequest& request) {
  if (!request.stack.empty()) {
    plan.stacks->check_name(request.stack);
    return request.stack;
  }
  // app.json's stack is Heroku's name; one we have is used, another says which STACK is meant.
  if (plan.app_json && plan.app_json->stack) {
    for (const stack::Info& info : plan.stacks->list())
      // A public image only when somebody asked for it once: it is large.
      if (info.name == *plan.app_json->stack && (info.made || info.origin != "public image"))
        return info.name;
  }
  return default_stack;
}

}  // namespace

std::string app_cache_id(const std::string& app_id, sandbox::Isolation isolation) {
  return isolation == sandbox::Isolation::none ? app_id + "#none" : app_id;
}

Plan make_plan(const Session& session, const BuildRequest& request, Project project) {
  Plan plan;
  static_cast<Project&>(plan) = std::move(project);
  const fetch::Fetcher fetcher = make_fetcher(session);
  const fs::path& folder = plan.source.folder;
  if (const auto text = read_app_file(folder, ".slugignore")) {
    plan.ignore = source::SlugIgnore(*text);
    plan.has_slugignore = true;
    for (const auto& warning : plan.ignore.warnings()) plan.warnings.push_back(warning.to_string());
  }

  plan.stacks = std::make_unique<stack::Stacks>(session.store, session.stream, session.cancel);
  plan.bases = std::make_unique<Bases>(session, fetcher, *plan.stacks, false);
  plan.bases->serve(*plan.stacks);
  plan.stack = choose_stack(plan, request);
  std::string present = request.present;
  if (present.empty() && plan.app_json && plan.app_json->stack &&
      *plan.app_json->stack != plan.stack) {
    try {
      present = plan.stacks->presented(plan.stack, *plan.app_json->stack);
    } catch (const Error&) {
      plan.warnings.push_back(fmt::format("app.json asks for the stack {}; this build uses {}",
                                          *plan.app_json->stack, plan.stack));
      present.clear();
    }
  }
  plan.stack_value = plan.stacks->presented(plan.stack, present);

  engine::Options options;
  options.store = &session.store;
  options.stream = &session.stream;
  options.cancel = &session.cancel;
  options.isolation = request.isolation;
  options.limits = request.limits;
  options.fetcher = fetcher;
  options.config = request.config;
  options.app_id = plan.app_id;
  options.no_cache = request.no_cache;
  options.allow_host_network = request.network == graph::Network::host;
  options.jobs = request.jobs;
  plan.caches = std::make_unique<RemoteCaches>(session, fetcher, request.cache_from);
  options.remote = plan.caches->results();
  stack::Stacks* stacks = plan.stacks.get();
  options.resolve_image = [stacks](engine::Engine& engine, const graph::ImageOp& image) {
    return stacks->resolve(engine, image);
  };
  engine::LocalDir dir;
  dir.path = folder.string();
  dir.identity = plan.source.identity;
  dir.ignored = [ignore = plan.ignore, count = plan.ignored_count](const std::string& path,
                                                                   bool is_directory) {
    if (path == lock_file || source::always_dropped(path)) return true;
    if (!ignore.matches_entry(path, is_directory)) return false;
    ++*count;
    return true;
  };
  options.locals[source_name] = dir;

  buildpack::PipelineSpec& spec = plan.spec;
  spec.build_hex = source::build_dir_hex(plan.app);
  spec.stack = plan.stack_value;
  spec.source_version = plan.source.commit;
  spec.cache_id = app_cache_id(plan.app_id, request.isolation);
  spec.network = request.network;
  spec.timeout = request.timeout;
  spec.ignore_cache = request.no_cache;
  if (request.isolation == sandbox::Isolation::none ||
      sandbox::plan_ids(session.store.id_base()).single_id())
    spec.owner = {0, 0};
  for (const auto& [key, value] : request.config) spec.config_names.push_back(key);
  spec.root = graph::Node::make(graph::ImageOp{"stack:" + plan.stack + "/build"});
  graph::LocalOp source_op;
  source_op.name = source_name;
  source_op.prefix = buildpack::build_prefix(spec.build_hex);
  source_op.owner = spec.owner;
  spec.source = graph::Node::make(source_op);

  plan.engine = std::make_unique<engine::Engine>(std::move(options));
  return plan;
}

void add_units(Plan& plan, const Session& session, const BuildRequest& request,
               const std::vector<source::BuildpackRef>& refs) {
  (void)request;
  for (const source::BuildpackRef& ref : refs)
    for (const std::string& secret : ref.secrets) session.stream.mask(secret);
  std::map<std::string, engine::LocalDir> locals;
  const bool from_flags = plan.selection.origin == source::Selection::Origin::flag;
  const fs::path& folder = plan.source.folder;
  plan.spec.units =
      make_units(refs, from_flags ? fs::path(".") : folder, folder, plan.spec.owner, locals);
  for (auto& [name, dir] : locals) plan.engine->add_local(name, std::move(dir));
  // REQUEST_ID: the shape of a UUID, the same for the same input.
  KeyBuilder key("request");
  key.add("app", plan.app).add("source", plan.engine->key(plan.spec.source));
  for (const buildpack::Unit& unit : plan.spec.units)
    key.add("pack", plan.engine->key(unit.source));
  const std::string hex = key.finish().hex();
  plan.spec.request_id = fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4),
                                     hex.substr(12, 4), hex.substr(16, 4), hex.substr(20, 12));
}

Json describe_steps(engine::Engine& engine, const std::vector<graph::NodeRef>& roots) {
  Json steps = Json::array();
  std::set<Digest> seen;
  // First all that is wanted of directories.
  for (const graph::NodeRef& root : roots) (void)engine.key(root);
  for (const graph::NodeRef& root : roots)
    for (const graph::NodeRef& node : graph::topological_order(root)) {
      if (!seen.insert(node->digest()).second) continue;
      Json fields = Json::object();
      for (const auto& [name, value] : graph::definition_fields(node->op())) fields[name] = value;
      Json inputs = Json::array();
      for (const graph::NodeRef& input : node->inputs()) inputs.push_back(input->digest().hex());
      steps.push_back({{"digest", node->digest().hex()},
                       {"op", node->kind()},
                       {"title", node->description().title},
                       {"key", engine.key(node).hex()},
                       {"cached", engine.lookup(node).has_value()},
                       {"inputs", inputs},
                       {"definition", fields}});
    }
  return steps;
}

Detection detect_packs(Plan& plan, const Session& session, const BuildRequest& request) {
  add_units(plan, session, request, plan.selection.buildpacks);
  const buildpack::Pipeline pipeline = buildpack::make_detection(plan.spec);
  Detection detection;
  for (size_t i = 0; i < pipeline.steps.size(); ++i) {
    const graph::NodeRef& step = pipeline.steps[i].detect;
    DetectOutcome::Row row;
    row.buildpack = plan.spec.units[i].display;
    // Detects follow one another on one workspace: once one must run, all after it do.
    auto known = plan.engine->lookup(step);
    if (!known) known = plan.engine->solve(step);
    row.detected = known->result.exit_code == 0;
    row.name = std::string(trim(known->result.stdout_text));
    row.output = known->result.extra.value("output", std::string());
    if (row.detected) detection.hits.push_back(i);
    detection.rows.push_back(std::move(row));
  }
  return detection;
}

}  // namespace slipway::build
