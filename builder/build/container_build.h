// One build of images from a Dockerfile or heroku.yml: contexts → graph → layers → outputs →
// record.
#pragma once

#include "build/project.h"
#include "build/record.h"

namespace slipway::build {

/// Throws; the caller records the failure.
BuildOutcome build_containers(const Session& session, const BuildRequest& request,
                              BuildRecorder& record, Project project, const StrategyChoice& choice);

/// `slipway detect`: reads and checks the files, builds nothing.
DetectOutcome detect_containers(const BuildRequest& request, const Project& project,
                                const StrategyChoice& choice);
/// `slipway plan`: the graph of all images, see plan_app(). Bases are asked for as a build would.
Json plan_images(const Session& session, const BuildRequest& request, Project project,
                 const StrategyChoice& choice);

}  // namespace slipway::build
