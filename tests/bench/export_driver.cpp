// export_driver STORE TREE OUT: what `build` does for FROM scratch, COPY . / and an OCI archive —
// the tree into the store, the copy as a layer, the layer's tar, the archive — and says what it
// took, as one line of JSON. For export_bench.sh. Called as "export_driver __worker" by itself.
#include <sys/resource.h>

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "build/image_trees.h"
#include "engine/engine.h"
#include "image/export.h"
#include "image/layers.h"

using namespace slipway;

namespace {

class Clock {
 public:
  double lap_ms() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double, std::milli> passed = now - last_;
    last_ = now;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

int run(const fs::path& store_path, const std::string& tree_path, const std::string& out_path) {
  Clock clock;
  const auto store = cache::Store::open(store_path);
  Cancel cancel;
  report::Stream stream;
  engine::Options options;
  options.store = store.get();
  options.stream = &stream;
  options.cancel = &cancel;
  options.locals["context"].path = tree_path;
  engine::Engine engine(options);

  graph::FileAction copy;
  copy.kind = graph::FileAction::Kind::copy;
  copy.source_input = 0;
  copy.dest = "/";
  graph::FileOp files;
  files.actions = {copy};
  files.on_scratch = true;
  graph::LocalOp context;
  context.name = "context";
  const engine::Solved solved =
      engine.solve(graph::Node::make(files, {graph::Node::make(context)}));
  const double build_ms = clock.lap_ms();

  image::LayerInput input;
  input.stack = store->chain(solved.result.snapshot);
  if (solved.result.extra.contains("known"))
    input.known = Digest::from_hex(solved.result.extra["known"].get<std::string>());
  const image::Trees trees = build::image_trees(
      *store, [&]() -> sandbox::Worker& { return engine.worker(); }, "mapped");
  const std::vector<image::Layer> layers =
      image::write_layers(*store, engine.lease(), trees, {input});
  const double layer_ms = clock.lap_ms();

  image::Image one;
  one.layers = layers;
  one.config.diff_ids = {layers[0].diff_id};
  image::Named named;
  named.platforms = {one};
  named.names = {oci::parse_reference("bench:1").canonical()};
  (void)image::export_oci_archive({*store, engine.lease(), cancel}, out_path, {named});
  const double write_ms = clock.lap_ms();

  rusage usage{}, children{};
  getrusage(RUSAGE_SELF, &usage);
  getrusage(RUSAGE_CHILDREN, &children);
  const Json report = {{"cached", solved.cached},
                       {"raw_bytes", layers[0].raw_bytes},
                       {"size_bytes", layers[0].blob.size_bytes},
                       {"diff_id", layers[0].diff_id},
                       {"build_ms", build_ms},
                       {"layer_ms", layer_ms},
                       {"write_ms", write_ms},
                       {"peak_rss_kib", std::max(usage.ru_maxrss, children.ru_maxrss)}};
  std::printf("%s\n", dump_json(report).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "__worker") == 0) return sandbox::worker_main(argc, argv);
  if (argc != 4) {
    std::fprintf(stderr, "usage: export_driver STORE TREE OUT\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const Error& error) {
    std::fprintf(stderr, "export_driver: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
