#include "image/export_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"

namespace slipway::image {
namespace {

using archive::LayerEntry;
using archive::LayerEntryType;

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
constexpr size_t open_batch = 64;

// Writes entries below an open folder, parents first. Nothing that stands there is followed.
class DirWriter {
 public:
  DirWriter(int root, const DirOptions& options) : root_(root), options_(options) {}

  void folder(const LayerEntry& entry) {
    const auto [parent, name] = parent_of(entry.path);
    if (mkdirat(parent, name.c_str(), 0700) != 0) {
      if (errno != EEXIST) fail_errno("create {}", printable(entry.path));
      const auto there = stat_at(parent, name);
      if (!there || !S_ISDIR(there->st_mode)) {
        remove_tree_at(parent, name);
        if (mkdirat(parent, name.c_str(), 0700) != 0)
          fail_errno("create {}", printable(entry.path));
      } else if ((there->st_mode & 0700) != 0700 && fchmodat(parent, name.c_str(), 0700, 0) != 0) {
        fail_errno("set the mode of {}", printable(entry.path));
      }
    }
    folders_.push_back(&entry);
  }

  void file(const LayerEntry& entry, int content) {
    place(entry.path, [&](int parent, const std::string& name) {
      const Fd out = open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
      if (copy_bytes(content, out.get(), entry.size) != entry.size)
        fail(ExitCode::machine, "{} is shorter than its listing says", printable(entry.path));
      if (fchmod(out.get(), mode_of(entry)) != 0)
        fail_errno("set the mode of {}", printable(entry.path));
      const auto times = times_of(entry);
      if (futimens(out.get(), times.data()) != 0)
        fail_errno("set the time of {}", printable(entry.path));
    });
  }

  void other(const LayerEntry& entry) {
    place(entry.path, [&](int parent, const std::string& name) {
      int result = 0;
      if (entry.type == LayerEntryType::symlink) {
        result = symlinkat(entry.link.c_str(), parent, name.c_str());
      } else if (entry.type == LayerEntryType::fifo) {
        result = mkfifoat(parent, name.c_str(), mode_of(entry));
      } else {
        // A hard link's first name was written before.
        const auto [first_parent, first_name] = parent_of(entry.link);
        const Fd folder = open_at(first_parent, ".", folder_flags);
        result =
            linkat(folder.get(), first_name.c_str(), parent_again(entry.path), name.c_str(), 0);
      }
      if (result != 0) fail_errno("create {}", printable(entry.path));
      const auto times = times_of(entry);
      if (entry.type != LayerEntryType::hard_link &&
          utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0)
        fail_errno("set the time of {}", printable(entry.path));
    });
  }

  // Deepest first: a folder that may not be written is closed when it is complete.
  void finish() {
    for (auto at = folders_.rbegin(); at != folders_.rend(); ++at) {
      const LayerEntry& entry = **at;
      const auto [parent, name] = parent_of(entry.path);
      const Fd dir = open_at(parent, name, folder_flags);
      if (fchmod(dir.get(), mode_of(entry)) != 0)
        fail_errno("set the mode of {}", printable(entry.path));
      const auto times = times_of(entry);
      if (futimens(dir.get(), times.data()) != 0)
        fail_errno("set the time of {}", printable(entry.path));
    }
  }

 private:
  static mode_t mode_of(const LayerEntry& entry) { return entry.mode & 01777; }
  std::array<timespec, 2> times_of(const LayerEntry& entry) const {
    timespec time{};
    time.tv_sec = options_.clamp_time ? std::min(entry.mtime, *options_.clamp_time) : entry.mtime;
    return {time, time};
  }

  // Beside, then renamed over what stands there.
  template <typename Make>
  void place(const std::string& path, const Make& make) {
    const std::string temporary = ".slipway-" + to_hex(random_bytes(8));
    const auto [parent, name] = parent_of(path);
    try {
      make(parent, temporary);
      const int folder = parent_again(path);
      if (renameat(folder, temporary.c_str(), folder, name.c_str()) != 0) {
        if (errno != EISDIR && errno != ENOTEMPTY) fail_errno("create {}", printable(path));
        remove_tree_at(folder, name);
        if (renameat(folder, temporary.c_str(), folder, name.c_str()) != 0)
          fail_errno("create {}", printable(path));
      }
    } catch (...) {
      (void)unlinkat(parent_again(path), temporary.c_str(), 0);
      throw;
    }
  }
  int parent_again(const std::string& path) { return parent_of(path).first; }

