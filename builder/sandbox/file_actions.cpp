#include "sandbox/file_actions.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/layer_stack.h"

namespace slipway::sandbox {
namespace {

using graph::FileAction;

std::vector<std::string> components(const std::string& path) {
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/'))
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
  return parts;
}

std::string joined(const std::vector<std::string>& parts, size_t count) {
  std::string path;
  for (size_t i = 0; i < count; ++i) path += (i > 0 ? "/" : "") + parts[i];
  return path.empty() ? "." : path;
}

class Actions {
 public:
  Actions(int root, bool single_id) : root_(root), single_id_(single_id) {}

  void apply(const FileActionOn& on) const {
    const FileAction& action = on.action;
    switch (action.kind) {
      case FileAction::Kind::copy:
        return copy(action, on.source);
      case FileAction::Kind::mkdir:
        (void)make_path(components(action.dest), action.mode < 0 ? 0755 : action.mode,
                        action.owner);
        return;
      case FileAction::Kind::mkfile:
        return make_file(action);
      case FileAction::Kind::rm:
        return remove(action);
      case FileAction::Kind::symlink: {
        const auto [parent, name] = parent_of(action.dest, action.create_dest_path);
        remove_tree_at(parent.get(), name);
        if (symlinkat(action.source.c_str(), parent.get(), name.c_str()) != 0)
          fail_errno("link {}", action.dest);
        own(parent.get(), name, action.owner.value_or(graph::Owner{}));
        return;
      }
    }
  }

