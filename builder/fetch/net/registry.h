// The registry requests, as slipway-fetch carries them out (fetch/registry.h says what they mean).
#pragma once

#include "base/json.h"
#include "netfetch/registry_work.h"

namespace slipway::netfetch {

/// `request` as the Fetcher makes it (wire.h); the result object is returned. Errors are redacted.
Json serve_registry(const std::string& op, const Json& request, const Emit& emit);

// The parts; `channel` is the socket of wire.h.
Json resolve_image(Work& work, const Json& request, int channel);
Json pull_blobs(Work& work, const Json& request, int channel);
Json push_image(Work& work, const Json& request, int channel);
Json log_in(Work& work, const Json& request);
Json log_out(const Json& request);

}  // namespace slipway::netfetch