  // The folders of the path used last stay open.
  std::pair<int, std::string> parent_of(const std::string& path) {
    std::vector<std::string> parts = split(path, '/');
    std::string name = std::move(parts.back());
    parts.pop_back();
    size_t shared = 0;
    while (shared < parts.size() && shared < chain_.size() && chain_[shared].first == parts[shared])
      ++shared;
    chain_.resize(shared);
    for (size_t i = shared; i < parts.size(); ++i) {
      const int above = chain_.empty() ? root_ : chain_.back().second.get();
      chain_.emplace_back(parts[i], open_at(above, parts[i], folder_flags));
    }
    return {chain_.empty() ? root_ : chain_.back().second.get(), std::move(name)};
  }

  int root_;
  const DirOptions& options_;
  std::vector<std::pair<std::string, Fd>> chain_;
  std::vector<const LayerEntry*> folders_;
};

void write_tree(const ExportContext& context, const Trees& trees, int root, const DirTree& tree,
                const DirOptions& options) {
  if (tree.stack.empty()) return;
  const Trees::Listed listed =
      trees.list({.stack = tree.stack, .own = tree.stack.size(), .digests = false});
  for (const std::string& warning : listed.warnings)
    if (options.on_warning) options.on_warning(warning);
  DirWriter writer(root, options);
  archive::OpenFiles open;
  const std::vector<LayerEntry>& entries = listed.listing.entries;
  // Files are opened some at a time, ahead of their turn.
  std::vector<Fd> opened;
  size_t next_opened = 0;
  const auto content_of = [&](size_t at) {
    if (next_opened == opened.size()) {
      std::vector<std::string> paths;
      for (size_t i = at; i < entries.size() && paths.size() < open_batch; ++i)
        if (entries[i].type == LayerEntryType::file) paths.push_back(entries[i].path);
      if (!open) open = trees.open(tree.stack);
      opened = open(paths);
      SLIPWAY_CHECK(opened.size() == paths.size());
      next_opened = 0;
    }
    return std::move(opened[next_opened++]);
  };
  for (size_t i = 0; i < entries.size(); ++i) {
    context.cancel.check();
    const LayerEntry& entry = entries[i];
    switch (entry.type) {
      case LayerEntryType::directory:
        writer.folder(entry);
        break;
      case LayerEntryType::file:
        writer.file(entry, content_of(i).get());
        break;
      case LayerEntryType::symlink:
      case LayerEntryType::hard_link:
      case LayerEntryType::fifo:
        writer.other(entry);
        break;
      case LayerEntryType::character_device:
      case LayerEntryType::block_device:
        if (options.on_warning)
          options.on_warning(fmt::format("{} is a device and is left out", printable(entry.path)));
        break;
      case LayerEntryType::whiteout:
        throw std::logic_error("a whiteout over nothing");
    }
  }
  writer.finish();
}

void write_all_trees(const ExportContext& context, const Trees& trees, int root,
                     const std::vector<DirTree>& content, const DirOptions& options) {
  for (const DirTree& tree : content) {
    if (tree.folder.empty()) {
      write_tree(context, trees, root, tree, options);
      continue;
    }
    if (mkdirat(root, tree.folder.c_str(), 0755) != 0 && errno != EEXIST)
      fail_errno("create {}", tree.folder);
    const Fd folder = open_at(root, tree.folder, folder_flags);
    write_tree(context, trees, folder.get(), tree, options);
  }
}

}  // namespace

void export_dir(const ExportContext& context, const Trees& trees, const fs::path& dir,
                const std::vector<DirTree>& content, const DirOptions& options) {
  try {
    // The user's own path: links in it are the user's.
    const Fd existing = open_at_if_exists(AT_FDCWD, dir.string(), O_RDONLY | O_DIRECTORY);
    if (existing) {
      write_all_trees(context, trees, existing.get(), content, options);
      return;
    }
    const fs::path target = fs::absolute(dir).lexically_normal();
    const fs::path named = target.filename().empty() ? target.parent_path() : target;
    make_directories(named.parent_path());
    const fs::path fresh = named.parent_path() / fmt::format(".{}.{}", named.filename().string(),
                                                             to_hex(random_bytes(6)));
    if (mkdir(fresh.c_str(), 0755) != 0) fail_errno("create {}", fresh.string());
    try {
      const Fd root = open_file(fresh.string(), folder_flags);
      write_all_trees(context, trees, root.get(), content, options);
      if (rename(fresh.c_str(), named.c_str()) != 0) fail_errno("rename {}", fresh.string());
    } catch (...) {
      remove_tree(fresh);
      throw;
    }
  } catch (Error& error) {
    error.add_context("writing the files to " + dir.string());
    throw;
  }
}

std::string platform_folder(const oci::Platform& platform) {
  std::string folder = platform.os + "_" + platform.architecture;
  if (!platform.variant.empty()) folder += "_" + platform.variant;
  // Parts of a foreign config, made a file name (threat 24).
  for (char& c : folder)
    if (c == '/' || c == '\0') c = '_';
  return folder;
}

}  // namespace slipway::image
