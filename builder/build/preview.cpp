// What a build with buildpacks would do: `slipway detect` and `slipway plan`.
#include "build/plan.h"
#include "build/record.h"

namespace slipway::build {

DetectOutcome detect_app(const Session& session, const BuildRequest& request) {
  Plan plan = make_plan(session, request, open_project(session, request));
  DetectOutcome outcome;
  outcome.app = plan.app;
  outcome.stack = plan.stack;
  outcome.reason = plan.selection.reason;
  outcome.notes = plan.selection.notes;
  outcome.rows = detect_packs(plan, session, request).rows;
  tidy_store(session.store, *plan.engine);
  return outcome;
}

Json plan_app(const Session& session, const BuildRequest& request) {
  Plan plan = make_plan(session, request, open_project(session, request));
  std::vector<source::BuildpackRef> refs = plan.selection.buildpacks;
  if (plan.selection.origin == source::Selection::Origin::detection) {
    const Detection detection = detect_packs(plan, session, request);
    if (detection.hits.empty())
      throw Error(ExitCode::not_detected, "no buildpack applies to this app");
    refs = {plan.selection.buildpacks[detection.hits.front()]};
  }
  add_units(plan, session, request, refs);
  const buildpack::Pipeline pipeline = buildpack::make_pipeline(plan.spec);
  Json steps = Json::array();
  for (const graph::NodeRef& node : graph::topological_order(pipeline.seal)) {
    Json fields = Json::object();
    for (const auto& [name, value] : graph::definition_fields(node->op())) fields[name] = value;
    Json inputs = Json::array();
    for (const graph::NodeRef& input : node->inputs()) inputs.push_back(input->digest().hex());
    steps.push_back({{"digest", node->digest().hex()},
                     {"op", node->kind()},
                     {"title", node->description().title},
                     {"key", plan.engine->key(node).hex()},
                     {"cached", plan.engine->lookup(node).has_value()},
                     {"inputs", inputs},
                     {"definition", fields}});
  }
  return {{"app", plan.app},
          {"strategy", "buildpack"},
          {"reason", plan.selection.reason},
          {"stack", plan.stack},
          {"steps", steps}};
}

}  // namespace slipway::build
