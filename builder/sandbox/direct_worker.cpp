#include "sandbox/direct_worker.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "sandbox/file_actions.h"
#include "sandbox/layers.h"
#include "sandbox/plain_places.h"
#include "sandbox/requests.h"
#include "sandbox/root_changes.h"

namespace slipway::sandbox {
namespace {

class DirectTreeReader : public TreeReader {
 public:
  DirectTreeReader(std::vector<Fd> layers, std::string path)
      : layers_(std::move(layers)), files_(descriptors(layers_)), path_(std::move(path)) {}
  std::vector<Fd> open(const std::vector<std::string>& paths) override {
    std::vector<Fd> files;
    for (const std::string& name : paths) {
      files.push_back(files_.open(path_.empty() ? name : path_ + "/" + name));
      if (!files.back()) fail(ExitCode::machine, "{} is missing in the stored tree", name);
    }
    return files;
  }

 private:
  static std::vector<int> descriptors(const std::vector<Fd>& layers) {
    std::vector<int> list;
    for (const Fd& layer : layers) list.push_back(layer.get());
    return list;
  }

  std::vector<Fd> layers_;
  LayerFiles files_;
  std::string path_;
};

/// Keeps the layer open for as long as it is written to.
class DirectCopyIn : public CopyIn {
 public:
  DirectCopyIn(Fd layer, bool single_id)
      : layer_(std::move(layer)), writer_(make_layer_writer(layer_.get(), single_id)) {}
  void directory(const std::string& path, uint32_t mode, graph::Owner owner,
                 int64_t mtime_ns) override {
    writer_->directory(path, mode, owner, mtime_ns);
  }
  void file(const std::string& path, uint32_t mode, graph::Owner owner, int64_t mtime_ns,
            uint64_t size, Fd content) override {
    writer_->file(path, mode, owner, mtime_ns, size, std::move(content));
  }
  void symlink(const std::string& path, const std::string& target, graph::Owner owner,
               int64_t mtime_ns) override {
    writer_->symlink(path, target, owner, mtime_ns);
  }
  void whiteout(const std::string& path) override { writer_->whiteout(path); }
  void finish() override { writer_->finish(); }

 private:
  Fd layer_;
  std::unique_ptr<CopyIn> writer_;
};

}  // namespace

DirectWorker::DirectWorker(const WorkerOptions& options, bool single_id)
    : store_(*options.store), single_id_(single_id), roots_(store_) {
  limits_ = BuildLimits::create(options.limits);
  make_directories(store_.snapshots_dir(), 0700);
  make_directories(store_.caches_dir(), 0700);
  snapshots_ = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
}
DirectWorker::~DirectWorker() = default;

std::unique_ptr<CopyIn> DirectWorker::copy_in(SnapshotId target) {
  return std::make_unique<DirectCopyIn>(make_layer(snapshots(), target), single_id_);
}

void DirectWorker::create(SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) {
  const Fd layer = make_layer(snapshots(), target);
  create_dirs(layer.get(), dirs, single_id_);
}

archive::Tree DirectWorker::unpack(SnapshotId target, int archive, const UnpackOptions& options) {
  return unpack_layer(snapshots(), target, archive, options, single_id_);
}

ScanResult DirectWorker::scan(const ScanRequest& wanted) {
  const SnapshotId upper = wanted.tree.upper;
  if (upper == 0 || !is_full_layer(snapshots(), upper)) {
    ScanRequest cut = wanted;
    cut.tree.layers = cut_at_full_layer(snapshots(), wanted.tree.layers);
    return scan_stack(snapshots(), cut);
  }
  // Everything is in the upper, and what it lacks has been deleted.
  return scan_stack(snapshots(),
                    {{upper, {}}, wanted.path, {}, wanted.previous_state, wanted.digests});
}

LayerResult DirectWorker::list_layer(const LayerRequest& wanted) {
  return list_stack(snapshots(), wanted, single_id_);
}

std::unique_ptr<TreeReader> DirectWorker::read_tree(const Workspace& tree,
                                                    const std::string& path) {
  return std::make_unique<DirectTreeReader>(open_stack(snapshots(), cut(tree)), path);
}

void DirectWorker::move(SnapshotId from, const std::string& from_path, SnapshotId to,
                        const std::string& to_path) {
  move_path(snapshots(), from, from_path, to, to_path);
}

void DirectWorker::flatten(const std::vector<SnapshotId>& layers, SnapshotId target) {
  flatten_stack(snapshots(), cut_at_full_layer(snapshots(), layers), target);
}

FileResult DirectWorker::apply_files(SnapshotId target, const FileRequest& request) {
  const Fd layer = make_layer(snapshots(), target);
  FileRequest cut = request;
  cut.base = cut_at_full_layer(snapshots(), request.base);
  for (FileRequest::Action& action : cut.actions)
    action.source_layers = cut_at_full_layer(snapshots(), action.source_layers);
  const std::vector<Fd> base = open_stack(snapshots(), {0, cut.base});
  std::vector<Fd> opened;
  const std::vector<FileActionOn> actions = open_sources(snapshots(), cut, opened);
  FileTarget on;
  on.layer = layer.get();
  on.base = numbers(base);
  on.single_id = single_id_;
  on.merged = [&](const std::function<void(int)>& use) {
    // The stack is copied out, and what changes in the copy is put into the layer.
    std::vector<SnapshotId> stack{target};
    stack.insert(stack.end(), cut.base.begin(), cut.base.end());
    const RootCopies::Root root = roots_.copy(stack);
    const TreeState before = TreeState::of(root.fd.get());
    use(root.fd.get());
    LayerTarget changed(layer.get(), on.base, single_id_);
    store_changes(root.fd.get(), before, changed);
  };
  return apply_file_actions(on, actions);
}

std::vector<Selection> DirectWorker::select(const SelectRequest& request) {
  SelectRequest cut = request;
  cut.layers = cut_at_full_layer(snapshots(), request.layers);
  return select_in_stack(snapshots(), cut);
}

void DirectWorker::remove(const std::vector<SnapshotId>& snapshots_to_remove) {
  remove_snapshots(snapshots(), snapshots_to_remove);
}

Workspace DirectWorker::cut(const Workspace& tree) const {
  if (tree.upper != 0 && is_full_layer(snapshots(), tree.upper)) return {tree.upper, {}};
  return {tree.upper, cut_at_full_layer(snapshots(), tree.layers)};
}

void DirectWorker::fill_workspace(const Workspace& workspace) {
  if (is_full_layer(snapshots(), workspace.upper)) return;
  const std::vector<Fd> layers = open_stack(snapshots(), cut(workspace));
  const std::string fresh = fmt::format("{}/fs.new", workspace.upper);
  const std::string layer = fmt::format("{}/fs", workspace.upper);
  remove_tree_at(snapshots(), fresh);
  if (mkdirat(snapshots(), fresh.c_str(), 0755) != 0) fail_errno("create a workspace");
  {
    const Fd target = open_at(snapshots(), fresh, O_RDONLY | O_DIRECTORY);
    copy_layers(numbers(layers), target.get());
  }
  remove_tree_at(snapshots(), layer);
  if (renameat(snapshots(), fresh.c_str(), snapshots(), layer.c_str()) != 0)
    fail_errno("publish a workspace");
  mark_full_layer(snapshots(), workspace.upper);
}

}  // namespace slipway::sandbox
