// Random trees and operations on real overlay mounts, and what the kernel shows of them.
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "archive/tree.h"
#include "base/error.h"
#include "base/files.h"

namespace slipway::sandbox::testing {

using archive::EntryType;
using archive::Tree;
using archive::TreeEntry;

inline void must(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}
inline void must_call(int result, const std::string& what) {
  must(result == 0, what + ": " + std::strerror(errno));
}

struct NoNamespaces {};

inline void enter_namespaces() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWNS | (uid == 0 ? 0 : CLONE_NEWUSER)) != 0) throw NoNamespaces();
  if (uid != 0) {
    const auto put = [](const char* file, const std::string& text) {
      const Fd fd = open_file(file, O_WRONLY);
      write_all(fd.get(), text);
    };
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", fmt::format("0 {} 1", uid));
    put("/proc/self/gid_map", fmt::format("0 {} 1", gid));
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw NoNamespaces();
}

// Runs `body` in a child with a mount namespace of its own; gives its complaint, "" = fine,
// "-" = this machine does not let us mount.
inline std::string in_namespaces(const std::function<void()>& body) {
  Pipe pipe = Pipe::create();
  const pid_t child = fork();
  if (child == 0) {
    pipe.read.reset();
    std::string text;
    try {
      enter_namespaces();
      body();
    } catch (const NoNamespaces&) {
      text = "-";
    } catch (const std::exception& error) {
      text = error.what();
    }
    write_all(pipe.write.get(), text);
    _exit(0);
  }
  pipe.write.reset();
  std::string text = read_all(pipe.read.get());
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) text += " (the child died)";
  return text;
}

class OverlayMount {
 public:
  OverlayMount(const fs::path& base, const std::vector<fs::path>& layers)
      : where_(base / "merged") {
    const fs::path work = base / "work";
    fs::create_directories(work);
    fs::create_directories(where_);
    std::string lower;
    for (size_t i = 1; i < layers.size(); ++i) lower += (i > 1 ? ":" : "") + layers[i].string();
    const std::string options = fmt::format("userxattr,lowerdir={},upperdir={},workdir={}", lower,
                                            layers[0].string(), work.string());
    if (mount("overlay", where_.c_str(), "overlay", 0, options.c_str()) != 0) throw NoNamespaces();
  }
  ~OverlayMount() { umount2(where_.c_str(), MNT_DETACH); }
  const fs::path& path() const { return where_; }

 private:
  fs::path where_;
};

inline void list_into(const fs::path& dir, const std::string& prefix, Tree& tree,
                      std::map<ino_t, std::vector<std::string>>& names) {
  const Fd fd = open_file(dir.string(), O_RDONLY | O_DIRECTORY);
  for (const std::string& name : list_directory(fd.get())) {
    const fs::path full = dir / name;
    struct stat info {};
    must_call(lstat(full.c_str(), &info), full.string());
    TreeEntry entry;
    entry.path = prefix + name;
    entry.mode = info.st_mode & 07777;
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    entry.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (S_ISDIR(info.st_mode)) {
      entry.type = EntryType::directory;
    } else if (S_ISLNK(info.st_mode)) {
      entry.type = EntryType::symlink;
      entry.link = fs::read_symlink(full).string();
    } else if (S_ISREG(info.st_mode)) {
      entry.size = static_cast<uint64_t>(info.st_size);
      entry.digest = hash_bytes(read_file(full));
      if (info.st_nlink > 1) names[info.st_ino].push_back(entry.path);
    } else {
      continue;
    }
    tree.entries.push_back(entry);
    if (entry.type == EntryType::directory) list_into(full, entry.path + "/", tree, names);
  }
}

// What the kernel shows, in the form scan_layers promises.
inline Tree list_real(const fs::path& dir) {
  Tree tree;
  std::map<ino_t, std::vector<std::string>> names;
  list_into(dir, "", tree, names);
  std::sort(tree.entries.begin(), tree.entries.end(),
            [](const TreeEntry& a, const TreeEntry& b) { return a.path < b.path; });
  std::map<std::string, std::vector<std::string>> groups;
  for (auto& [inode, list] : names) {
    std::sort(list.begin(), list.end());
    if (list.size() > 1) groups[list.front()] = list;
  }
  uint64_t number = 0;
  for (const auto& [first, list] : groups) {
    ++number;
    for (TreeEntry& entry : tree.entries)
      if (std::find(list.begin(), list.end(), entry.path) != list.end())
        entry.hard_link_group = number;
  }
  return tree;
}

