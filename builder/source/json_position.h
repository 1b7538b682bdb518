// Where a value stands in a JSON text: nlohmann-json keeps no positions, and an error in app.json
// must name line and column.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace slipway::source {

/// Position of the value a JSON pointer ("/env/PORT/value", RFC 6901) names; columns count bytes.
/// `text` must have been parsed already. Of equal keys the last counts, as in nlohmann-json. For a
/// pointer that leads nowhere: the deepest value on the way.
SourcePos json_position(std::string_view text, const std::string& file, const std::string& pointer);

}  // namespace slipway::source
