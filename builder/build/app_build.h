// One build with buildpacks, start to end: plan → solve → slug → record.
#pragma once

#include "build/project.h"
#include "build/record.h"

namespace slipway::build {

/// Throws; the caller records the failure.
BuildOutcome build_with_buildpacks(const Session& session, const BuildRequest& request,
                                   BuildRecorder& record, Project project,
                                   const StrategyChoice& choice);

}  // namespace slipway::build
