// The parent's side of rung oci: starts the worker and speaks to it.
#include "sandbox/worker.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/chroot_worker.h"
#include "sandbox/host_trust.h"
#include "sandbox/ids.h"
#include "sandbox/limits.h"
#include "sandbox/network.h"
#include "sandbox/plain_worker.h"
#include "sandbox/protocol.h"
#include "sandbox/runtime.h"
#include "sandbox/seccomp.h"
#include "sandbox/self_check.h"
#include "sandbox/step_output.h"

namespace slipway::sandbox {
namespace {

constexpr size_t copy_batch_fds_max = 200;
constexpr size_t copy_batch_bytes_max = 48 << 10;
constexpr size_t read_batch_max = 200;
constexpr int stop_wait_ms = 2000;

/// The program that becomes the worker. Mapped ids have no rights of ours: a binary that only we
/// may run is handed on as a copy in memory.
Fd open_program(const std::string& wanted) {
  const std::string path = wanted.empty() ? "/proc/self/exe" : wanted;
  Fd program = open_file(path, O_RDONLY);
  struct stat info {};
  if (fstat(program.get(), &info) != 0) fail_errno("stat {}", path);
  if ((info.st_mode & 0005) == 0005) return program;
  Fd memory(memfd_create("slipway", MFD_CLOEXEC));
  if (!memory) fail_errno("memfd_create");
  (void)copy_bytes(program.get(), memory.get(), static_cast<uint64_t>(info.st_size));
  if (fchmod(memory.get(), 0755) != 0) fail_errno("chmod");
  // Executing a file that is open for writing is refused.
  return open_file(fmt::format("/proc/self/fd/{}", memory.get()), O_RDONLY);
}

/// The two directories that belong to the worker's ids.
void prepare_directories(const cache::Store& store, const IdPlan& ids) {
  for (const fs::path& path : {store.snapshots_dir(), store.caches_dir()}) {
    make_directories(path, 0700);
    if (ids.kind != IdPlan::Kind::root_range) continue;
    const Fd directory = open_file(path.string(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    struct stat info {};
    if (fstat(directory.get(), &info) != 0) fail_errno("stat {}", path.string());
    if (info.st_uid == ids.uids.outside && info.st_gid == ids.gids.outside) continue;
    if (fchown(directory.get(), ids.uids.outside, ids.gids.outside) != 0)
      fail_errno("chown {}", path.string());
  }
}

class RemoteCopyIn : public CopyIn {
 public:
  explicit RemoteCopyIn(Fd channel) : channel_(std::move(channel)) {}
  void directory(const std::string& path, uint32_t mode, graph::Owner owner,
                 int64_t mtime_ns) override {
    add(CopyCall::directory, path, mode, owner, mtime_ns);
  }
  void file(const std::string& path, uint32_t mode, graph::Owner owner, int64_t mtime_ns,
            uint64_t size, Fd content) override {
    fds_.push_back(std::move(content));
    add(CopyCall::file, path, mode, owner, mtime_ns, size);
  }
  void symlink(const std::string& path, const std::string& target, graph::Owner owner,
               int64_t mtime_ns) override {
    add(CopyCall::symlink, path, target, owner, mtime_ns);
  }
  void whiteout(const std::string& path) override { add(CopyCall::whiteout, path); }
  void finish() override {
    add(CopyCall::finish);
    flush();
    std::string text;
    (void)read_reply(channel_.get(), text);
    channel_.reset();
  }

 private:
  template <typename... T>
  void add(CopyCall call, const T&... values) {
    batch_ += message(call, values...);
    ++count_;
    if (fds_.size() >= copy_batch_fds_max || batch_.size() >= copy_batch_bytes_max) flush();
  }
  void flush() {
    if (count_ == 0) return;
    std::vector<int> fds;
    for (const Fd& fd : fds_) fds.push_back(fd.get());
    std::string text = message(count_) + batch_;
    try {
      send_message(channel_.get(), text, fds);
    } catch (const Error&) {
      // The worker gave up on an earlier batch; it left the reason.
      (void)read_reply(channel_.get(), text);
      throw;
    }
    batch_.clear();
    fds_.clear();
    count_ = 0;
  }

  Fd channel_;
  std::string batch_;
  std::vector<Fd> fds_;
  uint32_t count_ = 0;
};

class RemoteTreeReader : public TreeReader {
 public:
  explicit RemoteTreeReader(Fd channel) : channel_(std::move(channel)) {}
  std::vector<Fd> open(const std::vector<std::string>& paths) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<Fd> files;
    for (size_t begin = 0; begin < paths.size(); begin += read_batch_max) {
      const size_t end = std::min(paths.size(), begin + read_batch_max);
      const std::vector<std::string> batch(paths.begin() + static_cast<ptrdiff_t>(begin),
                                           paths.begin() + static_cast<ptrdiff_t>(end));
      send_message(channel_.get(), message(batch));
      std::string text;
      std::vector<Fd> fds;
      (void)read_reply(channel_.get(), text, &fds);
      if (fds.size() != batch.size()) throw Error(ExitCode::machine, "files are missing");
      for (Fd& fd : fds) files.push_back(std::move(fd));
    }
    return files;
  }

 private:
  Fd channel_;
  std::mutex mutex_;
};

class OciWorker : public Worker {
 public:
  explicit OciWorker(const WorkerOptions& options) : store_(*options.store) {
    runtime_ = find_runtime(options.runtime, &store_);
    ids_ = plan_ids(store_.id_base());
    network_helper_ = find_network_helper();
    const bool as_root = ids_.kind == IdPlan::Kind::root_range;
    if (as_root) check_owners(store_, Owners::mapped);
    prepare_directories(store_, ids_);
    Setup setup;
    setup.isolation = options.isolation;
    setup.single_id = ids_.single_id();
    setup.runtime = runtime_.path;
    setup.is_crun = runtime_.is_crun;
    if (runtime_.is_crun)
      setup.seccomp_bpf = seccomp_bpf(&store_);
    else
      setup.seccomp_json = seccomp_json().dump();
    setup.ca_bundle = host_trust().bundle;
    setup.java_cacerts = host_trust().java_cacerts;
    setup.resolv_conf_host = host_resolv_conf("/");
    setup.resolv_conf = step_resolv_conf(setup.resolv_conf_host);
    setup.scratch = scratch_prefix + to_hex(random_bytes(8));

    auto [ours, theirs] = make_socket_pair();
    const Fd program = open_program(options.worker_program);
    limits_ = BuildLimits::create(options.limits);
    worker_ = start_in_namespaces({ids_, store_.root().string(), program.get(), theirs.get()});
    theirs.reset();
    limits_->add(worker_.pid());
    control_ = std::move(ours);
    send_message(control_.get(), message(setup));
    std::string text;
    (void)read_reply(control_.get(), text);
    if (as_root) claim_owners(store_, Owners::mapped);
  }
  ~OciWorker() override {
    // The worker ends by itself when the socket closes; what hangs is killed with it.
    control_.reset();
    const Fd handle(static_cast<int>(syscall(SYS_pidfd_open, worker_.pid(), 0)));
    pollfd poller{handle.get(), POLLIN, 0};
    while (poll(&poller, 1, stop_wait_ms) < 0 && errno == EINTR) {
    }
  }

  bool single_id() const override { return ids_.single_id(); }
  std::string describe() const override {
    return fmt::format("oci ({}, {})", runtime_.version, ids_.describe());
  }

  std::unique_ptr<CopyIn> copy_in(SnapshotId target) override {
    return std::make_unique<RemoteCopyIn>(request(message(Request::copy_in, target)));
  }
  void create(SnapshotId target, const std::vector<graph::WorkspaceOp::Dir>& dirs) override {
    call(message(Request::create, target, dirs));
  }
  archive::Tree unpack(SnapshotId target, int archive, const UnpackOptions& options) override {
    const Fd channel = request(message(Request::unpack, target, options), {archive});
    for (;;) {
      std::string text, tree;
      Reply kind = Reply::ok;
      Decoder reply = read_reply(channel.get(), text, nullptr, &kind);
      if (kind == Reply::wants_lower) {
        if (options.wait_for_lower) options.wait_for_lower();
        send_message(channel.get(), {});
        continue;
      }
      std::vector<std::string> warnings;
      reply(tree, warnings);
      for (const std::string& warning : warnings)
        if (options.on_warning) options.on_warning(warning);
      return archive::parse_tree(tree);
    }
  }
  ScanResult scan(const ScanRequest& wanted) override {
    const Fd channel = request(message(Request::scan, wanted.tree, wanted.path,
                                       archive::serialize_tree(wanted.lower), wanted.previous_state,
                                       wanted.digests));
    std::string text, tree;
    Decoder reply = read_reply(channel.get(), text);
    ScanResult result;
    reply(tree, result.state, result.changed, result.warnings);
    result.tree = archive::parse_tree(tree);
    return result;
  }
  LayerResult list_layer(const LayerRequest& wanted) override {
    const Fd channel =
        request(message(Request::list_layer, wanted.stack, static_cast<uint64_t>(wanted.own),
                        archive::serialize_tree(wanted.known), wanted.digests));
    std::string text, listing;
    Decoder reply = read_reply(channel.get(), text);
    LayerResult result;
    reply(listing, result.warnings, result.files_read);
    result.listing = archive::parse_listing(listing);
    return result;
  }
  std::unique_ptr<TreeReader> read_tree(const Workspace& tree, const std::string& path) override {
    Fd channel = request(message(Request::read_tree, tree, path));
    std::string text;
    (void)read_reply(channel.get(), text);
    return std::make_unique<RemoteTreeReader>(std::move(channel));
  }
  void move(SnapshotId from, const std::string& from_path, SnapshotId to,
            const std::string& to_path) override {
    call(message(Request::move, from, from_path, to, to_path));
  }
  void flatten(const std::vector<SnapshotId>& layers, SnapshotId target) override {
    call(message(Request::flatten, layers, target));
  }
  FileResult apply_files(SnapshotId target, const FileRequest& wanted) override {
    const Fd channel = request(message(Request::apply_files, target, wanted));
    std::string text;
    return read_reply(channel.get(), text).next<FileResult>();
  }
  std::vector<Selection> select(const SelectRequest& wanted) override {
    const Fd channel = request(message(Request::select, wanted));
    std::string text;
    Decoder reply = read_reply(channel.get(), text);
    std::vector<Selection> selections(reply.next<uint64_t>());
    for (Selection& selection : selections) {
      selection.digest = reply.next<Digest>();
      selection.tree = archive::parse_tree(reply.next<std::string>());
    }
    return selections;
  }
  void remove(const std::vector<SnapshotId>& snapshots) override {
    call(message(Request::remove, remove_unmapped(snapshots)));
  }

  ExecResult exec(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) override {
    std::call_once(checked_, [&] {
      self_check(store_, runtime_.identity,
                 [&](const ExecSpec& probe, const ExecIo& out) { return run(probe, out, cancel); });
    });
    return run(spec, io, cancel);
  }

 private:
  /// Root's rung none leaves snapshots of root itself, which no mapped id may touch: removed from
  /// here. Returns the others.
  std::vector<SnapshotId> remove_unmapped(const std::vector<SnapshotId>& snapshots) const {
    if (ids_.kind != IdPlan::Kind::root_range) return snapshots;
    const Fd folder = open_file(store_.snapshots_dir().string(), O_RDONLY | O_DIRECTORY);
    std::vector<SnapshotId> others;
    for (const SnapshotId id : snapshots) {
      const auto info = stat_at(folder.get(), std::to_string(id));
      if (info && info->st_uid == ids_.self_uid)
        remove_tree_at(folder.get(), std::to_string(id));
      else
        others.push_back(id);
    }
    return others;
  }

  ExecResult run(const ExecSpec& spec, const ExecIo& io, Cancel& cancel) {
    StepOutput output(spec, io);
    std::vector<int> fds = output.step_fds();
    uint32_t present = output.present();
    if (spec.network == graph::Network::open || spec.network == graph::Network::recorded) {
      fds.push_back(build_network());
      present |= 8;
    }
    ExecSpec step = spec;
    step.terminal = output.terminal();
    const uint64_t kills = limits_->out_of_memory_kills();
    const Fd channel = request(message(Request::exec, step, present), fds);
    output.close_step_ends();
    ExecResult result = output.relay(channel.get(), cancel);
    result.out_of_memory = limits_->out_of_memory_kills() > kills;
    return result;
  }

  /// Sends a request and returns our end of its channel.
  Fd request(const std::string& text, std::vector<int> fds = {}) {
    auto [ours, theirs] = make_socket_pair();
    fds.insert(fds.begin(), theirs.get());
    try {
      send_message(control_.get(), text, fds);
    } catch (const Error&) {
      throw Error(ExitCode::machine, "the sandbox's worker ended unexpectedly");
    }
    return std::move(ours);
  }
  void call(const std::string& text) {
    const Fd channel = request(text);
    std::string reply;
    (void)read_reply(channel.get(), reply);
  }

  std::string step_resolv_conf(const std::string& host) const {
    const std::string filtered = filter_resolv_conf(host);
    if (!filtered.empty()) return filtered;
    return fmt::format("nameserver {}\n", network_helper_.kind == NetworkHelper::Kind::slirp4netns
                                              ? slirp_name_server
                                              : pasta_name_server);
  }

  /// The network that all steps of this build share, made when the first step needs it.
  int build_network() {
    const std::lock_guard<std::mutex> lock(network_mutex_);
    if (network_) return network_.get();
    if (!network_helper_.usable)
      throw Error(ExitCode::machine, "steps cannot be given a network of their own here")
          .set_hint(network_helper_.remedy + ", or use --network=host");
    const bool pasta = network_helper_.kind == NetworkHelper::Kind::pasta;
    const bool own_server = filter_resolv_conf(host_resolv_conf("/")).empty();
    network_channel_ =
        request(message(Request::network, pasta ? network_helper_.program : std::string(),
                        std::string(own_server ? pasta_name_server : "")));
    std::string text;
    std::vector<Fd> fds;
    (void)read_reply(network_channel_.get(), text, &fds);
    if (fds.size() != 1) throw Error(ExitCode::machine, "the worker made no network");
    if (!pasta)
      network_process_ = start_slirp(network_helper_.program, fds[0].get(), worker_.pid());
    network_ = std::move(fds[0]);
    return network_.get();
  }

  cache::Store& store_;
  Runtime runtime_;
  IdPlan ids_;
  NetworkHelper network_helper_;
  std::unique_ptr<BuildLimits> limits_;  // outlives the processes in it
  Child worker_;
  Fd control_;
  std::once_flag checked_;
  std::mutex network_mutex_;
  Fd network_, network_channel_;
  SlirpProcess network_process_;
};

}  // namespace

std::unique_ptr<Worker> Worker::start(const WorkerOptions& options) {
  SLIPWAY_CHECK(options.store != nullptr);
  switch (options.isolation) {
    case Isolation::oci:
      return std::make_unique<OciWorker>(options);
    case Isolation::none:
      return start_plain_worker(options);
    case Isolation::chroot:
      return start_chroot_worker(options);
  }
  throw std::logic_error("unknown isolation");
}

}  // namespace slipway::sandbox
