#include "dockerfile/compile.h"

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/stage_compiler.h"

namespace slipway::dockerfile {
namespace {

std::vector<size_t> wanted_stages(const Options& options, size_t target, size_t count) {
  std::vector<size_t> wanted{target};
  if (options.all_stages)
    for (size_t i = 0; i < count; ++i) wanted.push_back(i);
  return wanted;
}

// Builds every reachable stage; what one stands on has been built before it. A state that nobody
// else needs is moved on, so that a long chain of stages is not copied at every link.
StageState build_stages(Build& build, size_t target) {
  const std::vector<StagePlan>& plans = build.stages.all();
  std::vector<size_t> users(plans.size(), 0);
  users[target] = 1;
  for (const StagePlan& plan : plans)
    if (plan.reachable && plan.base.kind == Origin::Kind::stage) ++users[plan.base.stage];
  std::vector<std::optional<StageState>> states(plans.size());
  for (size_t i = 0; i < plans.size(); ++i) {
    if (!plans[i].reachable) continue;
    StageState state;
    if (plans[i].base.kind == Origin::Kind::stage) {
      std::optional<StageState>& base = states[plans[i].base.stage];
      SLIPWAY_CHECK(base.has_value());
      if (--users[plans[i].base.stage] == 0) {
        state = std::move(*base);
        base.reset();
      } else {
        state = *base;
      }
    }
    StageState built = StageCompiler(build, plans[i], std::move(state)).finish();
    if (users[i] > 0) states[i] = std::move(built);
  }
  return std::move(states[target].value());
}

// F8: with --platform the image says that it is of that platform.
oci::Platform final_platform(const Options& options, oci::Platform platform) {
  if (options.platform) {
    const oci::Platform& wanted = *options.platform;
    const bool same = wanted.os == platform.os && wanted.architecture == platform.architecture;
    platform.os = wanted.os;
    platform.architecture = wanted.architecture;
    if (!wanted.variant.empty() || !same) platform.variant = wanted.variant;
    if (!wanted.os_version.empty() || !same) platform.os_version = wanted.os_version;
  }
  try {
    return oci::parse_platform(platform.to_full_string(), {});
  } catch (const Error&) {
    return platform;  // a base's own odd names stay
  }
}

std::set<std::string> unused_build_args(const Job& job) {
  std::set<std::string> unused;
  for (const auto& [name, value] : job.options.build_args)
    if (!job.declared.contains(name) && !is_predefined_arg(name)) unused.insert(name);
  return unused;
}

// The text behind "NAME " in the comments above a stage (P17).
std::string description_of(const Stage& stage) {
  for (const std::string& comment : stage.instruction.comments)
    for (const std::string& name : {stage.from.name_written, stage.name})
      if (!name.empty() && comment.starts_with(name + " ")) return comment.substr(name.size() + 1);
  return {};
}

}  // namespace

std::variant<Compiled, Missing> compile(const Dockerfile& file, const Options& options) {
  SLIPWAY_CHECK(!file.stages.empty());
  Job job(file, options);
  Outside outside(options);
  Stages stages(job, outside);
  const size_t target = stages.find_target(options.target);
  stages.reach(wanted_stages(options, target, file.stages.size()));
  if (!outside.missing().empty())
    return Missing{{outside.missing().begin(), outside.missing().end()}};

  Build build(job, stages);
  StageState state = build_stages(build, target);
  Compiled& result = build.result;
  result.root = state.root;
  result.layers = std::move(state.layers);
  result.base = state.base;
  result.config = std::move(state.config);
  result.config.platform = final_platform(options, result.config.platform);
  for (const auto& [name, value] : options.labels) result.config.config.labels[name] = value;
  std::vector<bool> reachable;
  for (const StagePlan& plan : stages.all()) reachable.push_back(plan.reachable);
  result.findings = told_findings(job, reachable);
  result.unused_build_args = unused_build_args(job);
  result.local_contexts = outside.local_contexts();
  result.source_date_epoch = job.epoch;
  return std::move(result);
}

std::vector<Target> targets(const Dockerfile& file) {
  std::vector<Target> found;
  for (const Stage& stage : file.stages)
    found.push_back({stage.name, description_of(stage), &stage == &file.stages.back()});
  return found;
}

}  // namespace slipway::dockerfile
