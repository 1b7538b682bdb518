#include "build/image_trees.h"

namespace slipway::build {

image::Trees image_trees(engine::Engine& engine) {
  image::Trees trees;
  trees.list = [&engine](const image::Trees::Request& wanted) {
    sandbox::LayerRequest request;
    request.stack = wanted.stack;
    request.own = wanted.own;
    if (wanted.known != Digest()) request.known = engine.options().store->read_tree(wanted.known);
    request.digests = wanted.digests;
    sandbox::LayerResult result = engine.worker().list_layer(request);
    return image::Trees::Listed{std::move(result.listing), std::move(result.warnings)};
  };
  trees.open = [&engine](const std::vector<cache::SnapshotId>& stack) -> archive::OpenFiles {
    const std::shared_ptr<sandbox::TreeReader> reader =
        engine.worker().read_tree({0, stack}, std::string());
    return [reader](const std::vector<std::string>& paths) { return reader->open(paths); };
  };
  return trees;
}

}  // namespace slipway::build
