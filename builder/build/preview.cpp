// What a build would do: `slipway detect` and `slipway plan`.
#include "build/container_build.h"
#include "build/plan.h"
#include "build/record.h"

namespace slipway::build {
namespace {

DetectOutcome detect_buildpacks(const Session& session, const BuildRequest& request,
                                Project project) {
  Plan plan = make_plan(session, request, std::move(project));
  DetectOutcome outcome;
  outcome.app = plan.app;
  outcome.strategy = strategy_name(Strategy::buildpack);
  outcome.stack = plan.stack;
  outcome.reason = plan.selection.reason;
  outcome.notes = plan.selection.notes;
  outcome.rows = detect_packs(plan, session, request).rows;
  tidy_store(session.store, *plan.engine);
  return outcome;
}

Json plan_buildpacks(const Session& session, const BuildRequest& request, Project project) {
  Plan plan = make_plan(session, request, std::move(project));
  std::vector<source::BuildpackRef> refs = plan.selection.buildpacks;
  if (plan.selection.origin == source::Selection::Origin::detection) {
    const Detection detection = detect_packs(plan, session, request);
    if (detection.hits.empty())
      throw Error(ExitCode::not_detected, "no buildpack applies to this app");
    refs = {plan.selection.buildpacks[detection.hits.front()]};
  }
  add_units(plan, session, request, refs);
  const buildpack::Pipeline pipeline = buildpack::make_pipeline(plan.spec);
  return {{"app", plan.app},
          {"strategy", strategy_name(Strategy::buildpack)},
          {"reason", plan.selection.reason},
          {"stack", plan.stack},
          {"steps", describe_steps(*plan.engine, {pipeline.seal})}};
}

}  // namespace

DetectOutcome detect_app(const Session& session, const BuildRequest& request) {
  Project project = open_project(session, request);
  const StrategyChoice choice = choose_strategy(project, request);
  if (choice.strategy != Strategy::buildpack) return detect_containers(request, project, choice);
  DetectOutcome outcome = detect_buildpacks(session, request, std::move(project));
  outcome.notes.insert(outcome.notes.begin(), choice.notes.begin(), choice.notes.end());
  return outcome;
}

Json plan_app(const Session& session, const BuildRequest& request) {
  Project project = open_project(session, request);
  const StrategyChoice choice = choose_strategy(project, request);
  if (choice.strategy == Strategy::buildpack)
    return plan_buildpacks(session, request, std::move(project));
  return plan_images(session, request, std::move(project), choice);
}

}  // namespace slipway::build
