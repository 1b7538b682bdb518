#include "sandbox/chroot_places.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/path_match.h"
#include "sandbox/requests.h"
#include "sandbox/step_mounts.h"
#include "sandbox/tree_copy.h"

namespace slipway::sandbox {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

void own(int dir, const std::string& name, uint32_t mode, const graph::Owner& owner) {
  if (fchownat(dir, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
      fchmodat(dir, name.c_str(), mode & 07777, 0) != 0)
    fail_errno("set the mode of {}", name);
}

void write_new(int dir, const std::string& name, const std::string& text, uint32_t mode,
               const graph::Owner& owner) {
  const Fd file = open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  write_all(file.get(), text);
  own(dir, name, mode, owner);
}

void make_new(int dir, const std::string& name, uint32_t mode, const graph::Owner& owner) {
  if (mkdirat(dir, name.c_str(), 0700) != 0) fail_errno("create {}", name);
  own(dir, name, mode, owner);
}

/// Swaps two names; where the filesystem cannot, by way of a third.
void swap_names(int left, const std::string& left_name, int right, const std::string& right_name) {
  if (renameat2(left, left_name.c_str(), right, right_name.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) fail_errno("put {} in place", right_name);
  const std::string third = left_name + ".swap";
  if (renameat(right, right_name.c_str(), left, third.c_str()) != 0 ||
      renameat(left, left_name.c_str(), right, right_name.c_str()) != 0 ||
      renameat(left, third.c_str(), left, left_name.c_str()) != 0)
    fail_errno("put {} in place", right_name);
}

void copy_into(int snapshots, const std::vector<SnapshotId>& layers, const std::string& source,
               int dir, const std::string& name, bool& directory) {
  const std::vector<Fd> stack = open_stack(snapshots, {0, layers});
  StackView view(numbers(stack), "");
  LayerTarget target(dir, {}, false);
  CopyRules rules;
  rules.may_link = false;
  CopyState state;
  TreeCopy copier(view, target, rules, state, 0, false);
  const Resolved at = resolve_in_root(view, source, true);
  if (!at.entry) fail(ExitCode::app_files, "its source '{}' does not exist", printable(source));
  directory = at.entry->folder();
  if (directory && at.path.empty()) {
    const auto made = target.make_folder(target.folder(""), name);
    copier.contents("", made, source::PathPatterns());
    own(dir, name, 0755, {});
  } else if (directory) {
    copier.folder(at.path, target.folder(""), name, source::PathPatterns());
  } else {
    copier.file(at.path, target.folder(""), name);
  }
}

}  // namespace

ChrootPlaces::ChrootPlaces(const ChrootHost& host, const ExecSpec& spec, int root,
                           RootCopies& copies)
    : host_(host), spec_(spec), root_(root), beside_(copies.empty()), points_(root) {
  try {
    for (const StepMount& mount : spec_.mounts) check_mount_dest(mount.dest);
    // Threat 10: what is put there must be a folder of the root, not where a link leads.
    for (const char* name : {"dev", "proc", "sys"}) {
      const auto info = stat_at(root_, name);
      if (info && !S_ISDIR(info->st_mode))
        fail(ExitCode::app_files, "the root filesystem's /{} is not a directory", name);
    }
    lock_caches();
    make_devices();
    std::vector<size_t> order(spec_.mounts.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return clean_components(spec_.mounts[a].dest).size() <
             clean_components(spec_.mounts[b].dest).size();
    });
    for (const size_t index : order) {
      try {
        place_mount(spec_.mounts[index], index);
      } catch (Error& error) {
        throw error.add_context("mounting " + printable(spec_.mounts[index].dest));
      }
    }
    place_text("/etc/hosts", hosts_text(spec_), 0644);
    place_text("/etc/resolv.conf",
               spec_.network == graph::Network::none ? std::string() : host_.resolv_conf, 0644);
    if (spec_.host_ca == HostCa::beside && !host_.ca_bundle.empty())
      place_text(host_ca_path, host_.ca_bundle, 0444);
  } catch (...) {
    restore();
    throw;
  }
}

ChrootPlaces::~ChrootPlaces() {
  try {
    restore();
  } catch (const std::exception&) {
    // The root goes with everything in it.
  }
}

Fd ChrootPlaces::beside() const {
  return open_at(beside_.fd.get(), ".", folder_flags);
}

std::string ChrootPlaces::next_name() {
  return std::to_string(++number_);
}

void ChrootPlaces::exchange(Fd folder, const std::string& name, const std::string& dest,
                            bool directory) {
  const Fd there = points_.prepare(dest, directory);
  struct stat info {};
  if (fstat(there.get(), &info) != 0) fail_errno("stat {}", dest);
  if (S_ISDIR(info.st_mode) != directory)
    fail(ExitCode::app_files, "mount {}: a {} is in the way", printable(dest),
         directory ? "file" : "folder");
  // The real place, links resolved.
  const std::string path = path_of(there.get()), top = path_of(root_);
  SLIPWAY_CHECK(starts_with(path, top + "/"));
  const auto [parent, last] = split_path(path.substr(top.size() + 1));
  held_.insert(path.substr(top.size() + 1));
  Placed placed;
  placed.to = open_in_root(root_, parent.empty() ? "." : parent, folder_flags);
  placed.from = std::move(folder);
  placed.from_name = name;
  placed.to_name = last;
  struct stat above {};
  if (fstat(placed.to.get(), &above) != 0) fail_errno("stat {}", dest);
  placed.before[0] = above.st_atim;
  placed.before[1] = above.st_mtim;
  swap_names(placed.from.get(), name, placed.to.get(), last);
  if (fstat(placed.to.get(), &above) != 0) fail_errno("stat {}", dest);
  placed.after = above.st_mtim;
  placed_.push_back(std::move(placed));
}

void ChrootPlaces::restore() {
  std::exception_ptr first;
  while (!placed_.empty()) {
    const Placed placed = std::move(placed_.back());
    placed_.pop_back();
    try {
      struct stat above {};
      const bool untouched = fstat(placed.to.get(), &above) == 0 &&
                             above.st_mtim.tv_sec == placed.after.tv_sec &&
                             above.st_mtim.tv_nsec == placed.after.tv_nsec;
      // A step may have removed or replaced what it could not have elsewhere.
      if (stat_at(placed.to.get(), placed.to_name))
        swap_names(placed.from.get(), placed.from_name, placed.to.get(), placed.to_name);
      else if (renameat(placed.from.get(), placed.from_name.c_str(), placed.to.get(),
                        placed.to_name.c_str()) != 0 &&
               errno != ENOENT)  // the folder it stood in is gone, too
        fail_errno("put {} back", placed.to_name);
      if (untouched) (void)futimens(placed.to.get(), placed.before);
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  points_.clean_up();
  for (const HeldCache& cache : caches_) {
    try {
      return_cache(cache);
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  caches_.clear();
  if (first) std::rethrow_exception(first);
}

// A step may have removed it, or put a link to elsewhere in its place: then it is gone.
void ChrootPlaces::return_cache(const HeldCache& cache) {
  struct stat own {};
  if (fstat(cache.folder.get(), &own) != 0) fail_errno("stat the cache {}", cache.name);
  const auto back = stat_at(beside_.fd.get(), cache.taken);
  if (!back || back->st_ino != own.st_ino) return;
  if (renameat(beside_.fd.get(), cache.taken.c_str(), host_.caches, cache.name.c_str()) != 0)
    fail_errno("return the cache {}", cache.name);
}

void ChrootPlaces::place_text(const std::string& dest, const std::string& text, uint32_t mode) {
  const std::string name = next_name();
  write_new(beside_.fd.get(), name, text, mode, {});
  exchange(beside(), name, dest, false);
}

// X2, as far as a container lets nodes be made.
void ChrootPlaces::make_devices() {
  const std::string name = next_name();
  make_new(beside_.fd.get(), name, 0755, {});
  const Fd dev = open_at(beside_.fd.get(), name, folder_flags);
  constexpr struct {
    const char* name;
    unsigned major, minor;
  } nodes[] = {{"null", 1, 3},    {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
               {"urandom", 1, 9}, {"tty", 5, 0},  {"stdin", 1, 3}};
  for (const auto& node : nodes) {
    if (mknodat(dev.get(), node.name, S_IFCHR | 0600, makedev(node.major, node.minor)) != 0)
      fail_errno("create /dev/{}", node.name);
    own(dev.get(), node.name, 0666, {});
  }
  if (!Fd(openat(dev.get(), "null", O_RDWR | O_CLOEXEC)))
    throw Error(ExitCode::machine,
                fmt::format("use devices below {}: {}", beside_.path, std::strerror(errno)))
        .set_hint("set SLIPWAY_HOME to a folder of a filesystem that is not mounted nodev");
  // Elsewhere links into /proc; here the step's own process reads them (chroot_main()).
  for (const char* pipe_name : {"stdout", "stderr"}) {
    if (mkfifoat(dev.get(), pipe_name, 0600) != 0) fail_errno("create /dev/{}", pipe_name);
    own(dev.get(), pipe_name, 0666, {});
  }
  make_new(dev.get(), "shm", 01777, {});
  exchange(beside(), name, "/dev", true);
}

// In the order of their names, so that two steps cannot wait for one another: in place, a cache is
// one step's alone.
void ChrootPlaces::lock_caches() {
  std::vector<const StepMount*> wanted;
  for (const StepMount& mount : spec_.mounts)
    if (mount.kind == StepMount::Kind::cache) wanted.push_back(&mount);
  std::sort(wanted.begin(), wanted.end(),
            [](const StepMount* a, const StepMount* b) { return a->name < b->name; });
  for (const StepMount* mount : wanted) {
    if (!caches_.empty() && caches_.back().name == mount->name)
      fail(ExitCode::app_files, "mount {}: the same cache twice needs another isolation",
           mount->dest);
    cache::Lock lock = host_.store->lock("cache-place-" + mount->name, host_.cancel);
    Fd folder = take_cache(host_.caches, host_.snapshots, *mount, false);
    const std::string taken = next_name();
    if (renameat(host_.caches, mount->name.c_str(), beside_.fd.get(), taken.c_str()) != 0)
      fail_errno("take the cache {}", mount->name);
    caches_.push_back({mount->name, std::move(lock), std::move(folder), taken});
  }
}

void ChrootPlaces::place_cache(const StepMount& mount) {
  const auto held = std::find_if(caches_.begin(), caches_.end(),
                                 [&](const HeldCache& one) { return one.name == mount.name; });
  const std::string source = join(clean_components(mount.source), "/");
  if (source.empty()) return exchange(beside(), held->taken, mount.dest, true);
  const auto [folder, name] = split_path(source);
  Fd parent = try_open_beneath(held->folder.get(), folder.empty() ? "." : folder, folder_flags);
  const auto info = parent ? stat_at(parent.get(), name) : std::nullopt;
  if (!info || S_ISLNK(info->st_mode))
    fail(ExitCode::app_files, "'{}' is not in the cache, or leads out of it",
         printable(mount.source));
  exchange(std::move(parent), name, mount.dest, S_ISDIR(info->st_mode));
}

void ChrootPlaces::place_mount(const StepMount& mount, size_t index) {
  if (mount.kind == StepMount::Kind::cache) return place_cache(mount);
  const std::string name = next_name();
  bool directory = true;
  prepare(mount, index, name, directory);
  exchange(beside(), name, mount.dest, directory);
}

void ChrootPlaces::prepare(const StepMount& mount, size_t index, const std::string& name,
                           bool& directory) {
  const int dir = beside_.fd.get();
  switch (mount.kind) {
    case StepMount::Kind::layers:
      return copy_into(host_.snapshots, mount.layers, mount.source, dir, name, directory);
    case StepMount::Kind::tmpfs:
      return make_new(dir, name, mount.mode, mount.owner);
    case StepMount::Kind::files: {
      make_new(dir, name, mount.mode, mount.owner);
      const Fd folder = open_at(dir, name, folder_flags);
      for (const auto& [file, text] : mount.files) {
        check_mount_name(file);
        write_new(folder.get(), file, text, 0600, mount.owner);
      }
      return;
    }
    case StepMount::Kind::secret:
      directory = false;
      return write_new(dir, name, mount.data, mount.mode, mount.owner);
    case StepMount::Kind::agent: {
      directory = false;
      Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (!listener) fail_errno("create a socket");
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      const std::string path = fmt::format("/proc/self/fd/{}/{}", dir, name);
      path.copy(address.sun_path, path.size());
      constexpr int waiting_max = 16;
      if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
          listen(listener.get(), waiting_max) != 0)
        fail_errno("listen for the step");
      own(dir, name, mount.mode, mount.owner);
      agents_.emplace_back(index, std::move(listener));
      return;
    }
    case StepMount::Kind::workspace:
    case StepMount::Kind::host_path:
    case StepMount::Kind::cache:
      throw Error(ExitCode::machine, "isolation \"chroot\" has no mounts of this kind")
          .set_hint("buildpacks run with --isolation=oci, or none on the host's stack");
  }
}

}  // namespace slipway::sandbox
