#include "sandbox/plain_places.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/layers.h"
#include "sandbox/requests.h"

namespace slipway::sandbox {
namespace {

constexpr const char* value_area = "sandbox";
constexpr const char* value_name = "plain places";

std::string full_mark(SnapshotId id) {
  return fmt::format("{}/full", id);
}

/// Renames, or copies and removes when source and target lie on different filesystems.
void move_tree(int from, const std::string& source, int to, const std::string& target) {
  if (renameat(from, source.c_str(), to, target.c_str()) == 0) return;
  if (errno != EXDEV) fail_errno("move {} to {}", source, target);
  const auto info = stat_at(from, source);
  if (!info) return;
  if (S_ISDIR(info->st_mode)) {
    if (mkdirat(to, target.c_str(), info->st_mode & 07777) != 0) fail_errno("create {}", target);
    const Fd source_dir = open_at(from, source, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    const Fd target_dir = open_at(to, target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    copy_layers({source_dir.get()}, target_dir.get());
    (void)fchmod(target_dir.get(), info->st_mode & 07777);
  } else if (S_ISLNK(info->st_mode)) {
    std::string text(4096, '\0');
    const ssize_t size = readlinkat(from, source.c_str(), text.data(), text.size());
    if (size < 0) fail_errno("read link {}", source);
    text.resize(static_cast<size_t>(size));
    if (symlinkat(text.c_str(), to, target.c_str()) != 0) fail_errno("create link {}", target);
  } else if (S_ISREG(info->st_mode)) {
    const Fd source_file = open_at(from, source, O_RDONLY | O_NOFOLLOW);
    const Fd target_file =
        open_at(to, target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, info->st_mode & 07777);
    (void)copy_bytes(source_file.get(), target_file.get(), static_cast<uint64_t>(info->st_size));
    const timespec times[2] = {info->st_atim, info->st_mtim};
    (void)futimens(target_file.get(), times);
  }
  remove_tree_at(from, source);
}

[[noreturn]] void fail_place(const std::string& place, int error_number) {
  Error error(ExitCode::machine, fmt::format("--isolation=none needs {} for itself: {}", place,
                                             std::strerror(error_number)));
  if (error_number == EEXIST)
    throw error.set_hint(fmt::format(
        "another build may be using it, else move it away: mv {0} {0}.old", shell_quote(place)));
  throw error.set_hint(fmt::format("sudo install -d -o \"$(id -un)\" {}", shell_quote(place)));
}

bool is_empty_directory(const std::string& path) {
  const Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return directory && list_directory(directory.get()).empty();
}

/// Removes what a killed build left at its places, as far as it is still that.
void sweep(cache::Store& store) {
  const auto left = store.find_value(value_area, value_name);
  if (!left || !left->is_array()) return;
  for (const Json& entry : *left) {
    const std::string place = entry.value("place", "");
    const auto info = stat_at(AT_FDCWD, place);
    if (place.empty() || !info || info->st_ino != entry.value("inode", uint64_t{0})) continue;
    if (!entry.value("keep", false)) {
      remove_tree(place);
      continue;
    }
    const Fd folder = open_file(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    for (const std::string& name : list_directory(folder.get())) remove_tree_at(folder.get(), name);
  }
  store.remove_value(value_area, value_name);
}

}  // namespace

bool is_full_layer(int snapshots, SnapshotId id) {
  return stat_at(snapshots, full_mark(id)).has_value();
}
void mark_full_layer(int snapshots, SnapshotId id) {
  (void)open_at(snapshots, full_mark(id), O_WRONLY | O_CREAT, 0600);
}
std::vector<SnapshotId> cut_at_full_layer(int snapshots, const std::vector<SnapshotId>& layers) {
  std::vector<SnapshotId> result;
  for (const SnapshotId id : layers) {
    result.push_back(id);
    if (is_full_layer(snapshots, id)) break;
  }
  return result;
}

PlainPlaces::PlainPlaces(cache::Store& store, int snapshots, const ExecSpec& spec)
    : store_(store), snapshots_(snapshots), spec_(spec), lock_(store.lock("isolation-none")) {
  sweep(store_);
  try {
    if (spec_.workspace) upper_ = open_layer(snapshots_, spec_.workspace->upper);
    for (const StepMount& mount : spec_.mounts) {
      switch (mount.kind) {
        case StepMount::Kind::workspace:
          place_workspace(mount);
          break;
        case StepMount::Kind::files:
        case StepMount::Kind::tmpfs:
          place_files(mount);
          break;
        case StepMount::Kind::layers:
          place_layers(mount);
          break;
        case StepMount::Kind::host_path:
          if (mount.source != mount.dest)
            fail(ExitCode::machine, "--isolation=none cannot show {} at {}", mount.source,
                 mount.dest);
          break;
        case StepMount::Kind::cache:
        case StepMount::Kind::secret:
        case StepMount::Kind::agent:
          fail(ExitCode::machine, "--isolation=none has no mounts of this kind ({})", mount.dest);
      }
    }
    record();
  } catch (...) {
    restore();
    throw;
  }
}

PlainPlaces::~PlainPlaces() {
  try {
    restore();
  } catch (const std::exception&) {
    // The record stays; the next build sweeps.
  }
}

void PlainPlaces::place_workspace(const StepMount& mount) {
  if (!upper_) throw std::logic_error("a workspace mount without a workspace");
  std::string inside = mount.source;
  while (starts_with(inside, "/")) inside.erase(0, 1);
  const auto info = stat_at(upper_.get(), inside);
  if (!info || !S_ISDIR(info->st_mode))
    fail(ExitCode::machine, "the workspace has no directory {}", inside);
  struct stat there {};
  const bool exists = lstat(mount.dest.c_str(), &there) == 0;
  if (!exists) {
    Moved moved{mount.dest, upper_.get(), inside, false};
    const Fd parent = open_file(fs::path(mount.dest).parent_path().string(), O_PATH | O_DIRECTORY);
    if (faccessat(parent.get(), ".", W_OK, 0) != 0) fail_place(mount.dest, errno);
    move_tree(upper_.get(), inside, AT_FDCWD, mount.dest);
    moved_.push_back(moved);
    return;
  }
  if (!S_ISDIR(there.st_mode)) fail_place(mount.dest, EEXIST);
  // /tmp is everybody's: only our entries move, each to a name that must be free. Any other folder
  // must be empty to be taken for ours.
  const bool shared = mount.dest == "/tmp" || mount.dest == "/var/tmp";
  if (!shared && !is_empty_directory(mount.dest)) fail_place(mount.dest, EEXIST);
  if (access(mount.dest.c_str(), W_OK) != 0) fail_place(mount.dest, errno);
  if (!shared) moved_.push_back({mount.dest, upper_.get(), inside, true});
  const Fd folder = open_at(upper_.get(), inside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const std::string& name : list_directory(folder.get())) {
    const std::string place = mount.dest + "/" + name;
    if (lstat(place.c_str(), &there) == 0) fail_place(place, EEXIST);
    move_tree(folder.get(), name, AT_FDCWD, place);
    if (shared) moved_.push_back({place, upper_.get(), inside + "/" + name, false});
  }
}

void PlainPlaces::claim(const std::string& place) {
  if (mkdir(place.c_str(), 0700) != 0) fail_place(place, errno);
  moved_.push_back({place, -1, {}, false});
}

void PlainPlaces::place_files(const StepMount& mount) {
  // An empty folder is a mount point that the workspace brought along: filled, and emptied again.
  if (is_empty_directory(mount.dest))
    moved_.push_back({mount.dest, -1, {}, true});
  else
    claim(mount.dest);
  if (mount.kind == StepMount::Kind::tmpfs) return;
  const Fd folder = open_file(mount.dest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const auto& [name, text] : mount.files) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
      fail(ExitCode::app_files, "file name \"{}\"", printable(name));
    const Fd file = open_at(folder.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    write_all(file.get(), text);
  }
  if (fchmod(folder.get(), mount.mode) != 0) fail_errno("chmod {}", mount.dest);
}

void PlainPlaces::place_layers(const StepMount& mount) {
  claim(mount.dest);
  std::vector<Fd> layers;
  std::vector<int> stack;
  for (const SnapshotId id : cut_at_full_layer(snapshots_, mount.layers)) {
    const Fd layer = open_layer(snapshots_, id);
    Fd inside = try_open_beneath(layer.get(), mount.source.empty() ? "." : mount.source,
                                 O_RDONLY | O_DIRECTORY);
    if (!inside) continue;  // this layer has nothing there
    stack.push_back(inside.get());
    layers.push_back(std::move(inside));
  }
  const Fd folder = open_file(mount.dest, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  copy_layers(stack, folder.get());
  if (fchmod(folder.get(), 0755) != 0) fail_errno("chmod {}", mount.dest);
}

void PlainPlaces::record() {
  Json list = Json::array();
  for (const Moved& moved : moved_) {
    struct stat info {};
    if (lstat(moved.place.c_str(), &info) != 0) continue;
    list.push_back({{"place", moved.place},
                    {"inode", static_cast<uint64_t>(info.st_ino)},
                    {"keep", moved.keep_folder}});
  }
  store_.put_value(value_area, value_name, list);
}

void PlainPlaces::restore() {
  if (moved_.empty()) return;
  std::exception_ptr first;
  while (!moved_.empty()) {
    const Moved moved = std::move(moved_.back());
    moved_.pop_back();
    try {
      if (!moved.keep_folder && moved.layer >= 0) {
        if (stat_at(AT_FDCWD, moved.place))
          move_tree(AT_FDCWD, moved.place, moved.layer, moved.inside);
      } else if (!moved.keep_folder) {
        remove_tree(moved.place);
      } else {
        const Fd folder = open_file(moved.place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        const Fd back = moved.layer >= 0 ? open_at(moved.layer, moved.inside,
                                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
                                         : Fd();
        for (const std::string& name : list_directory(folder.get())) {
          if (back)
            move_tree(folder.get(), name, back.get(), name);
          else
            remove_tree_at(folder.get(), name);
        }
      }
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
  store_.remove_value(value_area, value_name);
}

}  // namespace slipway::sandbox
