// One build with buildpacks, start to end: plan → solve → slug → record.
#pragma once

#include "build/project.h"
#include "build/record.h"

namespace slipway::build {

/// Throws; the caller records the failure.
BuildOutcome build_with_buildpacks(const Session& session, const BuildRequest& request,
                                   BuildRecorder& record, Project project,
                                   const StrategyChoice& choice);

/// `slipway detect`: runs detect scripts when nothing is configured.
DetectOutcome detect_buildpacks(const Session& session, const BuildRequest& request,
                                Project project);
/// `slipway plan`, see plan_app(). Throws Error(not_detected).
Json plan_buildpacks(const Session& session, const BuildRequest& request, Project project);

}  // namespace slipway::build
