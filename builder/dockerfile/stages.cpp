#include "dockerfile/stages.h"

#include <charconv>

#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/mount_spec.h"
#include "oci/reference.h"

namespace slipway::dockerfile {
namespace {

// "stage 'build'", "the stage at line 4".
std::string told(const StagePlan& plan) {
  return plan.stage->name.empty() ? fmt::format("the stage at line {}", plan.site.lines.first)
                                  : fmt::format("stage '{}'", plan.stage->name);
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& names) {
  const std::optional<std::string> near = closest(name, names);
  return near ? fmt::format("did you mean '{}'?", *near) : "";
}

// A whole number as Atoi reads it; empty optional = none.
std::optional<int> stage_number(const std::string& text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (problem != std::errc() || end != digits.data() + digits.size() || digits.empty())
    return std::nullopt;
  return value;
}

// Base names are checked with the defaults alone too: a file should not need --build-arg (§5).
void check_defaults(Job& job, const std::vector<StagePlan>& plans) {
  if (job.options.build_args.empty()) return;
  Options plain;
  plain.build_platform = job.options.build_platform;
  plain.platform = job.options.platform;
  plain.target = job.options.target;
  try {
    const Job defaults(job.file, plain);
    for (const StagePlan& plan : plans) {
      const Expanded image = expand(plan.stage->from.image.text, job.escape(), defaults.global);
      bool sound = !image.text.value.empty();
      if (sound) {
        try {
          oci::parse_reference(image.text.value);
        } catch (const Error&) {
          sound = false;
        }
      }
      if (!sound)
        job.find(plan.site, "InvalidDefaultArgInFrom",
                 fmt::format("with the defaults of its ARGs '{}' is no image's name",
                             printable(plan.stage->from.image.text)));
    }
  } catch (const Error&) {
    // The defaults are not meant to be used: an ARG demands to be given (${X:?}).
  }
}

}  // namespace

std::string StagePlan::label() const {
  return stage->name.empty() ? fmt::format("stage-{}", site.stage) : stage->name;
}

Stages::Stages(Job& job, Outside& outside) : job_(job), outside_(outside) {
  plans_.resize(job.file.stages.size());
  for (size_t i = 0; i < plans_.size(); ++i) read_from(i);
  // Only now are all names known: --from finds the last stage of a name (C2).
  for (StagePlan& plan : plans_)
    for (StageItem& item : plan.items) link(item);
  refuse_circles();
  check_defaults(job_, plans_);
}

void Stages::read_from(size_t index) {
  const Stage& stage = job_.file.stages[index];
  StagePlan& plan = plans_[index];
  plan.stage = &stage;
  plan.site = {
      &job_.file, stage.instruction.lines, stage.instruction.column, static_cast<int>(index), {}};
  const Expanded image = job_.expand_global(plan.site, stage.from.image);
  plan.image = image.text;
  note_undeclared(plan, image.unset);
  if (plan.image.value.empty())
    throw plan.site.error(
        stage.from.image,
        fmt::format("the image's name '{}' expands to nothing", printable(stage.from.image.text)),
        unset_hint(image.unset));
  check_platform(plan);

  const oci::Platform& platform = plan.platform ? *plan.platform : job_.target_platform;
  if (!stage.name.empty()) plan.replacement = outside_.context(stage.name, platform);
  if (plan.replacement != nullptr) {
    plan.base = {Origin::Kind::outside, 0, stage.name};
  } else if (const auto earlier = names_.find(plan.image.value); earlier != names_.end()) {
    // As written: names of stages are lower case here, in --from they match in any case (F2).
    plan.base = {Origin::Kind::stage, earlier->second, plan.image.value};
  } else if (plan.image.value == "scratch") {
    plan.base = {Origin::Kind::scratch, 0, "scratch"};
  } else {
    plan.base = {Origin::Kind::outside, 0, plan.image.value};
  }
  if (!stage.name.empty()) names_[stage.name] = index;
  if (plan.replacement != nullptr) return;
  for (const Instruction& instruction : stage.body) {
    const Site site{&job_.file, instruction.lines, instruction.column, static_cast<int>(index), {}};
    plan.items.push_back({&instruction, site, {}});
    if (const Arg* arg = std::get_if<Arg>(&instruction.kind))
      for (const Arg::One& one : arg->args) job_.declared.insert(one.name);
  }
}

std::vector<std::string> Stages::global_names() const {
  std::vector<std::string> names = job_.global.names();
  names.insert(names.end(), job_.global_names.begin(), job_.global_names.end());
  return names;
}

void Stages::note_undeclared(const StagePlan& plan, const std::set<std::string>& unset) {
  for (const std::string& name : unset) {
    if (job_.global_names.contains(name) || !job_.may_find_more()) continue;
    const std::optional<std::string> near = closest(name, global_names());
    job_.find(plan.site, "UndefinedArgInFrom",
              fmt::format("'${}' is no ARG before the first FROM{}", name,
                          near ? fmt::format("; did you mean '${}'?", *near) : ""));
  }
}

// What to do about a word that expanded to nothing.
std::string Stages::unset_hint(const std::set<std::string>& unset) const {
  if (unset.empty()) return "give the variable a value";
  const std::string& name = *unset.begin();
  if (job_.global_names.contains(name))
    return fmt::format("'{0}' has no default: give it with --build-arg {0}=VALUE", name);
  const std::string near = nearest_name(name, global_names());
  return near.empty() ? fmt::format("declare it before the first FROM: 'ARG {}=value'", name)
                      : near;
}

void Stages::check_platform(StagePlan& plan) {
  if (!plan.stage->from.platform) return;
  const Word& word = *plan.stage->from.platform;
  const Expanded given = job_.expand_global(plan.site, word);
  note_undeclared(plan, given.unset);
  const std::string& text = given.text.value;
  if (text.empty())
    throw plan.site.error(word,
                          fmt::format("--platform={} expands to nothing", printable(word.text)),
                          given.unset.empty() ? "leave the flag out for the platform that is built"
                                              : unset_hint(given.unset));
  try {
    plan.platform = oci::parse_platform(text, job_.options.build_platform);
  } catch (const Error& problem) {
    throw plan.site.error(word, problem.cause(), problem.hint());
  }
  const Text* target = job_.global.find("TARGETPLATFORM");
  if (given.used == std::set<std::string>{"TARGETPLATFORM"} && given.unset.empty() &&
      target != nullptr && target->value == text)
    job_.find(plan.site, "RedundantTargetPlatform",
              fmt::format("--platform={} is the default", printable(word.text)));
  const std::string& name = plan.stage->name;
  const bool named_after = name.find(plan.platform->os) != std::string::npos ||
                           name.find(plan.platform->architecture) != std::string::npos;
  if (given.used.empty() && !named_after)
    job_.find(
        plan.site, "FromPlatformFlagConstDisallowed",
        fmt::format("--platform={} is always the same: the file builds for one platform only; "
                    "use $BUILDPLATFORM or $TARGETPLATFORM",
                    printable(text)));
}

Origin Stages::named_origin(const std::string& name) const {
  if (const auto stage = names_.find(lower_case(name)); stage != names_.end())
    return {Origin::Kind::stage, stage->second, name};
  if (name == "scratch") return {Origin::Kind::scratch, 0, name};
  return {Origin::Kind::outside, 0, name};
}

Origin Stages::copy_origin(const StageItem& item, const Word& from) const {
  if (from.text.empty()) return {};
  std::string plain;
  try {
    plain =
        expand_word(from.text, job_.escape(), [](std::string_view) { return std::nullopt; }).text;
  } catch (const Error&) {
    plain.clear();
  }
  if (plain != from.text)
    throw item.site.error(
        from, fmt::format("--from={} holds a variable or quotes", printable(from.text)),
        "give the image a name with its own stage, where ARGs before the first FROM count: "
        "'FROM image:$VERSION AS name'");
  const std::optional<int> number = stage_number(from.text);
  if (!number) return named_origin(from.text);
  if (*number < 0 || static_cast<size_t>(*number) >= plans_.size())
    throw item.site.error(from, fmt::format("there is no stage {}", *number),
                          fmt::format("stages count from 0; the file has {}", plans_.size()));
  return {Origin::Kind::stage, static_cast<size_t>(*number), from.text};
}

void Stages::link(StageItem& item) {
  if (const Copy* copy = std::get_if<Copy>(&item.instruction->kind)) {
    item.origins.push_back(copy->from ? copy_origin(item, *copy->from) : Origin{});
  } else if (const Run* run = std::get_if<Run>(&item.instruction->kind)) {
    for (const RunMount& mount : run->mounts) {
      try {
        const std::string from = mount_from(mount.spec.text);
        // No numbers here: "0" is an image's name (R5).
        item.origins.push_back(from.empty() ? Origin{} : named_origin(from));
      } catch (const Error& problem) {
        throw item.site.placed(problem, mount.spec);
      }
    }
  }
}

void Stages::refuse_circles() const {
  enum class State : uint8_t { unseen, open, done };
  std::vector<State> state(plans_.size(), State::unseen);
  // Needs of a stage, each with the item it comes from (null: its FROM).
  const auto needs = [&](size_t index) {
    std::vector<std::pair<size_t, const StageItem*>> found;
    const StagePlan& plan = plans_[index];
    if (plan.base.kind == Origin::Kind::stage) found.emplace_back(plan.base.stage, nullptr);
    for (const StageItem& item : plan.items)
      for (const Origin& origin : item.origins)
        if (origin.kind == Origin::Kind::stage) found.emplace_back(origin.stage, &item);
    return found;
  };
  struct Frame {
    size_t stage;
    std::vector<std::pair<size_t, const StageItem*>> needs;
    size_t next = 0;
  };
  for (size_t start = 0; start < plans_.size(); ++start) {
    if (state[start] != State::unseen) continue;
    // An explicit stack: thousands of stages must not exhaust the thread's.
    std::vector<Frame> stack;
    stack.push_back({start, needs(start)});
    state[start] = State::open;
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.needs.size()) {
        state[frame.stage] = State::done;
        stack.pop_back();
        continue;
      }
      const auto [need, item] = frame.needs[frame.next++];
      if (state[need] == State::unseen) {
        state[need] = State::open;
        stack.push_back({need, needs(need)});
      } else if (state[need] == State::open) {
        const Site& site = item == nullptr ? plans_[frame.stage].site : item->site;
        if (need == frame.stage)
          throw site.error(fmt::format("{} needs itself", told(plans_[need])),
                           "files of the same stage are there already; another stage or image is "
                           "meant");
        std::string circle = plans_[need].label();
        for (auto at = stack.rbegin(); at != stack.rend(); ++at) {
          circle.insert(0, plans_[at->stage].label() + " → ");
          if (at->stage == need) break;
        }
        throw site.error(fmt::format("stages need each other in a circle: {}", circle),
                         "a stage takes from stages above it only");
      }
    }
  }
}

