// Trees for tests of file actions, written and read as short texts.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/file_actions.h"
#include "sandbox/source_view.h"

namespace slipway::sandbox::testing {

/// A folder of the test's own with layers in it, and a request on them.
struct Trees {
  TempDir dir = TempDir::create("slipway-files");
  int made = 0;

  /// "a/b=text", "a/c/" (folder), "l->target", each optionally followed by "#mode"; parents are
  /// made. Times are 2001-09-09 unless told otherwise.
  fs::path tree(const std::vector<std::string>& entries = {}) {
    const fs::path root = dir.path() / ("tree" + std::to_string(++made));
    make_directories(root, 0755);
    for (std::string entry : entries) {
      unsigned mode = 0;
      const size_t hash = entry.rfind('#');
      if (hash != std::string::npos) {
        mode = static_cast<unsigned>(std::stoul(entry.substr(hash + 1), nullptr, 8));
        entry.resize(hash);
      }
      const size_t arrow = entry.find("->"), equals = entry.find('=');
      const bool link = arrow != std::string::npos;
      const std::string name = entry.substr(0, std::min(arrow, equals));
      const fs::path path = root / name;
      make_directories(ends_with(name, "/") ? path : path.parent_path(), 0755);
      if (link)
        fs::create_symlink(entry.substr(arrow + 2), path);
      else if (equals != std::string::npos)
        write_file_atomic(path, entry.substr(equals + 1));
      if (mode != 0 && !link && chmod(path.c_str(), mode) != 0) fail_errno("chmod");
    }
    for (const auto& entry : fs::recursive_directory_iterator(root)) set_time(entry.path());
    set_time(root);
    return root;
  }
  static void set_time(const fs::path& path, int64_t seconds = 1'000'000'000) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    if (utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) fail_errno("utimens");
  }

  fs::path layer;               ///< the last one written to
  std::vector<fs::path> below;  ///< its base, topmost first
  FileResult result;
  /// Owners are tested as root only; others pretend to have one id.
  bool single_id = geteuid() != 0;

  /// Applies actions to a new layer over `base`; copies read from `source`.
  void apply(const std::vector<fs::path>& base, const std::vector<fs::path>& source,
             const std::vector<graph::FileAction>& actions, const std::string& inside = {}) {
    layer = tree();
    below = base;
    std::vector<Fd> opened;
    const auto open_all = [&](const std::vector<fs::path>& paths) {
      std::vector<int> fds;
      for (const fs::path& path : paths) {
        opened.push_back(open_file(path.string(), O_RDONLY | O_DIRECTORY));
        fds.push_back(opened.back().get());
      }
      return fds;
    };
    FileTarget target;
    target.layer = open_all({layer})[0];
    target.base = open_all(base);
    target.single_id = single_id;
    target.merged = [](const auto&) { throw std::logic_error("no overlay in this test"); };
    std::vector<FileActionOn> on;
    for (const graph::FileAction& action : actions)
      on.push_back({action, open_all(source), inside, true});
    result = apply_file_actions(target, on);
  }
  void apply(const fs::path& source, const graph::FileAction& action) {
    apply({}, {source}, {action});
  }

  /// What layer and base show together, in the form of tree(), sorted; folders that are not empty
  /// are left out.
  std::vector<std::string> shown() const {
    std::vector<Fd> opened;
    std::vector<int> fds;
    std::vector<fs::path> stack{layer};
    stack.insert(stack.end(), below.begin(), below.end());
    for (const fs::path& path : stack) {
      opened.push_back(open_file(path.string(), O_RDONLY | O_DIRECTORY));
      fds.push_back(opened.back().get());
    }
    StackView view(fds, "");
    std::vector<std::string> list;
    show(view, "", list);
    return list;
  }
  static void show(StackView& view, const std::string& folder, std::vector<std::string>& list) {
    for (const std::string& name : view.names(folder)) {
      const std::string path = join_path(folder, name);
      const auto entry = view.look_up(path);
      if (entry->folder()) {
        if (view.names(path).empty())
          list.push_back(path + "/");
        else
          show(view, path, list);
      } else if (entry->link()) {
        list.push_back(path + "->" + view.read_link(path));
      } else if (S_ISREG(entry->mode)) {
        list.push_back(path + "=" + read_all(view.open_file_at(path).get()));
      } else {
        list.push_back(path + "!");
      }
    }
  }
  struct stat info(const std::string& path) const {
    struct stat found {};
    if (lstat((layer / path).c_str(), &found) != 0) fail_errno("stat {}", path);
    return found;
  }
};

inline graph::FileAction copy_action(const std::string& source, const std::string& dest) {
  graph::FileAction action;
  action.source_input = 1;
  action.source = source;
  action.dest = dest;
  return action;
}

}  // namespace slipway::sandbox::testing
