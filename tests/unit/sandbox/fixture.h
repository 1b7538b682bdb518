// A store and a worker of the test's own.
#pragma once

#include <memory>
#include <string>

#include "base/files.h"
#include "cache/store.h"
#include "sandbox/worker.h"

namespace slipway::sandbox::testing {

struct Sandbox {
  TempDir dir = TempDir::create("slipway-sandbox");
  std::unique_ptr<cache::Store> store = cache::Store::open(dir.path() / "store");
  cache::Lease lease = store->lease();
  Cancel cancel;
  std::unique_ptr<Worker> worker;

  explicit Sandbox(Isolation isolation = Isolation::oci, Limits limits = {}) {
    WorkerOptions options;
    options.store = store.get();
    options.isolation = isolation;
    options.limits = limits;
    options.worker_program = SLIPWAY_TEST_WORKER;
    worker = Worker::start(options);
  }
  ~Sandbox() {
    // The layers belong to mapped ids; only the worker can remove them as an ordinary user.
    try {
      worker->remove(made);
    } catch (const std::exception&) {
    }
  }

  SnapshotId layer(const std::vector<graph::WorkspaceOp::Dir>& dirs = {}) {
    const SnapshotId id = store->allocate_snapshot(lease);
    worker->create(id, dirs);
    made.push_back(id);
    return id;
  }

  struct Outcome {
    ExecResult result;
    std::string out, err;
    std::string all() const { return out + err; }
  };
  Outcome run(const ExecSpec& spec) {
    Outcome outcome;
    ExecIo io;
    io.on_stdout = [&](std::string_view text) { outcome.out += text; };
    io.on_stderr = [&](std::string_view text) { outcome.err += text; };
    outcome.result = worker->exec(spec, io, cancel);
    return outcome;
  }
  Outcome shell(const std::string& script, ExecSpec spec = host_step()) {
    spec.argv = {"/bin/sh", "-c", script};
    return run(spec);
  }
  static ExecSpec host_step() {
    ExecSpec spec;
    spec.root.host = true;
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    spec.security = graph::Security::no_new_privileges;
    return spec;
  }
  std::vector<SnapshotId> made;
};

}  // namespace slipway::sandbox::testing
