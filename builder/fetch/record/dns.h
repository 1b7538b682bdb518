// The name server of recorded steps: every name has the same address, for all addresses lead to the
// recorder. Pure; the bytes come from steps.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::record {

/// What every name resolves to: of the block for benchmarks (RFC 2544), which is nobody's.
inline constexpr const char* recorded_address = "198.18.0.1";

/// The answer to a DNS query (RFC 1035): an A record for A and ANY, none (no error) for other types
/// of names that have an address, "not implemented" for what is no query. Empty when the message
/// deserves no answer: too short, or an answer itself.
std::optional<std::string> answer_dns(std::string_view query);

}  // namespace slipway::record
