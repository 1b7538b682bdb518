// One build of images from a Dockerfile or heroku.yml: contexts → graph → layers → outputs →
// record.
#pragma once

#include "build/project.h"
#include "build/record.h"

namespace slipway::build {

/// Throws; the caller records the failure.
BuildOutcome build_containers(const Session& session, const BuildRequest& request,
                              BuildRecorder& record, Project project, const StrategyChoice& choice);

}  // namespace slipway::build
