// The recorder as an operation of slipway-fetch; fetch/recorder.h is its other side and documents
// the messages.
#pragma once

#include <functional>

#include "base/json.h"

namespace slipway::record {

/// Serves until the channel closes or says stop. Throws Error.
Json serve(const Json& request, const std::function<void(const Json& message)>& emit);

}  // namespace slipway::record
