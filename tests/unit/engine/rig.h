// A store, a source folder and engines of a test's own.
#pragma once

#include "engine/engine.h"
#include "engine/fake_worker.h"

namespace slipway::tests {

inline sandbox::ExecResult done(int code = 0) {
  return {{code, 0}, false, false};
}

// A store and a source folder of the test's own; a new engine per build, as the program has.
struct Rig {
  TempDir dir = TempDir::create("engine-test");
  std::unique_ptr<cache::Store> store = cache::Store::open(dir.path() / "store");
  report::Stream stream;
  Cancel cancel;
  std::vector<report::StepFinished> finished;
  std::map<std::string, std::string> config;
  std::function<void(engine::Options&)> options;  ///< changes them before each build
  FakeWorker::Command command = [](const auto&, const auto&, const auto&) { return done(); };
  int commands_run = 0;
  engine::RemoteResults remote;

  struct Recorder : report::View {
    explicit Recorder(std::vector<report::StepFinished>& all) : list(all) {}
    void on_event(const report::Event& event) override {
      if (const auto* step = std::get_if<report::StepFinished>(&event)) list.push_back(*step);
    }
    std::vector<report::StepFinished>& list;
  };

  Rig() {
    make_directories(source());
    stream.add_view(std::make_shared<Recorder>(finished));
  }
  fs::path source() const { return dir.path() / "source"; }
  void write(const std::string& name, const std::string& text) const {
    make_directories((source() / name).parent_path());
    write_file_atomic(source() / name, text);
  }

  // Runs `build` with an engine whose worker counts its commands.
  template <typename Build>
  auto build(Build call, bool no_cache = false) {
    finished.clear();
    FakeWorker* worker = nullptr;
    engine::Options made;
    made.store = store.get();
    made.stream = &stream;
    made.cancel = &cancel;
    made.app_id = "app";
    made.no_cache = no_cache;
    made.config = config;
    made.remote = remote;
    made.locals["source"] = {
        source().string(), [](const std::string&, bool) { return false; }, {}, false, {}};
    made.locals["context"] = {source().string(), {}, {}, true, {}};
    made.resolve_image = [](engine::Engine&, const graph::ImageOp& image) {
      return engine::ResolvedImage{image.reference, {}, true, {}, {}};
    };
    made.start_worker = [&](const sandbox::WorkerOptions&) {
      auto started = std::make_unique<FakeWorker>(*store, command);
      worker = started.get();
      return started;
    };
    if (options) options(made);
    engine::Engine engine(std::move(made));
    struct Count {
      int& total;
      FakeWorker*& worker;
      ~Count() { total = worker != nullptr ? worker->commands_run.load() : 0; }
    } const count{commands_run, worker};
    return call(engine);
  }

  /// Why a step ran in the last build.
  std::string why(const std::string& title) const {
    for (const auto& step : finished)
      if (step.title == title && step.outcome == report::StepFinished::Outcome::ran)
        return step.missed_because;
    return "(did not run)";
  }
};

}  // namespace slipway::tests
