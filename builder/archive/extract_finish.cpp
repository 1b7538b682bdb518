// What is done when all entries are placed.
#include <sys/stat.h>

#include "archive/extraction.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {

void Extraction::strip_wrapper() {
  const Placer::Items& items = placer_.items();
  if (items.count("bin") > 0) return;
  std::string wrapper;
  size_t top_entries = 0, with_bin = 0;
  std::string only_directory;
  for (const auto& [path, item] : items) {
    if (path.find('/') != std::string::npos) continue;
    ++top_entries;
    if (item.entry.type != EntryType::directory) continue;
    only_directory = path;
    if (items.count(path + "/bin") == 0) continue;
    ++with_bin;
    wrapper = path;
  }
  if (with_bin > 1) return;
  if (with_bin == 0) {
    if (top_entries != 1 || only_directory.empty()) return;
    wrapper = only_directory;
  }
  placer_.descend_into(wrapper);
}

void Extraction::make_bin_executable() {
  constexpr std::string_view folder = "bin/";
  Placer::Items& items = placer_.items();
  for (auto at = items.lower_bound(std::string(folder));
       at != items.end() && starts_with(at->first, folder); ++at) {
    TreeEntry& entry = at->second.entry;
    if (entry.type != EntryType::file || !at->second.listed || (entry.mode & 0111) == 0111)
      continue;
    entry.mode |= 0111;
    const Fd file = placer_.open(at->first, O_RDONLY);
    if (fchmod(file.get(), entry.mode) != 0) fail_errno("set the mode of {}", printable(at->first));
    if (entry.hard_link_group != 0) executable_groups_.insert(entry.hard_link_group);
  }
}

Tree Extraction::listing() {
  Tree tree;
  // Names that were replaced or dropped leave groups of one.
  std::map<uint64_t, std::pair<size_t, uint64_t>> groups;
  for (const auto& [path, item] : placer_.items())
    if (item.listed && item.entry.hard_link_group != 0) ++groups[item.entry.hard_link_group].first;
  uint64_t next_group = 0;
  for (auto& [path, item] : placer_.items()) {
    if (!item.listed) continue;
    uint64_t& group = item.entry.hard_link_group;
    if (group != 0) {
      const auto content = rewritten_.find(group);
      if (content != rewritten_.end()) {
        item.entry.size = content->second.size;
        item.entry.digest = content->second.digest;
      }
      if (executable_groups_.count(group) > 0) item.entry.mode |= 0111;
      auto& [names, number] = groups[group];
      if (names > 1 && number == 0) number = ++next_group;
      group = number;
    }
    tree.entries.push_back(std::move(item.entry));
  }
  return tree;
}

}  // namespace slipway::archive
