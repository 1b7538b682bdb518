// One connection of a client: reads its requests (Boost.Beast parses them), has them answered, and
// sends the answers.
#pragma once

#include <string>

#include "record/authority.h"
#include "record/library.h"
#include "record/wire.h"

namespace slipway::record {

/// What all connections share.
struct Service {
  Library& library;
  Authority& authority;
  OnEvent on_event;  ///< from any thread
};

/// Serves until the client leaves or `wire` is stopped; never throws. `step` names who asks.
void serve_connection(const Service& service, const std::string& step, Wire wire);

}  // namespace slipway::record
