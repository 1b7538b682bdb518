#include "sandbox/step_root.h"

#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/host_stack.h"
#include "sandbox/host_trust.h"
#include "sandbox/requests.h"
#include "sandbox/step_mounts.h"

namespace slipway::sandbox {
namespace {

/// An empty directory that is there afterwards, whatever was.
void fresh_directory(const std::string& path, mode_t mode) {
  remove_tree(path);
  if (mkdir(path.c_str(), 0700) != 0) fail_errno("create {}", path);
  if (chmod(path.c_str(), mode) != 0) fail_errno("chmod {}", path);
}

/// The host's /etc is copied once per worker; steps that start together wait for the first.
std::string shared_host_etc() {
  const std::string etc = std::string(place::shared) + "/etc";
  const Fd lock = open_file(std::string(place::shared) + "/etc.lock", O_RDWR | O_CREAT, 0600);
  while (flock(lock.get(), LOCK_EX) != 0)
    if (errno != EINTR) fail_errno("lock");
  if (access(etc.c_str(), F_OK) != 0) {
    const std::string fresh = etc + ".new";
    remove_tree(fresh);
    make_host_etc(std::string(place::host) + "/etc", fresh);
    // A place for the CA bundle, should the machine have none of its own there.
    make_directories(fresh + "/ssl/certs");
    for (const char* folder : {"/ssl", "/ssl/certs"})
      if (chmod((fresh + folder).c_str(), 0755) != 0) fail_errno("chmod {}", folder);
    const std::string bundle = fresh + "/ssl/certs/ca-certificates.crt";
    const Fd file = open_file(bundle, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644);
    if (fchmod(file.get(), 0644) != 0) fail_errno("chmod {}", bundle);
    if (rename(fresh.c_str(), etc.c_str()) != 0) fail_errno("rename {}", fresh);
  }
  return etc;
}

}  // namespace

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || starts_with(path, folder + "/");
}

void make_directory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), 0700) != 0) fail_errno("create {}", path);
  if (chmod(path.c_str(), mode) != 0) fail_errno("chmod {}", path);
}

std::string layer_name(SnapshotId id) {
  return fmt::format("{}/fs", id);
}

StepRoot::StepRoot(const WorkerState& state, const ExecSpec& spec)
    : state_(state), spec_(spec), path_(std::string(place::step) + "/root") {
  // The bundle, the runtime's state and everything thrown away lie here and go with the namespace.
  if (mount("slipway", place::step, "tmpfs", MS_NODEV | MS_NOSUID, "mode=0755") != 0)
    fail_errno("mount a tmpfs for the step");
  if (spec_.workspace) mount_workspace();
  prepare_mounts();
  mount_root();
  root_ = open_file(path_, O_PATH | O_DIRECTORY);
  points_ = std::make_unique<MountPoints>(root_.get());
  // Threat 10: the runtime mounts on these; they must be folders of the root, not links.
  for (const char* name : {"proc", "dev", "sys"}) {
    const auto info = stat_at(root_.get(), name);
    if (info && !S_ISDIR(info->st_mode))
      fail(ExitCode::app_files, "the root filesystem's /{} is not a directory", name);
    (void)points_->prepare(name, true);
  }
  for (const Detached& mount : mounts_) place_mount(mount);
  mounts_.clear();
  mount_network_files();
  if (spec_.host_ca != HostCa::none && spec_.network != graph::Network::none) mount_trust();
  if (!mount_sys()) mount_host_sys();
  user_ = resolve_user(spec_.user, read_in_root("/etc/passwd", passwd_file_max),
                       read_in_root("/etc/group", passwd_file_max));
  enter_cwd();
}

StepRoot::~StepRoot() {
  try {
    // A mount point of this namespace cannot be removed; the descriptors still reach the tree.
    (void)umount2(path_.c_str(), MNT_DETACH);
    points_->clean_up();
    if (!scratch_.empty()) remove_tree(scratch_);
  } catch (const std::exception&) {
    // The store's scratch directory is swept by the next worker.
  }
}

