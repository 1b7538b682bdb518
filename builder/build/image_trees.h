// The sandbox's worker as image::Trees.
#pragma once

#include "engine/engine.h"
#include "image/image.h"

namespace slipway::build {

/// The engine must outlive it; its worker is started when something must be read.
image::Trees image_trees(engine::Engine& engine);

}  // namespace slipway::build
