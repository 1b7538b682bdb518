#include "build/image_trees.h"

#include "sandbox/ids.h"

namespace slipway::build {

image::Trees image_trees(const cache::Store& store, std::function<sandbox::Worker&()> worker,
                         const std::string& ids) {
  image::Trees trees;
  trees.ids = ids;
  trees.list = [&store, worker](const image::Trees::Request& wanted) {
    sandbox::LayerRequest request;
    request.stack = wanted.stack;
    request.own = wanted.own;
    request.digests = wanted.digests;
    if (wanted.known) request.known = store.read_tree(wanted.known);
    sandbox::LayerResult result = worker().list_layer(request);
    return image::Trees::Listed{std::move(result.listing), std::move(result.warnings)};
  };
  trees.open = [worker](const std::vector<cache::SnapshotId>& stack) -> archive::OpenFiles {
    const std::shared_ptr<sandbox::TreeReader> reader = worker().read_tree({0, stack}, "");
    return [reader](const std::vector<std::string>& paths) { return reader->open(paths); };
  };
  trees.unpack = [worker](int archive, const image::Trees::Unpack& wanted) {
    sandbox::UnpackOptions options;
    options.whiteouts = true;
    options.lower = wanted.lower;
    options.wait_for_lower = wanted.wait_for_lower;
    options.diff_id = wanted.diff_id;
    options.digests = false;
    options.on_warning = wanted.on_warning;
    return worker().unpack(wanted.target, archive, options);
  };
  return trees;
}

image::Trees image_trees(const cache::Store& store, engine::Engine& engine) {
  return image_trees(
      store, [&engine]() -> sandbox::Worker& { return engine.worker(); },
      sandbox::plan_ids(store.id_base()).single_id() ? "single" : "mapped");
}

}  // namespace slipway::build