void StepRoot::measure(ExecResult& result) const {
  if (spec_.root.upper == 0 || spec_.root.host) return;
  std::vector<Fd> folders;
  folders.push_back(open_file(layer_name(spec_.root.upper), O_RDONLY | O_DIRECTORY));
  while (!folders.empty()) {
    const Fd folder = std::move(folders.back());
    folders.pop_back();
    for (const std::string& name : list_directory(folder.get())) {
      const auto info = stat_at(folder.get(), name);
      if (!info) continue;
      ++result.files;
      if (S_ISREG(info->st_mode)) result.size_bytes += static_cast<uint64_t>(info->st_size);
      if (S_ISDIR(info->st_mode))
        folders.push_back(open_at(folder.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    }
  }
}

std::string StepRoot::scratch_directory() {
  const std::string number = std::to_string(++number_);
  if (state_.tmpfs_upper) {
    const std::string path = fmt::format("{}/scratch{}", place::step, number);
    make_directory(path, 0755);
    return path;
  }
  if (scratch_.empty()) {
    scratch_ =
        fmt::format("{}/{}/{}", place::snapshots, state_.setup.scratch, to_hex(random_bytes(8)));
    make_directory(scratch_, 0700);
  }
  make_directory(scratch_ + "/" + number, 0700);
  return scratch_ + "/" + number;
}

void StepRoot::mount_root() {
  make_directory(path_, 0755);
  if (spec_.root.host) {
    // A mount of its own, so that the runtime's read-only flag stays within the root.
    if (mount("root", path_.c_str(), "tmpfs", MS_NODEV, "mode=0755") != 0)
      fail_errno("mount a tmpfs for the root");
    mount_host_root(place::host, shared_host_etc(), path_);
    return;
  }
  Overlay overlay;
  for (const SnapshotId id : spec_.root.layers) overlay.lowers.push_back(layer_name(id));
  // Below all: mount points are there without anything being written to the root.
  overlay.lowers.push_back(stub_layer());
  if (spec_.root.upper != 0) {
    const Fd here = open_file(".", O_RDONLY | O_DIRECTORY);
    (void)make_layer(here.get(), spec_.root.upper);
    overlay.upper = layer_name(spec_.root.upper);
    overlay.work = fmt::format("{}/work", spec_.root.upper);
    fresh_directory(overlay.work, 0700);
  } else {
    // Also for a read-only root: mount points may have to be made in it.
    const std::string scratch = scratch_directory();
    overlay.upper = scratch + "/fs";
    overlay.work = scratch + "/work";
    make_directory(overlay.upper, 0755);
    make_directory(overlay.work, 0700);
  }
  mount_overlay(overlay, path_);
}

void StepRoot::mount_workspace() {
  const std::string target = std::string(place::step) + "/workspace";
  make_directory(target, 0755);
  const Workspace& workspace = *spec_.workspace;
  SLIPWAY_CHECK(workspace.upper != 0);
  if (workspace.layers.empty()) {
    const Fd source = open_file(layer_name(workspace.upper), O_PATH | O_DIRECTORY);
    const Fd place = open_file(target, O_PATH | O_DIRECTORY);
    attach(clone_tree(source.get(), false, {.nodev = true}).get(), place.get());
    return;
  }
  Overlay overlay;
  for (const SnapshotId id : workspace.layers) overlay.lowers.push_back(layer_name(id));
  overlay.upper = layer_name(workspace.upper);
  overlay.work = fmt::format("{}/work", workspace.upper);
  fresh_directory(overlay.work, 0700);
  mount_overlay(overlay, target);
}

void StepRoot::bind_readonly(const std::string& source, const std::string& dest) {
  const Fd file = open_file(source, O_PATH);
  const Fd tree = clone_tree(file.get(), false, {.readonly = true, .nosuid = true, .nodev = true});
  const Fd target = points_->prepare(dest, false, 0644);
  attach(tree.get(), target.get());
}

void StepRoot::bind_text(const std::string& name, const std::string& text, const std::string& dest,
                         uint32_t mode) {
  const std::string path = fmt::format("{}/{}", place::step, name);
  const Fd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  write_all(file.get(), text);
  if (fchmod(file.get(), mode) != 0) fail_errno("chmod {}", path);
  bind_readonly(path, dest);
}

std::string hosts_text(const ExecSpec& spec) {
  std::string hosts = fmt::format(
      "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n", spec.hostname);
  for (const std::string& entry : spec.extra_hosts) {
    const size_t colon = entry.find(':');
    if (colon == std::string::npos || entry.find('\n') != std::string::npos)
      fail(ExitCode::usage, "extra host \"{}\": expected NAME:IP", printable(entry));
    hosts += fmt::format("{}\t{}\n", entry.substr(colon + 1), entry.substr(0, colon));
  }
  return hosts;
}

void StepRoot::mount_network_files() {
  // X8. Without a network nothing of the machine shows.
  std::string resolv;
  if (spec_.network == graph::Network::host)
    resolv = state_.setup.resolv_conf_host;
  else if (spec_.network != graph::Network::none)
    resolv = state_.setup.resolv_conf;
  bind_text("hosts", hosts_text(spec_), "/etc/hosts", 0644);
  bind_text("resolv.conf", resolv, "/etc/resolv.conf", 0644);
}

void StepRoot::mount_trust() {
  const std::string shared = std::string(place::shared) + "/ca.crt";
  if (spec_.host_ca == HostCa::beside) {
    if (!state_.setup.ca_bundle.empty()) device_mounts_.emplace_back(shared, host_ca_path);
    return;
  }
  if (!state_.setup.ca_bundle.empty()) {
    bind_readonly(shared, step_bundle_path);
    // Other distributions' places, where the root has them.
    for (const std::string& path : bundle_paths()) {
      const Fd there = try_open_in_root(root_.get(), path, O_PATH);
      struct stat info {};
      if (path == step_bundle_path || !there || fstat(there.get(), &info) != 0 ||
          !S_ISREG(info.st_mode))
        continue;
      bind_readonly(shared, path);
    }
  }
  if (!state_.setup.java_cacerts.empty()) {
    const Fd there = try_open_in_root(root_.get(), java_cacerts_path, O_PATH);
    const std::string source = place::host + state_.setup.java_cacerts;
    if (there && access(source.c_str(), R_OK) == 0) bind_readonly(source, java_cacerts_path);
  }
}

void StepRoot::mount_host_sys() {
  // A fresh sysfs shows a network namespace that this user namespace does not own: refused.
  const Fd host = open_file(std::string(place::host) + "/sys", O_PATH | O_DIRECTORY);
  const Fd tree = clone_tree(host.get(), true,
                             {.readonly = true, .nosuid = true, .nodev = true, .noexec = true});
  const Fd target = points_->prepare("/sys", true);
  attach(tree.get(), target.get());
  const Fd cgroup = try_open_in_root(root_.get(), "/sys/fs/cgroup", O_PATH | O_DIRECTORY);
  if (!cgroup) return;
  const Fd empty =
      make_tmpfs(0755, {}, 4096, {.readonly = true, .nosuid = true, .nodev = true, .noexec = true});
  attach(empty.get(), cgroup.get());
}

std::string StepRoot::read_in_root(const std::string& path, size_t size_max) const {
  const Fd file = try_open_in_root(root_.get(), path, O_RDONLY | O_NONBLOCK);
  struct stat info {};
  if (!file || fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  try {
    return read_all(file.get(), size_max);
  } catch (Error& error) {
    throw error.add_context("reading the root's " + path);
  }
}

void StepRoot::enter_cwd() {
  cwd_ = clean_cwd(spec_.cwd);
  // These are the runtime's own; nothing of the root lies there.
  if (is_below(cwd_, "/dev") || is_below(cwd_, "/sys")) return;
  const graph::Owner owner =
      state_.setup.single_id ? graph::Owner{} : graph::Owner{user_.uid, user_.gid};
  const Fd target = points_->prepare(cwd_, true, 0755, owner, true);
  const std::string resolved = path_of(target.get());
  cwd_ = clean_cwd(resolved.size() > path_.size() ? resolved.substr(path_.size()) : "/");
}

}  // namespace slipway::sandbox
