// A worker without namespaces: layers are plain directories of the test's store, commands are calls
// of the test's own. What it does to layers is the real code.
#pragma once

#include <atomic>

#include "base/error.h"
#include "base/files.h"
#include "cache/store.h"
#include "sandbox/file_actions.h"
#include "sandbox/layers.h"
#include "sandbox/requests.h"
#include "sandbox/worker.h"

namespace slipway::tests {

class FakeWorker : public sandbox::Worker {
 public:
  /// Gets the spec and the folder of the workspace's upper layer (or the root's).
  using Command = std::function<sandbox::ExecResult(const sandbox::ExecSpec&, const fs::path& upper,
                                                    const sandbox::ExecIo&)>;
  FakeWorker(cache::Store& store, Command command) : store_(store), command_(std::move(command)) {}

  bool single_id() const override { return true; }
  std::string describe() const override { return "fake"; }

  fs::path layer(cache::SnapshotId id) const {
    const fs::path path = store_.snapshots_dir() / std::to_string(id) / "fs";
    make_directories(path);
    return path;
  }
  Fd open_layer(cache::SnapshotId id) const {
    return open_file(layer(id).string(), O_RDONLY | O_DIRECTORY);
  }

  std::unique_ptr<sandbox::CopyIn> copy_in(cache::SnapshotId target) override {
    kept_.push_back(open_layer(target));
    return sandbox::make_layer_writer(kept_.back().get(), true);
  }
  void create(cache::SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) override {
    sandbox::create_dirs(open_layer(target).get(), dirs, true);
  }
  archive::Tree unpack(cache::SnapshotId, int, const sandbox::UnpackOptions&) override {
    throw std::logic_error("not used");
  }
  sandbox::LayerResult list_layer(const sandbox::LayerRequest&) override {
    throw std::logic_error("not faked");
  }
  sandbox::ScanResult scan(const sandbox::ScanRequest& request) override {
    std::vector<Fd> layers;
    std::vector<int> fds;
    if (request.tree.upper != 0) layers.push_back(open_layer(request.tree.upper));
    for (const cache::SnapshotId id : request.tree.layers) layers.push_back(open_layer(id));
    for (const Fd& fd : layers) fds.push_back(fd.get());
    const int fresh = request.tree.upper != 0 ? 1 : static_cast<int>(fds.size());
    return sandbox::scan_layers(fds, fresh, request.path, request.lower, request.previous_state);
  }
  std::unique_ptr<sandbox::TreeReader> read_tree(const sandbox::Workspace&,
                                                 const std::string&) override {
    throw std::logic_error("not used");
  }
  sandbox::ExecResult exec(const sandbox::ExecSpec& spec, const sandbox::ExecIo& io,
                           Cancel& cancel) override {
    ++commands_run;
    cancel.check();
    const cache::SnapshotId upper = spec.workspace ? spec.workspace->upper : spec.root.upper;
    return command_(spec, upper == 0 ? fs::path() : layer(upper), io);
  }
  void move(cache::SnapshotId from, const std::string& from_path, cache::SnapshotId to,
            const std::string& to_path) override {
    sandbox::move_subtree(open_layer(from).get(), from_path, open_layer(to).get(), to_path);
  }
  void flatten(const std::vector<cache::SnapshotId>& layers, cache::SnapshotId target) override {
    std::vector<Fd> opened;
    std::vector<int> fds;
    for (const cache::SnapshotId id : layers) opened.push_back(open_layer(id));
    for (const Fd& fd : opened) fds.push_back(fd.get());
    sandbox::flatten_layers(fds, open_layer(target).get());
  }
  sandbox::FileResult apply_files(cache::SnapshotId target,
                                  const sandbox::FileRequest& request) override {
    ++requests_applied;
    const Fd snapshots = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
    (void)layer(target);
    const Fd own = open_layer(target);
    std::vector<Fd> base = sandbox::open_stack(snapshots.get(), {0, request.base}), opened;
    const auto actions = sandbox::open_sources(snapshots.get(), request, opened);
    return sandbox::apply_file_actions({own.get(), sandbox::numbers(base), true, {}}, actions);
  }
  std::vector<sandbox::Selection> select(const sandbox::SelectRequest& request) override {
    const Fd snapshots = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
    return sandbox::select_in_stack(snapshots.get(), request);
  }
  void remove(const std::vector<cache::SnapshotId>& snapshots) override {
    for (const cache::SnapshotId id : snapshots)
      remove_tree(store_.snapshots_dir() / std::to_string(id));
  }

  std::atomic<int> commands_run{0}, requests_applied{0};

 private:
  cache::Store& store_;
  Command command_;
  std::vector<Fd> kept_;
};

}  // namespace slipway::tests
