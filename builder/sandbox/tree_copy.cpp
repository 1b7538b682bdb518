#include "sandbox/tree_copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_attributes.h"

namespace slipway::sandbox {

uint32_t CopyRules::mode_of(uint32_t before, bool folder) const {
  if (mode_text) return mode_text->apply(before, folder);
  return mode ? *mode : before & 07777;
}

FileAttributes CopyRules::attributes_of(const struct stat& source) const {
  const graph::Owner who = owner.value_or(graph::Owner{source.st_uid, source.st_gid});
  return {who.uid, who.gid, mode_of(source.st_mode, S_ISDIR(source.st_mode)),
          timestamp_ns.value_or(nanoseconds(source.st_mtim))};
}

FileAttributes CopyRules::new_folder() const {
  const graph::Owner who = owner.value_or(graph::Owner{});
  return {who.uid, who.gid, mode.value_or(0755), timestamp_ns};
}

/// A folder being copied. It is made when the first thing in it is: a hidden folder exists only for
/// what is not hidden in it.
struct TreeCopy::Frame {
  Frame* above = nullptr;
  std::string from, relative, name;
  const StackDir* dir = nullptr;
  struct stat info {};
  FolderRef folder;
  bool made = false;   ///< by us
  bool fresh = false;  ///< nothing was in it
  size_t depth = 0;
};

void TreeCopy::file(const std::string& from, const FolderRef& parent, const std::string& name) {
  const auto [folder, last] = split_path(from);
  const StackDir* dir = source_.open(folder);
  SLIPWAY_CHECK(dir != nullptr);
  const StackName found = sandbox::look_up(*dir, last);
  SLIPWAY_CHECK(found.kind == StackName::Kind::other);
  copy(*dir, found, last, from, parent, name, false);
}

void TreeCopy::contents(const std::string& from, const FolderRef& to,
                        const source::PathPatterns& excluded) {
  const StackDir* dir = source_.open(from);
  SLIPWAY_CHECK(dir != nullptr);
  Frame frame;
  frame.from = from;
  frame.folder = to;
  walk(*dir, frame, excluded);
}

void TreeCopy::folder(const std::string& from, const FolderRef& parent, const std::string& name,
                      const source::PathPatterns& excluded) {
  const StackDir* dir = source_.open(from);
  SLIPWAY_CHECK(dir != nullptr && !dir->levels.empty());
  Frame above;
  above.folder = parent;
  Frame frame;
  frame.above = &above;
  frame.from = from;
  frame.name = name;
  frame.dir = dir;
  if (fstat(dir->levels[0].dir.get(), &frame.info) != 0) fail_errno("stat {}", printable(from));
  make(frame);
  walk(*dir, frame, excluded);
  finish(frame);
}

TreeCopy::FolderRef TreeCopy::parent_folder(const std::string& from, const FolderRef& parent,
                                            const std::string& name) {
  const StackDir* dir = source_.open(from);
  SLIPWAY_CHECK(dir != nullptr && !dir->levels.empty());
  Frame above;
  above.folder = parent;
  Frame frame;
  frame.above = &above;
  frame.from = from;
  frame.name = name;
  frame.dir = dir;
  if (fstat(dir->levels[0].dir.get(), &frame.info) != 0) fail_errno("stat {}", printable(from));
  make(frame);
  finish(frame);
  return frame.folder;
}

void TreeCopy::stamp(const std::string& from, const FolderRef& to) {
  if (!target_.in_layer(*to)) return;
  const auto entry = source_.look_up(from);
  SLIPWAY_CHECK(entry.has_value());
  const struct timespec time = to_timespec(rules_.timestamp_ns.value_or(entry->mtime_ns));
  const struct timespec times[2] = {time, time};
  if (futimens(target_.writable(*to), times) != 0)
    fail_errno("set the time of {}", printable(target_.path(*to)));
}

void TreeCopy::walk(const StackDir& from, Frame& frame, const source::PathPatterns& excluded) {
  if (frame.depth > depth_max)
    fail(ExitCode::app_files, "'{}…': more than {} nested folders",
         printable(frame.from.substr(0, 80)), depth_max);
  for (auto& [name, level] : list_names(from)) {
    StackName found = sandbox::look_up(from, name, level);
    if (found.kind == StackName::Kind::absent || found.kind == StackName::Kind::hidden) continue;
    const std::string relative = join_path(frame.relative, name);
    const bool hidden = !excluded.empty() && excluded.hides(relative);
    if (found.kind == StackName::Kind::folder) {
      if (hidden && excluded.may_skip_directory(relative)) continue;
      Frame below;
      below.above = &frame;
      below.from = join_path(frame.from, name);
      below.relative = relative;
      below.name = name;
      below.dir = &found.dir;
      below.info = found.info;
      below.depth = frame.depth + 1;
      if (!hidden) make(below);
      walk(found.dir, below, excluded);
      if (below.folder) finish(below);
    } else if (!hidden) {
      const FolderRef& to = ready(frame);
      copy(from, found, name, join_path(frame.from, name), to, name, frame.fresh);
    }
  }
}

const TreeCopy::FolderRef& TreeCopy::ready(Frame& frame) {
  if (!frame.folder) make(frame);
  return frame.folder;
}

void TreeCopy::make(Frame& frame) {
  const FolderRef& parent = ready(*frame.above);
  const std::string path = join_path(target_.path(*parent), frame.name);
  if (!frame.above->fresh) {
    const auto there = target_.look_up_in(*parent, frame.name);
    if (there && S_ISDIR(there->st_mode)) {
      frame.folder = target_.child(parent, frame.name);
      return;
    }
    if (there && !rules_.replace_existing)
      fail(ExitCode::app_files, "'/{}' is no folder, and one cannot be copied over it",
           printable(path));
    if (there) target_.make_room(parent, frame.name);
  }
  frame.folder = target_.make_folder(parent, frame.name);
  frame.made = frame.fresh = true;
}

// After what it holds: a folder that nobody may write to is closed, and its time set, at the end.
void TreeCopy::finish(Frame& frame) {
  const FileAttributes wanted = rules_.attributes_of(frame.info);
  const std::string& path = target_.path(*frame.folder);
  if (!frame.made && !target_.in_layer(*frame.folder)) {
    // Untouched so far, and it may well be the same already.
    const auto there = target_.look_up(path);
    const bool owner =
        merge_ || target_.single_id() || (there->uid == wanted.uid && there->gid == wanted.gid);
    if (owner && (there->mode & 07777) == wanted.mode && there->mtime_ns == *wanted.mtime_ns)
      return;
  }
  const int folder = target_.writable(*frame.folder);
  const bool own = frame.made || !merge_;
  if (own && !target_.single_id() && fchown(folder, wanted.uid, wanted.gid) != 0)
    fail_errno("give {} to {}:{}", printable(path), wanted.uid, wanted.gid);
  if (own) copy_attributes_of(frame.dir->levels[0].dir.get(), folder, path);
  set_attributes(folder, wanted, true, path);
}

void TreeCopy::copy(const StackDir& dir, const StackName& found, const std::string& name,
                    const std::string& from, const FolderRef& parent, const std::string& to_name,
                    bool fresh) {
  const std::string path = join_path(target_.path(*parent), to_name);
  if (!fresh) {
    const auto there = target_.look_up_in(*parent, to_name);
    if (there && S_ISDIR(there->st_mode)) {
      if (!rules_.replace_existing)
        fail(ExitCode::app_files, "'/{}' is a folder, and a file cannot be copied over it",
             printable(path));
      target_.remove(parent, to_name);
    }
    target_.make_room(parent, to_name);
    state_.known.erase(path);
  }
  const StackDir::Level& level = dir.levels.at(found.level);
  const struct stat& info = found.info;
  const FileAttributes wanted = rules_.attributes_of(info);
  const int to = target_.writable(*parent);
  try {
    if (!link(level.dir.get(), found, level.layer, name, to, to_name, wanted) &&
        !link_to_copy(info, level.layer, to, to_name, path)) {
      if (S_ISREG(info.st_mode)) {
        copy_content(level.dir.get(), info, name, to, to_name, wanted, path);
      } else if (S_ISLNK(info.st_mode)) {
        const std::string text = read_link_at(level.dir.get(), name, from);
        if (symlinkat(text.c_str(), to, to_name.c_str()) != 0) fail_errno("create link");
        set_attributes_at(to, to_name, wanted, true, target_.single_id(), path);
      } else {
        make_special(info, to, to_name, wanted, path);
      }
      remember_copy(info, level.layer, to, to_name, path);
    }
  } catch (Error& error) {
    throw error.add_context("copying to /" + printable(path));
  }
  ++state_.files;
  if (!S_ISREG(info.st_mode)) return;
  state_.bytes += static_cast<uint64_t>(info.st_size);
  if (rules_.keep_origins)
    state_.known[path] = {path,   static_cast<uint64_t>(info.st_size), *wanted.mtime_ns, {}, from,
                          action_};
}

bool TreeCopy::link(int from_dir, const StackName& found, size_t layer, const std::string& name,
                    int to, const std::string& to_name, const FileAttributes& wanted) {
  const struct stat& info = found.info;
  if (!rules_.may_link || (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode))) return false;
  const bool owner =
      target_.single_id() || (wanted.uid == info.st_uid && wanted.gid == info.st_gid);
  const bool mode = S_ISLNK(info.st_mode) || wanted.mode == (info.st_mode & 07777);
  if (!owner || !mode || wanted.mtime_ns != nanoseconds(info.st_mtim)) return false;
  const CopyState::Origin origin{action_, layer};
  const auto [known, first] = state_.linked.try_emplace(info.st_ino, origin);
  if (!first && known->second != origin) return false;
  if (linkat(from_dir, name.c_str(), to, to_name.c_str(), 0) == 0) return true;
  // Another filesystem, too many names, or not ours to link: copied instead.
  if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EACCES)
    fail_errno("link {}", printable(to_name));
  return false;
}

