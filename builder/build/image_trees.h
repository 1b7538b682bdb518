// What image/ asks of the sandbox's worker: the two stand on one floor and do not know each other.
#pragma once

#include <functional>

#include "cache/store.h"
#include "engine/engine.h"
#include "image/image.h"
#include "sandbox/worker.h"

namespace slipway::build {

/// `worker` is called when something must really be read or written, from several threads; it and
/// the store must outlive the answer.
image::Trees image_trees(const cache::Store& store, std::function<sandbox::Worker&()> worker,
                         const std::string& ids);
/// With the engine's worker, started when it is first needed.
image::Trees image_trees(const cache::Store& store, engine::Engine& engine);

}  // namespace slipway::build