size_t Stages::find_target(const std::string& name) const {
  if (name.empty()) return plans_.size() - 1;
  const auto found = names_.find(lower_case(name));
  if (found != names_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, index] : names_) names.push_back(known);
  std::string hint = nearest_name(lower_case(name), names);
  if (hint.empty())
    hint = names.empty() ? "no stage has a name; write 'FROM image AS name'"
                         : "stages are: " + join(names, ", ");
  throw Error(ExitCode::usage,
              fmt::format("{} has no stage '{}' for --target", job_.file.file, printable(name)))
      .set_hint(hint);
}

Resolved Stages::resolve_base(const StagePlan& plan) const {
  if (plan.base.kind != Origin::Kind::outside) return {};
  const oci::Platform& platform = plan.platform ? *plan.platform : job_.target_platform;
  try {
    return plan.replacement != nullptr ? outside_.resolve(*plan.replacement, platform)
                                       : outside_.resolve(plan.base.name, platform);
  } catch (const Error& problem) {
    std::string hint = problem.hint();
    const std::string lower = lower_case(plan.image.value);
    const auto stage = names_.find(lower);
    if (stage != names_.end() && stage->second < static_cast<size_t>(plan.site.stage))
      hint = fmt::format("stages are named in lower case in FROM: '{}'", lower);
    throw plan.site.error(plan.stage->from.image, problem.cause(), hint);
  }
}

