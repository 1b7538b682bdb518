// A worker without namespaces: layers are read and written by this process itself. What the rungs
// chroot and none have in common; they differ in how a step runs.
#pragma once

#include <memory>

#include "base/fd.h"
#include "sandbox/limits.h"
#include "sandbox/root_copies.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

class DirectWorker : public Worker {
 public:
  DirectWorker(const WorkerOptions& options, bool single_id);
  ~DirectWorker() override;
  bool single_id() const override { return single_id_; }
  std::unique_ptr<CopyIn> copy_in(SnapshotId target) override;
  void create(SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) override;
  archive::Tree unpack(SnapshotId target, int archive, const UnpackOptions& options) override;
  ScanResult scan(const ScanRequest& wanted) override;
  LayerResult list_layer(const LayerRequest& wanted) override;
  std::unique_ptr<TreeReader> read_tree(const Workspace& tree, const std::string& path) override;
  void move(SnapshotId from, const std::string& from_path, SnapshotId to,
            const std::string& to_path) override;
  void flatten(const std::vector<SnapshotId>& layers, SnapshotId target) override;
  FileResult apply_files(SnapshotId target, const FileRequest& request) override;
  std::vector<Selection> select(const SelectRequest& request) override;
  void remove(const std::vector<SnapshotId>& snapshots) override;

 protected:
  int snapshots() const { return snapshots_.get(); }
  Workspace cut(const Workspace& tree) const;
  /// Without overlay the workspace becomes a copy of its own: once, before its first step.
  void fill_workspace(const Workspace& workspace);

  cache::Store& store_;
  std::unique_ptr<BuildLimits> limits_;

 private:
  Fd snapshots_;
  const bool single_id_;

 protected:
  RootCopies roots_;
};

}  // namespace slipway::sandbox
