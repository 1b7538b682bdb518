// JSON values (nlohmann-json) and the one place where foreign JSON is parsed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace slipway {

using Json = nlohmann::json;

/// Parses a whole document. Throws Error(code) with file:line:column of the first mistake.
/// Nesting past 200 levels is refused (threat 7).
Json parse_json(std::string_view text, const std::string& file,
                int exit_code = 4 /* ExitCode::app_files */);
/// Compact, invalid UTF-8 replaced, so that it never throws.
std::string dump_json(const Json& value, int indent = -1);

}  // namespace slipway
