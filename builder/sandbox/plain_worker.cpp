#include "sandbox/plain_worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>

#include "base/error.h"
#include "base/files.h"
#include "base/process.h"
#include "sandbox/file_actions.h"
#include "sandbox/layers.h"
#include "sandbox/limits.h"
#include "sandbox/plain_places.h"
#include "sandbox/requests.h"
#include "sandbox/step_output.h"

namespace slipway::sandbox {
namespace {

using Clock = std::chrono::steady_clock;

class PlainTreeReader : public TreeReader {
 public:
  PlainTreeReader(std::vector<Fd> layers, std::string path)
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
class PlainCopyIn : public CopyIn {
 public:
  explicit PlainCopyIn(Fd layer)
      : layer_(std::move(layer)), writer_(make_layer_writer(layer_.get(), true)) {}
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

class PlainWorker : public Worker {
 public:
  explicit PlainWorker(const WorkerOptions& options) : store_(*options.store) {
    limits_ = BuildLimits::create(options.limits);
    make_directories(store_.snapshots_dir(), 0700);
    snapshots_ = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
  }
  bool single_id() const override { return true; }
  std::string describe() const override {
    return "none (no isolation: the machine's own files, users and network)";
  }
  std::unique_ptr<CopyIn> copy_in(SnapshotId target) override {
    return std::make_unique<PlainCopyIn>(make_layer(snapshots_.get(), target));
  }
  void create(SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) override {
    const Fd layer = make_layer(snapshots_.get(), target);
    create_dirs(layer.get(), dirs, true);
  }
  archive::Tree unpack(SnapshotId target, int archive, const UnpackOptions& options) override {
    return unpack_layer(snapshots_.get(), target, archive, options, true);
  }
  ScanResult scan(const ScanRequest& wanted) override {
    const SnapshotId upper = wanted.tree.upper;
    if (upper == 0 || !is_full_layer(snapshots_.get(), upper)) {
      ScanRequest cut = wanted;
      cut.tree.layers = cut_at_full_layer(snapshots_.get(), wanted.tree.layers);
      return scan_stack(snapshots_.get(), cut);
    }
    // Everything is in the upper, and what it lacks has been deleted.
    return scan_stack(snapshots_.get(),
                      {{upper, {}}, wanted.path, {}, wanted.previous_state, wanted.digests});
  }
  LayerResult list_layer(const LayerRequest& wanted) override {
    return list_stack(snapshots_.get(), wanted, true);
  }
  std::unique_ptr<TreeReader> read_tree(const Workspace& tree, const std::string& path) override {
    return std::make_unique<PlainTreeReader>(open_stack(snapshots_.get(), cut(tree)), path);
  }
  void move(SnapshotId from, const std::string& from_path, SnapshotId to,
            const std::string& to_path) override {
    move_path(snapshots_.get(), from, from_path, to, to_path);
  }
  void flatten(const std::vector<SnapshotId>& layers, SnapshotId target) override {
    flatten_stack(snapshots_.get(), cut_at_full_layer(snapshots_.get(), layers), target);
  }
  FileResult apply_files(SnapshotId target, const FileRequest& request) override {
    // Without overlay the new layer holds everything.
    fill_workspace({target, cut_at_full_layer(snapshots_.get(), request.base)});
    const Fd root = open_layer(snapshots_.get(), target);
    FileRequest cut = request;
    for (FileRequest::Action& action : cut.actions)
      action.source_layers = cut_at_full_layer(snapshots_.get(), action.source_layers);
    std::vector<Fd> opened;
    const std::vector<FileActionOn> actions = open_sources(snapshots_.get(), cut, opened);
    return apply_file_actions({root.get(), {}, true, {}}, actions);
  }
  std::vector<Selection> select(const SelectRequest& request) override {
    SelectRequest cut = request;
    cut.layers = cut_at_full_layer(snapshots_.get(), request.layers);
    return select_in_stack(snapshots_.get(), cut);
  }
  void remove(const std::vector<SnapshotId>& snapshots) override {
    remove_snapshots(snapshots_.get(), snapshots);
  }
  ExecResult exec(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) override {
    if (!spec.root.host)
      throw Error(ExitCode::machine, "--isolation=none runs on the machine's own root only")
          .set_hint("use --stack=host, or an isolation that can change the root");
    // Steps share the machine's paths, so they run one after the other.
    const std::lock_guard<std::mutex> lock(exec_mutex_);
    if (spec.workspace) fill_workspace(*spec.workspace);
    PlainPlaces places(store_, snapshots_.get(), spec);
    StepOutput output(spec, io);
    const ExecResult result = run(spec, io, output, cancel);
    places.restore();
    return result;
  }