Resolved Stages::resolve_source(const StageItem& item, const Origin& origin) const {
  if (origin.kind != Origin::Kind::outside) return {};
  try {
    return outside_.resolve(origin.name, job_.target_platform);
  } catch (const Error& problem) {
    std::vector<std::string> names;
    for (const auto& [known, index] : names_) names.push_back(known);
    const std::string near = nearest_name(lower_case(origin.name), names);
    throw item.site.error(problem.cause(), near.empty() ? problem.hint() : near);
  }
}

void Stages::reach(const std::vector<size_t>& targets) {
  std::vector<size_t> waiting = targets;
  while (!waiting.empty()) {
    StagePlan& plan = plans_[waiting.back()];
    waiting.pop_back();
    if (plan.reachable) continue;
    plan.reachable = true;
    visit(plan, waiting);
  }
}

void Stages::visit(StagePlan& plan, std::vector<size_t>& waiting) {
  add_triggers(plan);
  if (plan.base.kind == Origin::Kind::stage) waiting.push_back(plan.base.stage);
  for (const StageItem& item : plan.items)
    for (const Origin& origin : item.origins) {
      // Notes a missing base, and refuses what is no name.
      resolve_source(item, origin);
      if (origin.kind != Origin::Kind::stage) continue;
      if (origin.stage >= static_cast<size_t>(plan.site.stage))
        throw item.site.error(fmt::format("{} must stand above {}, which takes files from it",
                                          told(plans_[origin.stage]), told(plan)),
                              "move the stage up");
      waiting.push_back(origin.stage);
    }
}

