#include "build/pipeline_results.h"

#include "base/error.h"

namespace slipway::build {

std::optional<Json> pipeline_facts(const cache::Store& store, const std::vector<Digest>& keys,
                                   const Json& extra, const Digest& content) {
  for (const Digest& key : keys)
    if (auto facts = store.find_value(pipeline_area, key.hex()))
      return Json{{"pipeline", std::move(*facts)},
                  {"path", extra.value("path", std::string())},
                  {"content", content.hex()}};
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
  sandbox::ScanRequest scan;
  scan.tree = {0, store.chain(top)};
  scan.path = text("path");
  const archive::Tree tree = engine.worker().scan(scan).tree;
  cache::Result result;
  result.snapshot = top;
  result.content = archive::tree_digest(tree);
  if (result.content.hex() != text("content"))
    fail(ExitCode::outside, "a pipeline's files are not those it was told of");
  result.trees = {store.put_tree(tree)};
  result.extra["path"] = scan.path;
  store.put_value(pipeline_area, key.hex(), facts.at("pipeline"));
  return result;
}

}  // namespace slipway::build
