// The layer functions against the kernel's own overlayfs: random trees and operations, made through
// real mounts, must be listed, opened, flattened and copied as the merged mount shows them.
#include "sandbox/layers.h"
#include "sandbox/overlay_chaos.h"

using namespace slipway;
using namespace slipway::sandbox;
using namespace slipway::sandbox::testing;

namespace {

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
