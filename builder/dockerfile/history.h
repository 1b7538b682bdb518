// The texts of image history (dockerfile.md M3, M4): scanners read them, so they are exactly those
// BuildKit writes, which are Go's notations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dockerfile/scope.h"

namespace slipway::dockerfile {

/// ["a" "b"]: Go's %q of a list.
std::string quoted_list(const std::vector<std::string>& words);
/// [a b]: Go's %v of a list.
std::string plain_list(const std::vector<std::string>& words);
/// "1m30s", "500ms", "0s": Go's notation of a duration.
std::string go_duration(int64_t duration_ns);
/// "{Test:[CMD x] Interval:30s …}": Go's %+v of a health check.
std::string healthcheck_text(const oci::Healthcheck& check);

/// An ARG of a stage, in the order of first declaration; the value is what it had when declared.
struct DeclaredArg {
  std::string name;
  Text value;
};
/// "RUN |2 a=1 b=2 /bin/sh -c make # buildkit"; what is in the scope counts before what was
/// declared.
std::string run_text(const std::vector<std::string>& argv, const std::vector<DeclaredArg>& args,
                     const Scope& scope);

/// Seconds since 1970 as RFC 3339 in UTC.
std::string rfc3339(int64_t seconds);

}  // namespace slipway::dockerfile
