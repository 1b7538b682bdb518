// What a child of the worker does for each kind of request.
#pragma once

#include <vector>

#include "base/fd.h"
#include "sandbox/file_actions.h"
#include "sandbox/protocol.h"
#include "sandbox/step_root.h"

namespace slipway::sandbox {

/// Does the work and sends the reply; throws what goes wrong. The current directory is snapshots/
/// (inside the worker) and layers are reached by relative names.
void serve_request(const WorkerState& state, Request request, Decoder& payload, std::vector<Fd> fds,
                   int channel);

/// The operations themselves, relative to an open snapshots/ directory: also used on rung none,
/// where no worker stands between.
Fd open_layer(int snapshots, SnapshotId id);
/// snapshots/<id>/fs, made when missing.
Fd make_layer(int snapshots, SnapshotId id);
archive::Tree unpack_layer(int snapshots, SnapshotId target, int archive,
                           const UnpackOptions& options, bool single_id);
ScanResult scan_stack(int snapshots, const ScanRequest& request);
std::vector<Selection> select_in_stack(int snapshots, const SelectRequest& request);
/// A request's actions with their sources opened; `opened` keeps the descriptors.
std::vector<FileActionOn> open_sources(int snapshots, const FileRequest& request,
                                       std::vector<Fd>& opened);
/// With root_owns_all every owner is 0:0 (rung none).
LayerResult list_stack(int snapshots, const LayerRequest& request, bool root_owns_all);
void flatten_stack(int snapshots, const std::vector<SnapshotId>& layers, SnapshotId target);
void move_path(int snapshots, SnapshotId from, const std::string& from_path, SnapshotId to,
               const std::string& to_path);
void remove_snapshots(int snapshots, const std::vector<SnapshotId>& ids);
std::vector<Fd> open_stack(int snapshots, const Workspace& tree);
std::vector<int> numbers(const std::vector<Fd>& fds);

}  // namespace slipway::sandbox
