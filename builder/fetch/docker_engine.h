// A docker engine of this machine, asked over its socket: what `docker load` would do.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fetch/fetcher.h"

namespace slipway::fetch {

/// What an engine is to have.
struct EngineImage {
  std::string id;                     ///< "sha256:<hex>" of the config
  std::vector<std::string> diff_ids;  ///< of its layers, lowest first
  std::vector<std::string> names;     ///< canonical, with tags
};

/// What it has of that.
struct EngineHas {
  bool image = false;  ///< all of it; it has the names now as well
  size_t layers = 0;   ///< so many of the lowest
};

/// Names of images that are there are moved. Throws Error(machine) when nobody answers at the
/// socket or it may not be used, Error(outside) with the engine's own words.
std::vector<EngineHas> ask_engine(const Fetcher& fetcher, const std::string& socket,
                                  const std::vector<EngineImage>& images);

/// Sends a docker-archive; `write` writes it into a pipe, on a thread of its own. What `write`
/// throws goes first: the engine only saw its archive end early.
void load_into_engine(const Fetcher& fetcher, const std::string& socket,
                      const std::function<void(int out)>& write);

}  // namespace slipway::fetch
