// The layer functions against the kernel's own overlayfs: random trees and operations, made through
// real mounts, must be listed, opened, flattened and copied as the merged mount shows them.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "sandbox/layers.h"

using namespace slipway;
using namespace slipway::sandbox;
using archive::EntryType;
using archive::Tree;
using archive::TreeEntry;

namespace {

void must(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}
void must_call(int result, const std::string& what) {
  must(result == 0, what + ": " + std::strerror(errno));
}

struct NoNamespaces {};

void enter_namespaces() {
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
std::string in_namespaces(const std::function<void()>& body) {
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

void list_into(const fs::path& dir, const std::string& prefix, Tree& tree,
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
Tree list_real(const fs::path& dir) {
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
Tree list_merged(const fs::path& base, const std::vector<fs::path>& layers) {
  const OverlayMount overlay(base, layers);
  return list_real(overlay.path());
}

std::string show(const TreeEntry& entry) {
  return fmt::format("{} type {} mode {:o} {}:{} size {} time {} {} -> '{}' group {}", entry.path,
                     static_cast<int>(entry.type), entry.mode, entry.uid, entry.gid, entry.size,
                     entry.mtime_ns, entry.digest.short_hex(), entry.link, entry.hard_link_group);
}

void must_equal(const Tree& got, const Tree& expected, const std::string& what) {
  for (size_t i = 0; i < std::max(got.entries.size(), expected.entries.size()); ++i) {
    const std::string left = i < got.entries.size() ? show(got.entries[i]) : "nothing";
    const std::string right = i < expected.entries.size() ? show(expected.entries[i]) : "nothing";
    must(left == right, what + "\n  got      " + left + "\n  expected " + right);
  }
}

/// Random operations of a hostile and forgetful build step.
class Chaos {
 public:
  explicit Chaos(uint32_t seed) : random_(seed) {}

  void run(const fs::path& root, int count) {
    for (int i = 0; i < count; ++i) step(root);
  }

 private:
  unsigned pick(unsigned below) { return static_cast<unsigned>(random_() % below); }

  std::string name() {
    static const std::vector<std::string> all = {
        "a", "b", "c", "a-", "a0", "a.b", "\xff\xfe", "ä", "x\ny", " ", ".wh.b", "deep", "-f"};
    return all[pick(static_cast<unsigned>(all.size()))];
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
};

std::vector<Fd> open_all(const std::vector<fs::path>& paths) {
  std::vector<Fd> fds;
  for (const fs::path& path : paths)
    fds.push_back(open_file(path.string(), O_RDONLY | O_DIRECTORY));
  return fds;
}
std::vector<int> numbers(const std::vector<Fd>& fds, size_t from = 0) {
  std::vector<int> list;
  for (size_t i = from; i < fds.size(); ++i) list.push_back(fds[i].get());
  return list;
}

void check_stack(const fs::path& base, const std::vector<fs::path>& layers, const Tree& expected,
                 const std::string& where) {
  const std::vector<Fd> fds = open_all(layers);
  const int count = static_cast<int>(layers.size());
  const Tree nothing;
  must_equal(scan_layers(numbers(fds), count, "", nothing, "").tree, expected,
             where + ": all fresh");
  for (int fresh = 0; fresh < count; ++fresh) {
    const std::vector<int> below = numbers(fds, static_cast<size_t>(fresh));
    const Tree lower = scan_layers(below, count - fresh, "", nothing, "").tree;
    must_equal(scan_layers(numbers(fds), fresh, "", lower, "").tree, expected,
               fmt::format("{}: {} fresh", where, fresh));
  }
  for (const TreeEntry& entry : expected.entries) {
    if (entry.type != EntryType::file) continue;
    const Fd file = LayerFiles(numbers(fds)).open(entry.path);
    must(static_cast<bool>(file), where + ": cannot open " + entry.path);
    must(hash_fd(file.get()) == entry.digest, where + ": other content in " + entry.path);
    must(!LayerFiles(numbers(fds)).open(entry.path + "/below"), where + ": below a file");
  }
  for (const bool flat : {true, false}) {
    const fs::path target = base / (flat ? "flat" : "copy");
    fs::create_directories(target);
    {
      const Fd dir = open_file(target.string(), O_RDONLY | O_DIRECTORY);
      flat ? flatten_layers(numbers(fds), dir.get()) : copy_layers(numbers(fds), dir.get());
    }
    must_equal(list_real(target), expected, where + (flat ? ": flattened" : ": copied"));
    remove_tree(target);
  }
}

// Everything that differs between two listings must be named as changed, and what the upper
// did not touch must not.
void check_changed(const Tree& before, const Tree& after, const std::vector<std::string>& changed,
                   const fs::path& upper) {
  std::map<std::string, const TreeEntry*> old;
  for (const TreeEntry& entry : before.entries) old[entry.path] = &entry;
  for (const TreeEntry& entry : after.entries) {
    const bool named = std::binary_search(changed.begin(), changed.end(), entry.path);
    const TreeEntry* was = old.count(entry.path) != 0 ? old[entry.path] : nullptr;
    const bool differs = was == nullptr || was->type != entry.type || was->mode != entry.mode ||
                         was->uid != entry.uid || was->digest != entry.digest ||
                         was->link != entry.link;
    must(!differs || named, "not named as changed: " + entry.path);
    struct stat info {};
    const bool touched = lstat((upper / entry.path).c_str(), &info) == 0;
    must(touched || !named, "named as changed but untouched: " + entry.path);
  }
}

void one_round(uint32_t seed) {
  const TempDir temp = TempDir::create("overlay-test");
  Chaos chaos(seed);
  std::vector<fs::path> layers;  // topmost first
  const auto add_layer = [&] {
    layers.insert(layers.begin(), temp.path() / fmt::format("layer{}", layers.size()));
    fs::create_directories(layers.front());
  };
  add_layer();
  chaos.run(layers.front(), 60);
  for (int round = 0; round < 3; ++round) {
    add_layer();
    Tree first, second;
    ScanResult scan;
    {
      const OverlayMount overlay(temp.path(), layers);
      chaos.run(overlay.path(), 40);
    }
    first = list_merged(temp.path(), layers);
    check_stack(temp.path(), layers, first, fmt::format("seed {} round {}", seed, round));
    const std::vector<Fd> fds = open_all(layers);
    const Tree lower =
        scan_layers(numbers(fds, 1), static_cast<int>(layers.size()) - 1, "", {}, "").tree;
    scan = scan_layers(numbers(fds), 1, "", lower, "");
    {
      const OverlayMount overlay(temp.path(), layers);
      chaos.run(overlay.path(), 15);
    }
    second = list_merged(temp.path(), layers);
    const ScanResult again = scan_layers(numbers(fds), 1, "", lower, scan.state);
    must_equal(again.tree, second, fmt::format("seed {} round {}: rescan", seed, round));
    check_changed(first, second, again.changed, layers.front());
    for (const std::string folder : {"a", "b", "deep"}) {
      const ScanResult part = scan_layers(numbers(fds), static_cast<int>(fds.size()), "", {}, "");
      bool is_folder = false;
      Tree expected;
      for (const TreeEntry& entry : part.tree.entries) {
        if (entry.path == folder) is_folder = entry.type == EntryType::directory;
        if (entry.path.rfind(folder + "/", 0) != 0) continue;
        expected.entries.push_back(entry);
        expected.entries.back().path = entry.path.substr(folder.size() + 1);
        expected.entries.back().hard_link_group = 0;
      }
      if (!is_folder) continue;
      Tree got = scan_layers(numbers(fds), static_cast<int>(fds.size()), folder, {}, "").tree;
      for (TreeEntry& entry : got.entries) entry.hard_link_group = 0;
      must_equal(got, expected, fmt::format("seed {} round {}: below {}", seed, round, folder));
    }
  }
}

}  // namespace

TEST_CASE("layers are read as overlayfs shows them, for random trees and operations") {
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    const std::string problem = in_namespaces([seed] { one_round(seed); });
    if (problem == "-") {
      WARN("skipped: this machine does not let an ordinary user mount an overlay");
      return;
    }
    REQUIRE(problem == "");
  }
}
