// The docker engine's HTTP interface over its socket, as far as `docker load` needs it.
#pragma once

#include <string>

#include "base/json.h"

namespace slipway::netfetch {

/// "engine_ask" and "engine_load" of fetch/docker_engine.cpp.
Json serve_engine(const std::string& op, const Json& request);

}  // namespace slipway::netfetch
