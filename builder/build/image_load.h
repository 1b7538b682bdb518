// --load: images into the docker engine that runs on this machine.
#pragma once

#include <string>
#include <vector>

#include "build/request.h"
#include "image/export.h"

namespace slipway::build {

/// Before anything is built: Error(machine) when there is no such socket or it may not be used.
void check_engine(const std::string& socket);

/// An image the engine has only gets its names; of another, the layers it has (known by their diff
/// ids below the same layers) are not sent. An engine that wants them all the same gets everything.
void load_images(const Session& session, const image::ExportContext& context,
                 const std::string& socket, const std::vector<image::Named>& images);

}  // namespace slipway::build
