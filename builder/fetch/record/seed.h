// Downloads given by hand (`slipway vendor add`): what a server would have answered.
#pragma once

#include <functional>

#include "base/json.h"

namespace slipway::record {

/// The operation "record_seed" of slipway-fetch; fetch/recorder.h is its other side. Throws Error.
Json seed(const Json& request, const std::function<void(const Json& message)>& emit);

}  // namespace slipway::record
