#include "dockerfile/stage_compiler.h"

#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"

namespace slipway::dockerfile {
namespace {

// As many as a config may have (oci/image_config.h), and as many bytes: what is written must be
// readable.
constexpr size_t history_entries_max = 10'000;
constexpr size_t history_bytes_max = 4 << 20;

bool makes_step(const StageItem& item) {
  const Kind& kind = item.instruction->kind;
  return std::holds_alternative<Run>(kind) || std::holds_alternative<Copy>(kind) ||
         std::holds_alternative<Workdir>(kind);
}

// moby/buildkit pads the number to the width of the total.
std::string step_number(size_t step, size_t total) {
  return fmt::format("{:>{}}/{}", step, std::to_string(total).size(), total);
}

// Variables have their values, URLs no credentials.
std::string title_text(const std::string& text, char escape, const Scope& scope) {
  std::vector<std::string> words = split(expand_title(text, escape, scope), ' ');
  for (std::string& word : words)
    if (word.find("://") != std::string::npos) word = shown_url(word);
  return join(words, " ");
}

bool without_cache(const Options& options, const std::string& stage) {
  if (options.no_cache) return true;
  return std::any_of(options.no_cache_stages.begin(), options.no_cache_stages.end(),
                     [&](const std::string& name) { return lower_case(name) == stage; });
}

}  // namespace

std::string without_tabs(std::string_view body) {
  std::string text;
  bool line_start = true;
  for (const char c : body) {
    if (c != '\t' || !line_start) text += c;
    line_start = c == '\n' || (line_start && c == '\t');
  }
  return text;
}

graph::NodeRef Build::image_node(const BaseRequest& request, const Base& base,
                                 const oci::Platform& platform, graph::Description description,
                                 const Lines& lines) {
  const auto& history = base.config.history;
  const bool has_layers =
      !base.config.diff_ids.empty() ||
      std::any_of(history.begin(), history.end(), [](const auto& h) { return !h.empty_layer; });
  if (!has_layers) return nullptr;
  const auto [entry, fresh] = images.emplace(BaseRequest{request.reference, platform}, nullptr);
  if (!fresh) return entry->second;
  description.ignore_cache = false;  // an image is what its digest says
  std::string title = description.title;
  entry->second = graph::Node::make(graph::ImageOp{base.reference, platform.to_string()}, {},
                                    std::move(description));
  result.steps.push_back({entry->second, std::move(title), lines});
  return entry->second;
}

StageCompiler::StageCompiler(Build& build, const StagePlan& plan, StageState state)
    : build_(build), job_(build.job), plan_(plan), state_(std::move(state)) {
  const auto steps = std::count_if(plan.items.begin(), plan.items.end(), makes_step);
  steps_total_ = static_cast<size_t>(steps) + (plan.base.kind == Origin::Kind::outside ? 1 : 0);
  start_from_base();
  for (const StageItem& item : plan.items) dispatch(item);
}

StageState StageCompiler::finish() && {
  build_.roots[static_cast<size_t>(plan_.site.stage)] = state_.root;
  return std::move(state_);
}

// The image or context in FROM; a stage's state came in with the constructor.
void StageCompiler::start_from_base() {
  if (plan_.base.kind == Origin::Kind::stage) {
    // Triggers fire once (I14).
    state_.config.config.on_build.clear();
    return;
  }
  const oci::Platform wanted = plan_.platform && plan_.base.kind == Origin::Kind::outside
                                   ? *plan_.platform
                                   : job_.target_platform;
  state_.platform = wanted;
  const Resolved base = build_.stages.resolve_base(plan_);
  const StageItem from{&plan_.stage->instruction, plan_.site, {}};
  if (base.image) {
    start_from_image(from, *base.image, *base.base, wanted);
  } else {
    state_.config = oci::scratch_config(wanted);
    state_.root = base.tree;
    if (base.tree) {
      state_.layers.push_back(base.tree);
      add_step(from, base.tree);
    }
  }
  oci::RunConfig& config = state_.config.config;
  if (oci::find_env(config.env, "PATH") == nullptr && state_.platform.os != "windows")
    config.env.emplace_back("PATH", oci::default_path);
  for (const auto& [name, value] : config.env) state_.scope.set(name, Text(value));
}

void StageCompiler::start_from_image(const StageItem& from, const BaseRequest& request,
                                     const Base& base, const oci::Platform& wanted) {
  state_.base = request;
  state_.config = base.config;
  state_.config.created.clear();
  // A document about the base as a whole is none about what is built on it.
  for (const char* stale : {"id", "parent", "container", "container_config", "docker_version",
                            "moby.buildkit.cache.v0", "moby.buildkit.buildinfo.v1"})
    state_.config.unknown.erase(stale);
  state_.config.config.unknown = Json::object();
  // A named context that replaces the stage keeps its triggers for the stages that stand on it.
  if (plan_.replacement == nullptr) state_.config.config.on_build.clear();
  if (!state_.config.config.working_dir.empty())
    state_.config.config.working_dir = join_path("/", state_.config.config.working_dir);
  const oci::Platform& offered = base.config.platform;
  const auto same = [&](const oci::Platform& platform) {
    return platform.os == offered.os && platform.architecture == offered.architecture;
  };
  if (!plan_.platform && !job_.options.platform && !same(wanted)) {
    std::vector<oci::Platform> runnable{job_.options.build_platform};
    runnable.insert(runnable.end(), job_.options.emulated_platforms.begin(),
                    job_.options.emulated_platforms.end());
    const auto adopted = std::find_if(runnable.begin(), runnable.end(), same);
    if (adopted != runnable.end()) state_.platform = *adopted;
  }
  if (!same(state_.platform))
    job_.find(plan_.site, "InvalidBaseImagePlatform",
              fmt::format("{} is an image for {}, not for {}", printable(plan_.image.shown),
                          offered.to_full_string(), state_.platform.to_full_string()));
  const std::string text = title(from, "FROM " + base.reference, state_.scope);
  state_.root =
      build_.image_node(request, base, state_.platform, describe(from, text), plan_.site.lines);
}

std::string StageCompiler::title(const StageItem& item, const std::string& text,
                                 const Scope& scope) {
  const std::string& keyword = item.instruction->keyword;
  std::string told = text;
  if (told.starts_with(keyword)) told.replace(0, keyword.size(), upper_case(keyword));
  told = title_text(told, job_.escape(), scope);
  if (steps_total_ == 0) return told;
  std::string prefix = "[";
  if (job_.options.several_platforms) prefix += state_.platform.to_full_string() + " ";
  if (job_.file.stages.size() > 1) prefix += plan_.label() + " ";
  prefix += step_number(++step_, steps_total_) + "] ";
  if (!item.site.trigger.empty()) prefix += "ONBUILD ";
  return prefix + told;
}

graph::Description StageCompiler::describe(const StageItem& item, std::string text) const {
  graph::Description description;
  description.title = std::move(text);
  description.file = fmt::format("{}:{}", job_.file.file, item.site.lines.first);
  description.ignore_cache = without_cache(job_.options, plan_.stage->name);
  return description;
}

void StageCompiler::add_step(const StageItem& item, graph::NodeRef node) {
  std::string text = node->description().title;
  build_.result.steps.push_back({std::move(node), std::move(text), item.site.lines});
}

void StageCompiler::add_layer(const StageItem& item, graph::NodeRef node) {
  state_.root = node;
  state_.layers.push_back(node);
  add_step(item, std::move(node));
}

void StageCompiler::commit(const StageItem& item, const std::string& text, bool layer) {
  state_.history_bytes += text.size();
  if (state_.history_bytes > history_bytes_max)
    throw item.site.error(
        fmt::format("the image's history is larger than {}", format_size(history_bytes_max)),
        "every instruction stands in it with its values; put large texts into "
        "files of the context");
  if (state_.config.history.size() == history_entries_max)
    throw item.site.error(
        fmt::format("the image's history has more than {} entries", history_entries_max),
        "join instructions, or copy what is needed into a new stage");
  oci::History& entry = state_.config.history.emplace_back();
  if (job_.epoch) entry.created = rfc3339(*job_.epoch);
  entry.created_by = text;
  entry.comment = "buildkit.dockerfile.v0";
  entry.empty_layer = !layer;
}

void StageCompiler::dispatch(const StageItem& item) {
  const Kind& kind = item.instruction->kind;
  if (const Arg* one = std::get_if<Arg>(&kind)) return arg(item, *one);
  if (const Env* one = std::get_if<Env>(&kind)) return env(item, *one);
  if (const Label* one = std::get_if<Label>(&kind)) return label(item, *one);
  if (const Run* one = std::get_if<Run>(&kind)) return run(item, *one);
  if (const Copy* one = std::get_if<Copy>(&kind)) return copy(item, *one);
  if (const Workdir* one = std::get_if<Workdir>(&kind)) return workdir(item, *one);
  if (const User* one = std::get_if<User>(&kind)) return user(item, *one);
  if (const Expose* one = std::get_if<Expose>(&kind)) return expose(item, *one);
  if (const Volume* one = std::get_if<Volume>(&kind)) return volume(item, *one);
  if (const StopSignal* one = std::get_if<StopSignal>(&kind)) return stop_signal(item, *one);
  if (const Shell* one = std::get_if<Shell>(&kind)) return shell(item, *one);
  if (const Cmd* one = std::get_if<Cmd>(&kind)) return cmd(item, *one);
  if (const Entrypoint* one = std::get_if<Entrypoint>(&kind)) return entrypoint(item, *one);
  if (const HealthCheck* one = std::get_if<HealthCheck>(&kind)) return healthcheck(item, *one);
  if (const Maintainer* one = std::get_if<Maintainer>(&kind)) return maintainer(item, *one);
  const OnBuild* trigger = std::get_if<OnBuild>(&kind);
  SLIPWAY_CHECK(trigger != nullptr);
  state_.config.config.on_build.push_back(trigger->text);
}

Text StageCompiler::expand_word(const StageItem& item, const Word& word) {
  try {
    Expanded expanded = expand(word.text, job_.escape(), state_.scope);
    note_unset(item, expanded.unset);
    if (expanded.text.value.find('\0') == std::string::npos) return std::move(expanded.text);
  } catch (const Error& problem) {
    throw item.site.placed(problem, word);
  }
  throw item.site.error(word, "the value holds a NUL byte");
}

Text StageCompiler::expand_optional(const StageItem& item, const std::optional<Word>& word) {
  return word ? expand_word(item, *word) : Text();
}

void StageCompiler::note_unset(const StageItem& item, const std::set<std::string>& unset) {
  for (const std::string& name : unset) {
    const bool declared = std::any_of(state_.args.begin(), state_.args.end(),
                                      [&](const DeclaredArg& known) { return known.name == name; });
    if (declared || is_no_variable(name) || !job_.may_find_more()) continue;
    const std::optional<std::string> near = closest(name, state_.scope.names());
    job_.find(item.site, "UndefinedVar",
              fmt::format("'${}' is not set here{}", name,
                          near ? fmt::format("; did you mean '${}'?", *near) : ""));
  }
}

std::string StageCompiler::working_dir() const {
  const std::string& directory = state_.config.config.working_dir;
  return directory.empty() ? "/" : directory;
}

std::vector<std::string> StageCompiler::with_shell(const std::string& text) const {
  std::vector<std::string> words = state_.config.config.shell;
  if (words.empty() && state_.platform.os == "windows") words = {"cmd", "/S", "/C"};
  if (words.empty()) words = {"/bin/sh", "-c"};
  words.push_back(text);
  return words;
}

void StageCompiler::set_owner(const StageItem& item, const Word& word, const std::string& owner,
                              graph::FileAction& action) const {
  if (owner.empty()) return;
  OwnerSpec spec;
  try {
    spec = parse_owner(owner);
  } catch (const Error& problem) {
    throw item.site.error(word, "the owner " + problem.cause(), problem.hint());
  }
  if (!spec.ids && state_.root == nullptr)
    throw item.site.error(word,
                          fmt::format("there is no /etc/passwd to look '{}' up in: the stage is "
                                      "still empty",
                                      printable(owner)),
                          "write numbers: 1000:1000");
  action.owner = spec.ids;
  action.owner_names = spec.names;
}

graph::NodeRef StageCompiler::source_tree(const StageItem& item, const Origin& origin) {
  graph::NodeRef tree;
  if (origin.kind == Origin::Kind::stage) {
    tree = build_.roots.at(origin.stage);
  } else if (origin.kind == Origin::Kind::outside) {
    const Resolved source = build_.stages.resolve_source(item, origin);
    tree = source.tree;
    if (source.image)
      tree = build_.image_node(*source.image, *source.base, job_.target_platform,
                               describe(item, "FROM " + source.base->reference), item.site.lines);
  }
  if (!tree) tree = graph::Node::make(graph::FileOp{{}, true}, {}, {.title = "empty tree"});
  return tree;
}

graph::NodeRef StageCompiler::context_tree(const StageItem& item, const std::string& path) {
  if (!job_.options.context)
    throw item.site.error("there is no context to take files from",
                          "the Dockerfile alone was given; name a folder or a URL as context");
  build_.result.context_paths.insert(path);
  return job_.options.context;
}

std::optional<int64_t> StageCompiler::epoch_ns() const {
  return job_.epoch ? std::optional(*job_.epoch * 1'000'000'000) : std::nullopt;
}

}  // namespace slipway::dockerfile
