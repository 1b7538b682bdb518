// --cache-from and --cache-to, with buildx's names; what has no place here is refused by name.
#pragma once

#include <string>
#include <vector>

#include "build/request.h"
#include "cli/command.h"

namespace slipway::cli {

struct CacheOptions {
  std::vector<std::string> from, to;
  void declare(CLI::App& app);
  /// Throws Error(usage).
  void apply(build::BuildRequest& request) const;
};

/// "type=registry,ref=REF", "type=local,src=DIR", or a bare reference. Throws Error(usage).
build::CachePlace parse_cache_from(const std::string& text);
build::CachePlace parse_cache_to(const std::string& text);

}  // namespace slipway::cli