// Listed in a mount of its own: without privileges an inode that was copied up keeps two numbers,
// one a name, for as long as the mount lives.
inline Tree list_merged(const fs::path& base, const std::vector<fs::path>& layers) {
  const OverlayMount overlay(base, layers);
  return list_real(overlay.path());
}

inline std::string show(const TreeEntry& entry) {
  return fmt::format("{} type {} mode {:o} {}:{} size {} time {} {} -> '{}' group {}", entry.path,
                     static_cast<int>(entry.type), entry.mode, entry.uid, entry.gid, entry.size,
                     entry.mtime_ns, entry.digest.short_hex(), entry.link, entry.hard_link_group);
}

inline void must_equal(const Tree& got, const Tree& expected, const std::string& what) {
  for (size_t i = 0; i < std::max(got.entries.size(), expected.entries.size()); ++i) {
    const std::string left = i < got.entries.size() ? show(got.entries[i]) : "nothing";
    const std::string right = i < expected.entries.size() ? show(expected.entries[i]) : "nothing";
    must(left == right, what + "\n  got      " + left + "\n  expected " + right);
  }
}

/// Random operations of a hostile and forgetful build step.
class Chaos {
 public:
  /// With image_names no name begins with ".wh.": a layer of an image could not hold it.
  explicit Chaos(uint32_t seed, bool image_names = false)
      : random_(seed), image_names_(image_names) {}

  void run(const fs::path& root, int count) {
    for (int i = 0; i < count; ++i) step(root);
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

  std::string name() {
    static const std::vector<std::string> all = {
        "a", "b", "c", "a-", "a0", "a.b", "\xff\xfe", "ä", "x\ny", " ", ".wh.b", "deep", "-f"};
    const std::string& one = all[pick(static_cast<unsigned>(all.size()))];
    return image_names_ && one == ".wh.b" ? "wh" : one;
  }
  fs::path any(const fs::path& root) {
    fs::path path = root;
    const unsigned depth = 1 + pick(4);
    for (unsigned i = 0; i < depth; ++i) {
      path /= name();
      std::error_code ignored;
      if (!fs::is_directory(fs::symlink_status(path, ignored))) break;
    }
    return path;
  }
  // Errors (name taken, EXDEV, not empty) are part of the chaos: they change nothing.
  void step(const fs::path& root) {
    const fs::path path = any(root);
    std::error_code ignored;
    switch (pick(16)) {
      case 0:
      case 1:
      case 2: {
        const Fd fd(
            open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0640));
        if (fd) write_all(fd.get(), std::string(pick(3000), static_cast<char>('a' + pick(26))));
        break;
      }
      case 3:
      case 4:
      case 5:
        (void)mkdir(path.c_str(), 0755);
        break;
      case 6:
        (void)symlink(pick(2) == 0 ? "../../../etc/passwd" : "a", path.c_str());
        break;
      case 7:
      case 8: {
        const fs::path other = any(root);
        (void)link(path.c_str(), other.c_str());
        break;
      }
      case 9:
        (void)unlink(path.c_str());
        break;
      case 10:
        fs::remove_all(path, ignored);
        break;
      case 11: {
        fs::remove_all(path, ignored);
        (void)mkdir(path.c_str(), 0711);
        const Fd fd(open((path / name()).c_str(), O_WRONLY | O_CREAT, 0600));
        break;
      }
      case 12: {
        const fs::path other = any(root);
        (void)rename(path.c_str(), other.c_str());
        break;
      }
      case 13: {
        const unsigned modes[] = {0555, 0755, 0644, 04755, 01777, 0700};
        (void)fchmodat(AT_FDCWD, path.c_str(), modes[pick(6)], 0);
        break;
      }
      case 14:
        if (geteuid() == 0) (void)lchown(path.c_str(), pick(3) * 1000, pick(2) * 7);
        break;
      default: {
        if (pick(4) == 0) {
          (void)mkfifo(path.c_str(), 0644);
          break;
        }
        const Fd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK));
        if (fd) write_all(fd.get(), "more");
        break;
      }
    }
  }

  std::mt19937 random_;
  bool image_names_;
};

inline std::vector<Fd> open_all(const std::vector<fs::path>& paths) {
  std::vector<Fd> fds;
  for (const fs::path& path : paths)
    fds.push_back(open_file(path.string(), O_RDONLY | O_DIRECTORY));
  return fds;
}
inline std::vector<int> numbers(const std::vector<Fd>& fds, size_t from = 0) {
  std::vector<int> list;
  for (size_t i = from; i < fds.size(); ++i) list.push_back(fds[i].get());
  return list;
}

}  // namespace slipway::sandbox::testing