bool TreeCopy::link_to_copy(const struct stat& info, size_t layer, int to,
                            const std::string& to_name, const std::string& path) {
  if (info.st_nlink < 2) return false;
  const auto known = state_.copied.find({action_, layer, info.st_ino});
  if (known == state_.copied.end()) return false;
  const auto [folder, name] = split_path(known->second.first);
  const FolderRef parent = target_.folder(folder);
  // Another file may have been copied over it since.
  const auto copy = target_.look_up_in(*parent, name);
  if (!copy || copy->st_ino != known->second.second) return false;
  if (linkat(target_.writable(*parent), name.c_str(), to, to_name.c_str(), 0) == 0) return true;
  if (errno != EMLINK) fail_errno("link {}", printable(path));
  return false;
}

void TreeCopy::remember_copy(const struct stat& info, size_t layer, int to,
                             const std::string& to_name, const std::string& path) {
  if (info.st_nlink < 2) return;
  if (const auto copy = stat_at(to, to_name))
    state_.copied[{action_, layer, info.st_ino}] = {path, copy->st_ino};
}

void TreeCopy::copy_content(int from_dir, const struct stat& info, const std::string& name, int to,
                            const std::string& to_name, const FileAttributes& wanted,
                            const std::string& path) {
  const Fd source = open_at(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const Fd made = open_at(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  const auto size = static_cast<uint64_t>(info.st_size);
  if (copy_bytes(source.get(), made.get(), size) != size)
    fail(ExitCode::machine, "it became shorter while it was read");
  // The owner first: changing it takes file capabilities away, which are among the attributes.
  if (!target_.single_id() && fchown(made.get(), wanted.uid, wanted.gid) != 0)
    fail_errno("give it to {}:{}", wanted.uid, wanted.gid);
  copy_attributes_of(source.get(), made.get(), path);
  set_attributes(made.get(), wanted, true, path);
}

void TreeCopy::make_special(const struct stat& info, int to, const std::string& to_name,
                            const FileAttributes& wanted, const std::string& path) {
  if (S_ISSOCK(info.st_mode)) {
    // C10: there is nobody behind it any more.
    (void)open_at(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  } else if (mknodat(to, to_name.c_str(), (info.st_mode & S_IFMT) | 0600, info.st_rdev) != 0) {
    if (errno != EPERM) fail_errno("create it");
    throw Error(ExitCode::machine, "it is a device, which this sandbox cannot create")
        .set_hint("leave it out with --exclude");
  }
  set_attributes_at(to, to_name, wanted, false, target_.single_id(), path);
}

}  // namespace slipway::sandbox