 private:
  Workspace cut(const Workspace& tree) const {
    if (tree.upper != 0 && is_full_layer(snapshots_.get(), tree.upper)) return {tree.upper, {}};
    return {tree.upper, cut_at_full_layer(snapshots_.get(), tree.layers)};
  }

  /// Without overlay the workspace becomes a copy of its own: once, before its first step.
  void fill_workspace(const Workspace& workspace) {
    if (is_full_layer(snapshots_.get(), workspace.upper)) return;
    const std::vector<Fd> layers = open_stack(snapshots_.get(), cut(workspace));
    std::vector<int> stack;
    for (const Fd& layer : layers) stack.push_back(layer.get());
    const std::string fresh = fmt::format("{}/fs.new", workspace.upper);
    remove_tree_at(snapshots_.get(), fresh);
    if (mkdirat(snapshots_.get(), fresh.c_str(), 0755) != 0) fail_errno("create a workspace");
    {
      const Fd target = open_at(snapshots_.get(), fresh, O_RDONLY | O_DIRECTORY);
      copy_layers(stack, target.get());
    }
    remove_tree_at(snapshots_.get(), layer_name_of(workspace.upper));
    if (renameat(snapshots_.get(), fresh.c_str(), snapshots_.get(),
                 layer_name_of(workspace.upper).c_str()) != 0)
      fail_errno("publish a workspace");
    mark_full_layer(snapshots_.get(), workspace.upper);
  }
  static std::string layer_name_of(SnapshotId id) { return fmt::format("{}/fs", id); }

  ExecResult run(const ExecSpec& spec, const ExecIo& io, StepOutput& output, Cancel& cancel) {
    SpawnOptions spawning;
    spawning.argv = spec.argv;
    spawning.env.emplace();
    for (const auto& [name, value] : spec.env) (*spawning.env)[name] = value;
    spawning.cwd = spec.cwd;
    // A terminal's own foreground group stays together, so that job control works.
    spawning.own_process_group = !output.terminal();
    const std::vector<int> fds = output.step_fds();
    if (output.terminal()) {
      spawning.stdin_fd = io.stdin_fd;
      spawning.stdout_fd = io.stdout_fd;
      spawning.stderr_fd = io.stderr_fd >= 0 ? io.stderr_fd : io.stdout_fd;
    } else {
      const uint32_t present = output.present();
      size_t next = 0;
      int* const streams[] = {&spawning.stdin_fd, &spawning.stdout_fd, &spawning.stderr_fd};
      for (unsigned i = 0; i < 3; ++i)
        if ((present >> i & 1U) != 0) *streams[i] = fds[next++];
    }
    const uint64_t kills = limits_->out_of_memory_kills();
    const auto started = Clock::now();
    ExecResult result;
    Child child;
    try {
      child = spawn(spawning);
    } catch (const Error& error) {
      // As a shell tells it; the step's failure, not the machine's.
      if (io.on_stderr) io.on_stderr(error.cause() + "\n");
      result.status = {127, 0};
      return result;
    }
    limits_->add(child.pid());
    output.close_step_ends();
    std::optional<ExecResult> ended;
    result = output.relay_child(
        [&]() -> std::optional<ExecResult> {
          if (ended) return ended;
          const auto status = child.try_wait();
          if (status) {
            ended.emplace();
            ended->status = *status;
          } else if (spec.timeout && Clock::now() - started > *spec.timeout) {
            child.signal(SIGKILL);
            ended.emplace();
            ended->status = child.wait();
            ended->timed_out = true;
          }
          return ended;
        },
        [&](int signal) {
          if (child.running()) child.signal(signal);
        },
        cancel);
    result.out_of_memory = limits_->out_of_memory_kills() > kills;
    return result;
  }

  cache::Store& store_;
  std::unique_ptr<BuildLimits> limits_;
  Fd snapshots_;
  std::mutex exec_mutex_;
};

}  // namespace

std::unique_ptr<Worker> start_plain_worker(const WorkerOptions& options) {
  return std::make_unique<PlainWorker>(options);
}

}  // namespace slipway::sandbox
