#include "build/pipeline_results.h"

#include "base/error.h"

namespace slipway::build {

namespace {

archive::Tree listing_of(cache::Store& store, engine::Engine& engine, cache::SnapshotId top,
                         const std::string& path) {
  sandbox::ScanRequest scan;
  scan.tree = {0, store.chain(top)};
  scan.path = path;
  return engine.worker().scan(scan).tree;
}

}  // namespace

std::optional<Json> pipeline_facts(cache::Store& store, engine::Engine& engine,
                                   const std::vector<Digest>& keys, const cache::Result& result) {
  for (const Digest& key : keys)
    if (auto facts = store.find_value(pipeline_area, key.hex())) {
      const std::string path = result.extra.value("path", std::string());
      const archive::Tree tree = listing_of(store, engine, result.snapshot, path);
      return Json{{"pipeline", std::move(*facts)},
                  {"path", path},
                  {"content", archive::tree_digest(tree).hex()}};
    }
  return std::nullopt;
}

cache::Result take_pipeline(cache::Store& store, engine::Engine& engine, const Digest& key,
                            cache::SnapshotId top, const Json& facts) {
  const auto text = [&](const char* name) {
    const auto found = facts.find(name);
    return found != facts.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (!facts.contains("pipeline") || top == 0)
    fail(ExitCode::outside, "the facts of a pipeline's result are incomplete");
  const std::string path = text("path");
  const archive::Tree tree = listing_of(store, engine, top, path);
  cache::Result result;
  result.snapshot = top;
  result.content = archive::tree_digest(tree);
  if (result.content.hex() != text("content"))
    fail(ExitCode::outside, "a pipeline's files are not those it was told of");
  result.trees = {store.put_tree(tree)};
  result.extra["path"] = path;
  store.put_value(pipeline_area, key.hex(), facts.at("pipeline"));
  return result;
}

}  // namespace slipway::build