std::vector<std::string> Stages::triggers_of_base(const StagePlan& plan) const {
  if (plan.replacement != nullptr) return {};
  const StagePlan* holder = &plan;
  std::vector<std::string> triggers;
  if (plan.base.kind == Origin::Kind::stage) {
    holder = &plans_[plan.base.stage];
    if (holder->replacement == nullptr) {
      for (const Instruction& instruction : holder->stage->body)
        if (const OnBuild* trigger = std::get_if<OnBuild>(&instruction.kind))
          triggers.push_back(trigger->text);
      return triggers;
    }
  }
  const Resolved base = resolve_base(*holder);
  return base.base == nullptr ? triggers : base.base->config.config.on_build;
}

void Stages::add_triggers(StagePlan& plan) {
  if (plan.replacement != nullptr) resolve_base(plan);
  std::vector<StageItem> items;
  for (const std::string& text : triggers_of_base(plan)) {
    StageItem item;
    item.site = plan.site;
    item.site.trigger = text;
    try {
      job_.triggers.push_back(parse_trigger(text, plan.image.shown));
    } catch (const Error& problem) {
      throw item.site.error(problem.cause());
    }
    item.instruction = &job_.triggers.back();
    if (const Arg* arg = std::get_if<Arg>(&item.instruction->kind))
      for (const Arg::One& one : arg->args) job_.declared.insert(one.name);
    link(item);
    items.push_back(std::move(item));
  }
  if (items.empty()) return;
  for (StageItem& item : plan.items) items.push_back(std::move(item));
  plan.items = std::move(items);
}

}  // namespace slipway::dockerfile
