// Hidden (run with "[bench]"): what a Dockerfile's steps cost, all in.
#include <chrono>
#include <cstdio>
#include <thread>

#include "catch2/catch.hpp"
#include "engine/engine.h"
#include "sandbox/small_root.h"

using namespace slipway;
using namespace slipway::engine;
using slipway::sandbox::testing::Sandbox;
using slipway::sandbox::testing::small_root;

namespace {

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

struct Bench {
  Sandbox box;
  cache::SnapshotId root = small_root(box);
  report::Stream stream;
  Cancel cancel;
  fs::path context = box.dir.path() / "context";

  Bench() {
    cache::Snapshot snapshot;
    snapshot.id = root;
    snapshot.kind = "stack";
    box.store->commit_snapshot(snapshot);
    make_directories(context);
  }
  void solve(const graph::NodeRef& node, const char* what) {
    const double start = milliseconds([&] {
      Options options;
      options.store = box.store.get();
      options.stream = &stream;
      options.cancel = &cancel;
      options.app_id = "bench";
      options.locals["context"] = {context.string(), {}, {}, true, {}};
      options.resolve_image = [&](Engine&, const graph::ImageOp&) {
        return ResolvedImage{"root", {root}, false, {}, {}};
      };
      options.start_worker = [](const sandbox::WorkerOptions& given) {
        sandbox::WorkerOptions own = given;
        own.worker_program = SLIPWAY_TEST_WORKER;
        return sandbox::Worker::start(own);
      };
      std::unique_ptr<Engine> engine;
      const double made = milliseconds([&] { engine = std::make_unique<Engine>(options); });
      const double took = milliseconds([&] { (void)engine->solve(node); });
      const double synced = milliseconds([&] { box.store->sync(); });
      std::printf("%-34s solve %8.1f ms  (engine %.1f, sync %.1f)\n", what, took, made, synced);
      engine.reset();
    });
    std::printf("%-34s all   %8.1f ms\n", "", start);
  }
  graph::NodeRef chain(int steps, graph::Network network) const {
    graph::NodeRef node = graph::Node::make(graph::ImageOp{"root"});
    for (int i = 0; i < steps; ++i) {
      graph::ExecOp op;
      op.argv = {"/bin/sh", "-c", "true " + std::to_string(i)};
      op.network = network;
      graph::Mount mount;
      mount.dest = "/";
      mount.input = 0;
      mount.output = 0;
      op.mounts = {mount};
      node = graph::Node::make(op, {node}, {.title = "RUN " + std::to_string(i)});
    }
    return node;
  }
};

}  // namespace

TEST_CASE("bench: twenty RUN steps", "[.][bench]") {
  for (const graph::Network network : {graph::Network::none, graph::Network::open}) {
    Bench bench;
    const graph::NodeRef node = bench.chain(20, network);
    std::printf("network %s\n", network == graph::Network::none ? "none" : "open");
    bench.solve(bench.chain(1, network), "one step (worker, self check)");
    bench.solve(node, "twenty steps");
    bench.solve(node, "cached");
  }
}

TEST_CASE("bench: COPY of 20,000 small files", "[.][bench]") {
  Bench bench;
  std::printf("making files %.0f ms\n", milliseconds([&] {
                for (int i = 0; i < 20000; ++i) {
                  const fs::path folder = bench.context / ("d" + std::to_string(i / 100));
                  if (i % 100 == 0) fs::create_directory(folder);
                  const Fd file = open_file((folder / ("f" + std::to_string(i))).string(),
                                            O_WRONLY | O_CREAT, 0644);
                  write_all(file.get(), "content of the file " + std::to_string(i) + "\n");
                }
              }));
  graph::FileAction action;
  action.source = "/";
  action.dest = "/app/";
  action.source_input = 1;
  const graph::NodeRef node = graph::Node::make(
      graph::FileOp{{action}, false},
      {graph::Node::make(graph::ImageOp{"root"}),
       graph::Node::make(graph::LocalOp{.name = "context"}, {}, {.title = "context"})},
      {.title = "COPY . /app"});
  bench.solve(node, "cold");
  bench.solve(node, "unchanged, files are young");
  std::this_thread::sleep_for(std::chrono::seconds(3));
  write_file_atomic(bench.context / "d7/f777", "changed");
  bench.solve(node, "one changed");
  bench.solve(node, "unchanged");
  bench.solve(node, "unchanged");
}
