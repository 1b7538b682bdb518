// The mounts of a step: each is made detached, from a source resolved once, and put in its place by
// descriptor (threats 2, 3, 4).
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <numeric>

#include "archive/placer.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/host_trust.h"
#include "sandbox/layers.h"
#include "sandbox/path_match.h"
#include "sandbox/requests.h"
#include "sandbox/step_mounts.h"
#include "sandbox/step_root.h"
#include "sandbox/tree_copy.h"

namespace slipway::sandbox {
namespace {

constexpr uint32_t execute_bits = 0111;

std::string without_slashes(std::string path) {
  while (starts_with(path, "/")) path.erase(0, 1);
  return path.empty() ? "." : path;
}

Fd open_beneath_or_fail(const StepMount& mount, const std::string& base) {
  const Fd root = open_file(base, O_PATH | O_DIRECTORY);
  Fd fd = try_open_beneath(root.get(), without_slashes(mount.source), O_PATH);
  if (!fd) fail_errno("mount {}: open its source {}", mount.dest, printable(mount.source));
  return fd;
}

/// "what lies below /dev is the runtime's": mounted by it, after its own.
bool is_device_place(const std::string& dest) {
  return is_below(dest, "/dev") && dest != "/dev";
}

/// Folders and files of mount points, parents included: path → is a folder.
using Stubs = std::map<std::string, bool>;

void add_stub(Stubs& stubs, const std::string& path, bool folder) {
  const std::vector<std::string> parts = clean_components(path);
  std::string at;
  for (size_t i = 0; i < parts.size(); ++i) {
    at = join_path(at, parts[i]);
    const bool is_folder = i + 1 < parts.size() || folder;
    const auto [known, fresh] = stubs.emplace(at, is_folder);
    // A folder where a file was asked for: the mount itself will be refused, with its own words.
    known->second = known->second || is_folder;
  }
}

void make_stubs(const std::string& path, const Stubs& stubs) {
  make_directory(path, 0755);
  const Fd root = open_file(path, O_RDONLY | O_DIRECTORY);
  for (const auto& [name, folder] : stubs) {
    if (folder) {
      if (mkdirat(root.get(), name.c_str(), 0700) != 0 ||
          fchmodat(root.get(), name.c_str(), 0755, 0) != 0)
        fail_errno("create a mount point {}", name);
    } else {
      const Fd file = open_at(root.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      if (fchmod(file.get(), 0644) != 0) fail_errno("create a mount point {}", name);
    }
  }
  const struct timespec time = to_timespec(archive::implied_mtime_ns);
  const struct timespec times[2] = {time, time};
  for (auto at = stubs.rbegin(); at != stubs.rend(); ++at)
    if (utimensat(root.get(), at->first.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("set the time of {}", at->first);
  if (futimens(root.get(), times) != 0) fail_errno("set the time of {}", path);
}

// Made beside and renamed: two steps may ask for it at once.
void make_cache(int caches, int snapshots, const StepMount& mount, bool single_id) {
  const std::string fresh = fmt::format("{}.new-{}", mount.name, to_hex(random_bytes(4)));
  if (mkdirat(caches, fresh.c_str(), 0700) != 0) fail_errno("create a cache");
  const Fd folder = open_at(caches, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  // Nobody sweeps what is being made.
  if (flock(folder.get(), LOCK_SH) != 0) fail_errno("create a cache");
  if (!mount.layers.empty()) {
    const std::vector<Fd> layers = open_stack(snapshots, {0, mount.layers});
    StackView source(numbers(layers), mount.seed_path);
    LayerTarget target(folder.get(), {}, single_id);
    CopyRules rules;
    // A step writes into its cache: it must not write into the store's layers.
    rules.may_link = false;
    CopyState state;
    TreeCopy(source, target, rules, state, 0, false)
        .contents("", target.folder(""), source::PathPatterns());
  }
  const graph::Owner owner = single_id ? graph::Owner{} : mount.owner;
  if ((!single_id && fchown(folder.get(), owner.uid, owner.gid) != 0) ||
      fchmod(folder.get(), mount.mode & 07777) != 0)
    fail_errno("create a cache");
  if (renameat2(caches, fresh.c_str(), caches, mount.name.c_str(), RENAME_NOREPLACE) == 0) return;
  if (errno != EEXIST && errno != ENOTEMPTY) fail_errno("create a cache");
  remove_tree_at(caches, fresh);
}

}  // namespace

void check_mount_dest(const std::string& dest) {
  if (!starts_with(dest, "/") || clean_components(dest).empty())
    fail(ExitCode::app_files, "mount {}: not an absolute path inside the root", printable(dest));
  const std::string clean = "/" + join(clean_components(dest), "/");
  const bool closed = is_below(clean, "/proc") || is_below(clean, "/sys") || clean == "/dev" ||
                      is_below(clean, "/dev/pts") || is_below(clean, "/dev/mqueue") ||
                      is_below(clean, "/dev/shm");
  if (closed) fail(ExitCode::app_files, "mount {}: nothing can be mounted there", dest);
}

std::string clean_cwd(const std::string& cwd) {
  if (!starts_with(cwd, "/"))
    fail(ExitCode::app_files, "working directory {}: not an absolute path", printable(cwd));
  std::string clean = "/" + join(clean_components(cwd), "/");
  if (clean == "/dev" || clean == "/dev/shm") return clean;
  for (const char* closed : {"/proc", "/dev"})
    if (is_below(clean, closed))
      fail(ExitCode::app_files, "working directory {}: lies in {}", printable(cwd), closed);
  return clean;
}

void check_mount_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    fail(ExitCode::app_files, "file name \"{}\"", printable(name));
}

Fd take_cache(int caches, int snapshots, const StepMount& mount, bool single_id) {
  check_mount_name(mount.name);
  // Steps that use the old one go on with it; swept when none does any more.
  if (mount.fresh) {
    const std::string old =
        fmt::format("{}{}{}", mount.name, old_cache_mark, to_hex(random_bytes(4)));
    (void)renameat(caches, mount.name.c_str(), caches, old.c_str());
  }
  // Another build may set it aside in between.
  for (;;) {
    if (!stat_at(caches, mount.name)) make_cache(caches, snapshots, mount, single_id);
    Fd found = open_at_if_exists(caches, mount.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (found) return found;
  }
}

/// A layer of mount points to lie below all others: where the root has none of its own, these show,
/// so that nothing needs to be written to it and nothing to be removed again (R12, X8). Made once
/// for each set of them, and kept.
std::string StepRoot::stub_layer() const {
  Stubs stubs;
  for (const char* folder : {"proc", "dev", "sys"}) add_stub(stubs, folder, true);
  for (const char* file : {"etc/hosts", "etc/resolv.conf"}) add_stub(stubs, file, false);
  if (spec_.host_ca == HostCa::in_etc && spec_.network != graph::Network::none &&
      !state_.setup.ca_bundle.empty())
    add_stub(stubs, step_bundle_path, false);
  for (const Detached& mount : mounts_)
    if (!is_device_place(mount.mount->dest)) add_stub(stubs, mount.mount->dest, mount.directory);
  KeyBuilder key("stubs 1");
  for (const auto& [path, folder] : stubs) key.add(path, folder ? 1 : 0);
  const std::string name = std::string(place::stubs) + "/" + key.finish().short_hex();
  if (access(name.c_str(), F_OK) == 0) return name;
  if (mkdir(place::stubs, 0700) != 0 && errno != EEXIST) fail_errno("create {}", place::stubs);
  const std::string fresh = fmt::format("{}.{}", name, to_hex(random_bytes(4)));
  make_stubs(fresh, stubs);
  if (rename(fresh.c_str(), name.c_str()) != 0) {
    if (errno != EEXIST && errno != ENOTEMPTY) fail_errno("rename {}", fresh);
    remove_tree(fresh);  // another step was faster
  }
  return name;
}

graph::Owner StepRoot::step_owner(graph::Owner owner) const {
  // With a single id there is nobody else to give anything to.
  return state_.setup.single_id ? graph::Owner{} : owner;
}

void StepRoot::prepare_mounts() {
  // Parents before what lies inside them; otherwise in the order given (R10).
  std::vector<size_t> order(spec_.mounts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return clean_components(spec_.mounts[a].dest).size() <
           clean_components(spec_.mounts[b].dest).size();
  });
  for (const size_t index : order) {
    const StepMount& mount = spec_.mounts[index];
    check_mount_dest(mount.dest);
    try {
      mounts_.push_back(detached(mount, index));
    } catch (Error& error) {
      throw error.add_context(fmt::format("mounting {}", printable(mount.dest)));
    }
  }
}

StepRoot::Detached StepRoot::detached(const StepMount& mount, size_t index) {
  Fd source;
  MountFlags flags{.readonly = mount.readonly, .nodev = true};
  switch (mount.kind) {
    case StepMount::Kind::tmpfs:
    case StepMount::Kind::files:
      return {&mount, files_mount(mount), true};
    case StepMount::Kind::secret:
      return {&mount, secret_mount(mount), false};
    case StepMount::Kind::agent:
      return {&mount, agent_mount(mount, index), false};
    case StepMount::Kind::workspace:
      if (!spec_.workspace) fail(ExitCode::bug, "mount {}: the step has no workspace", mount.dest);
      source = open_beneath_or_fail(mount, std::string(place::step) + "/workspace");
      break;
    case StepMount::Kind::layers:
      source = layers_source(mount);
      break;
    case StepMount::Kind::cache:
      source = cache_source(mount);
      break;
    case StepMount::Kind::host_path: {
      const Fd host = open_file(place::host, O_PATH | O_DIRECTORY);
      source = open_in_root(host.get(), mount.source, O_PATH);
      flags.readonly = true;
      break;
    }
  }
  struct stat info {};
  if (fstat(source.get(), &info) != 0) fail_errno("stat");
  Fd tree = clone_tree(source.get(), mount.kind == StepMount::Kind::host_path, flags);
  return {&mount, std::move(tree), S_ISDIR(info.st_mode)};
}

Fd StepRoot::files_mount(const StepMount& mount) {
  const bool files = mount.kind == StepMount::Kind::files;
  const graph::Owner owner = step_owner(mount.owner);
  Fd tree = make_tmpfs(mount.mode, owner, mount.size_bytes,
                       {.nosuid = true, .nodev = true, .noexec = files});
  for (const auto& [name, text] : mount.files) {
    check_mount_name(name);
    const Fd file = open_at(tree.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    write_all(file.get(), text);
    if (fchown(file.get(), owner.uid, owner.gid) != 0) fail_errno("chown {}", name);
  }
  if (mount.readonly)
    set_mount_flags(tree.get(), false, {.readonly = true, .nosuid = true, .nodev = true});
  return tree;
}

// R8: on a tmpfs, seen read-only.
Fd StepRoot::secret_mount(const StepMount& mount) {
  const std::string path = fmt::format("{}/secret{}", place::step, ++number_);
  const graph::Owner owner = step_owner(mount.owner);
  const Fd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  write_all(file.get(), mount.data);
  if (fchown(file.get(), owner.uid, owner.gid) != 0) fail_errno("chown");
  if (fchmod(file.get(), mount.mode & 07777) != 0) fail_errno("chmod");
  const Fd source = open_file(path, O_PATH);
  return clone_tree(source.get(), false,
                    {.readonly = true,
                     .nosuid = true,
                     .nodev = true,
                     .noexec = (mount.mode & execute_bits) == 0});
}

// The agent answers its own user only, who this process is not any more: the socket is made here,
// the parent takes the connections and leads them on.
Fd StepRoot::agent_mount(const StepMount& mount, size_t index) {
  const std::string path = fmt::format("{}/agent{}", place::step, ++number_);
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) fail_errno("create a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  SLIPWAY_CHECK(path.size() < sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  constexpr int waiting_max = 16;
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), waiting_max) != 0)
    fail_errno("listen for the step");
  const graph::Owner owner = step_owner(mount.owner);
  if (chown(path.c_str(), owner.uid, owner.gid) != 0 ||
      chmod(path.c_str(), mount.mode & 07777) != 0)
    fail_errno("set the mode of the agent's socket");
  agents_.emplace_back(index, std::move(listener));
  const Fd source = open_file(path, O_PATH);
  return clone_tree(source.get(), false, {.nosuid = true, .nodev = true, .noexec = true});
}

Fd StepRoot::layers_source(const StepMount& mount) {
  std::string base;
  if (mount.layers.size() == 1 && mount.readonly) {
    base = layer_name(mount.layers[0]);
  } else {
    base = fmt::format("{}/layers{}", place::step, ++number_);
    make_directory(base, 0755);
    Overlay overlay;
    for (const SnapshotId id : mount.layers) overlay.lowers.push_back(layer_name(id));
    if (!mount.readonly) {
      const std::string scratch = scratch_directory();
      overlay.upper = scratch + "/fs";
      overlay.work = scratch + "/work";
      make_directory(overlay.upper, 0755);
      make_directory(overlay.work, 0700);
    }
    // An input without any layer is an empty folder.
    if (!overlay.lowers.empty()) mount_overlay(overlay, base);
  }
  // R5: links are resolved inside the source's root.
  const Fd root = open_file(base, O_PATH | O_DIRECTORY);
  Fd fd = try_open_in_root(root.get(), without_slashes(mount.source), O_PATH);
  if (fd) return fd;
  if (errno == ENOENT || errno == ENOTDIR)
    fail(ExitCode::app_files, "its source '{}' does not exist", printable(mount.source));
  fail_errno("open its source {}", printable(mount.source));
}

Fd StepRoot::cache_source(const StepMount& mount) {
  const Fd caches = open_file(place::caches, O_RDONLY | O_DIRECTORY);
  const Fd snapshots = open_file(".", O_RDONLY | O_DIRECTORY);
  // Held by the lock until this process ends.
  held_.push_back(take_cache(caches.get(), snapshots.get(), mount, state_.setup.single_id));
  const Fd& cache = held_.back();
  if (flock(cache.get(), LOCK_SH | LOCK_NB) != 0) fail_errno("use a cache");
  // R10: a step may have left links in it; they do not lead out.
  Fd fd = try_open_beneath(cache.get(), without_slashes(mount.source), O_PATH);
  if (!fd)
    fail(ExitCode::app_files, "'{}' is not in the cache, or leads out of it",
         printable(mount.source));
  return fd;
}

void StepRoot::place_mount(const Detached& mount) {
  const std::string& dest = mount.mount->dest;
  try {
    if (!is_device_place(dest)) {
      // A cache is shared with other steps, and removing a mount point unmounts it for all.
      const bool in_cache =
          std::any_of(spec_.mounts.begin(), spec_.mounts.end(), [&](const StepMount& other) {
            return other.kind == StepMount::Kind::cache && other.dest != dest &&
                   is_below(dest, other.dest);
          });
      const Fd target = points_->prepare(dest, mount.directory, 0755, {}, in_cache);
      attach(mount.tree.get(), target.get());
      return;
    }
    const std::string path = fmt::format("{}/device{}", place::step, ++number_);
    if (mount.directory)
      make_directory(path, 0755);
    else
      (void)open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    const Fd target = open_file(path, O_PATH);
    attach(mount.tree.get(), target.get());
    device_mounts_.emplace_back(path, "/" + join(clean_components(dest), "/"));
  } catch (Error& error) {
    throw error.add_context(fmt::format("mounting {}", printable(dest)));
  }
}

}  // namespace slipway::sandbox
