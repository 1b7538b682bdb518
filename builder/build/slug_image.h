// A slug as an image: the stack's layers, then the app's tree in parts (slug_layers.h), and a
// launcher as entrypoint (launcher.h).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "build/bases.h"
#include "build/request.h"
#include "source/procfile.h"

namespace slipway::build {

struct SlugImageInput {
  std::string stack;
  const archive::Tree* tree = nullptr;  ///< BUILD_DIR, paths relative
  archive::OpenFiles open;              ///< by the tree's paths
  std::map<std::string, std::string> writers;
  std::vector<std::string> packs;  ///< in order, by the names of `writers`
  source::ProcessTypes types;
  int64_t source_time = 0;  ///< seconds
  std::string app, commit;
};

/// Throws Error(usage) for the host stack.
image::Image make_slug_image(const Session& session, engine::Engine& engine, Bases& bases,
                             const BuildRequest& request, const SlugImageInput& input);

/// A slug made on the machine's own root has nothing to stand on elsewhere: Error(usage).
void check_stack_is_image(const std::string& stack);

/// Refuses by name what was asked for and means nothing to a build with buildpacks.
void check_buildpack_flags(const BuildRequest& request);

}  // namespace slipway::build