 private:
  void own(int dir, const std::string& name, const graph::Owner& owner) const {
    if (single_id_) return;
    if (fchownat(dir, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("change the owner of {}", name);
  }

  // Makes what is missing; folders that exist keep their mode and owner.
  Fd make_path(const std::vector<std::string>& parts, int mode,
               const std::optional<graph::Owner>& owner) const {
    Fd dir = open_in_root(root_, ".", O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string path = joined(parts, i + 1);
      // Through the root each time: a link on the way may lead anywhere inside it.
      Fd next(try_in_root(path));
      if (!next) {
        if (errno != ENOENT) fail_errno("open {}", path);
        if (mkdirat(dir.get(), parts[i].c_str(), 0755) != 0 && errno != EEXIST)
          fail_errno("create directory {}", path);
        next = open_at(dir.get(), parts[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        own(dir.get(), parts[i], owner.value_or(graph::Owner{}));
        if (fchmod(next.get(), static_cast<mode_t>(mode)) != 0)
          fail_errno("set the mode of {}", path);
      }
      dir = std::move(next);
    }
    return dir;
  }

  int try_in_root(const std::string& path) const {
    try {
      return open_in_root(root_, path, O_RDONLY | O_DIRECTORY).release();
    } catch (const Error&) {
      return -1;
    }
  }

  std::pair<Fd, std::string> parent_of(const std::string& path, bool create) const {
    std::vector<std::string> parts = components(path);
    if (parts.empty()) fail(ExitCode::app_files, "'{}' is the root itself", path);
    const std::string name = parts.back();
    parts.pop_back();
    if (name == "..") fail(ExitCode::app_files, "'{}' ends in '..'", path);
    if (create) return {make_path(parts, 0755, std::nullopt), name};
    return {open_in_root(root_, joined(parts, parts.size()), O_RDONLY | O_DIRECTORY), name};
  }

  void make_file(const FileAction& action) const {
    const auto [parent, name] = parent_of(action.dest, action.create_dest_path);
    remove_tree_at(parent.get(), name);
    const Fd file = open_at(parent.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    write_all(file.get(), action.data);
    own(parent.get(), name, action.owner.value_or(graph::Owner{}));
    if (fchmod(file.get(), static_cast<mode_t>(action.mode < 0 ? 0644 : action.mode)) != 0)
      fail_errno("set the mode of {}", action.dest);
  }

  void remove(const FileAction& action) const {
    for (const std::string& path : matches(root_, action.dest, action.allow_wildcard)) {
      const auto [parent, name] = parent_of(path, false);
      if (!action.allow_missing && !stat_at(parent.get(), name))
        fail(ExitCode::app_files, "rm: '{}' does not exist", path);
      remove_tree_at(parent.get(), name);
    }
  }

  // Paths a pattern names, in order; a plain path is itself. '*' does not match a slash.
  static std::vector<std::string> matches(int root, const std::string& pattern, bool wildcard) {
    std::vector<std::string> found{""};
    for (const std::string& part : components(pattern)) {
      const bool glob = wildcard && part.find_first_of("*?[") != std::string::npos;
      std::vector<std::string> next;
      for (const std::string& folder : found) {
        if (!glob) {
          next.push_back(join_path(folder, part));
          continue;
        }
        Fd dir;
        try {
          dir = open_in_root(root, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
        } catch (const Error&) {
          continue;
        }
        for (const std::string& name : list_directory(dir.get()))
          if (fnmatch(part.c_str(), name.c_str(), FNM_PATHNAME) == 0)
            next.push_back(join_path(folder, name));
      }
      found = std::move(next);
    }
    return found;
  }

  void copy(const FileAction& action, int source) const {
    const std::vector<std::string> sources = matches(source, action.source, action.allow_wildcard);
    const bool into = ends_with(action.dest, "/") || sources.size() > 1;
    size_t copied = 0;
    for (const std::string& path : sources) {
      // A final link is followed, as COPY of a named link is; in-root.
      Fd entry;
      try {
        entry = open_in_root(source, path.empty() ? "." : path, O_PATH);
      } catch (const Error&) {
        continue;
      }
      ++copied;
      struct stat info {};
      if (fstat(entry.get(), &info) != 0) fail_errno("stat {}", path);
      if (S_ISDIR(info.st_mode)) {
        const Fd from = open_in_root(source, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
        std::vector<std::string> target = components(action.dest);
        if (!action.contents && !path.empty()) target.push_back(components(path).back());
        const Fd to = make_path(target, 0755, action.owner);
        copy_contents(from.get(), to.get(), action, 0);
      } else {
        const bool dest_is_folder = try_close(action.dest);
        const std::string dest =
            into || dest_is_folder
                ? join_path(joined(components(action.dest), components(action.dest).size()),
                            components(path).back())
                : action.dest;
        const auto [parent, name] = parent_of(dest, action.create_dest_path);
        const Fd from = open_in_root(source, path, O_RDONLY | O_NONBLOCK);
        copy_file(from.get(), info, parent.get(), name, action);
      }
    }
    if (copied == 0 && !action.allow_missing)
      fail(ExitCode::app_files, "copy: '{}' does not exist in the source",
           printable(action.source));
  }

  bool try_close(const std::string& path) const { return static_cast<bool>(Fd(try_in_root(path))); }

  void finish(int dir, const std::string& name, const struct stat& info, const FileAction& action,
              bool is_link) const {
    own(dir, name, action.owner.value_or(graph::Owner{info.st_uid, info.st_gid}));
    if (!is_link) {
      const auto mode = static_cast<mode_t>(action.mode >= 0 && !S_ISDIR(info.st_mode)
                                                ? action.mode
                                                : static_cast<int>(info.st_mode & 07777));
      if (fchmodat(dir, name.c_str(), mode, 0) != 0) fail_errno("set the mode of {}", name);
    }
    const struct timespec times[2] = {info.st_mtim, info.st_mtim};
    if (utimensat(dir, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("set the time of {}", name);
  }

  void copy_file(int from, const struct stat& info, int dir, const std::string& name,
                 const FileAction& action) const {
    remove_tree_at(dir, name);
    {
      const Fd to = open_at(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      (void)copy_bytes(from, to.get(), static_cast<uint64_t>(info.st_size));
    }
    finish(dir, name, info, action, false);
  }

  void copy_contents(int from, int to, const FileAction& action, size_t depth) const {
    if (depth > depth_max) fail(ExitCode::app_files, "copy: folders nested too deep");
    for (const std::string& name : list_directory(from)) {
      const auto info = stat_at(from, name);
      if (!info) continue;
      if (S_ISDIR(info->st_mode)) {
        const auto there = stat_at(to, name);
        if (there && !S_ISDIR(there->st_mode)) remove_tree_at(to, name);
        if (mkdirat(to, name.c_str(), 0755) != 0 && errno != EEXIST)
          fail_errno("create directory {}", name);
        const Fd from_child = open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        const Fd to_child = open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        copy_contents(from_child.get(), to_child.get(), action, depth + 1);
        finish(to, name, *info, action, false);
      } else if (S_ISLNK(info->st_mode)) {
        std::string target(static_cast<size_t>(info->st_size) + 1, '\0');
        const ssize_t size = readlinkat(from, name.c_str(), target.data(), target.size());
        if (size < 0) fail_errno("read link {}", name);
        target.resize(static_cast<size_t>(size));
        remove_tree_at(to, name);
        if (symlinkat(target.c_str(), to, name.c_str()) != 0) fail_errno("link {}", name);
        finish(to, name, *info, action, true);
      } else if (S_ISREG(info->st_mode)) {
        const Fd file = open_at(from, name, O_RDONLY | O_NOFOLLOW);
        copy_file(file.get(), *info, to, name, action);
      }
    }
  }

  int root_;
  bool single_id_;
};

}  // namespace

void apply_file_actions(int root, const std::vector<FileActionOn>& actions, bool single_id) {
  const Actions applied(root, single_id);
  for (const FileActionOn& on : actions) applied.apply(on);
}

}  // namespace slipway::sandbox
