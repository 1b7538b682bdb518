// What slipway-fetch does with one request (see fetch/fetcher.cpp for the other side).
#pragma once

#include <functional>
#include <string>

#include "base/json.h"

namespace slipway::netfetch {

/// Carries out a request. `emit` gets progress and notes, of registry requests
/// from several threads; the result object is returned, errors are
/// thrown. Throws Error(machine) for a request that is no request of ours.
Json serve(const Json& request, const std::function<void(const Json& message)>& emit);

/// An operation of a folder above this one; before the program's work begins.
using Operation =
    std::function<Json(const Json& request, const std::function<void(const Json& message)>& emit)>;
void add_operation(const std::string& op, Operation operation);

}  // namespace slipway::netfetch
