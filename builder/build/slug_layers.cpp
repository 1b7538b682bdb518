#include "build/slug_layers.h"

#include <algorithm>
#include <set>

#include "slug/slug.h"

namespace slipway::build {
namespace {

using archive::EntryType;
using archive::LayerEntry;
using archive::LayerEntryType;
using archive::TreeEntry;

constexpr const char* app_folder = "app";

LayerEntryType layer_type(EntryType type) {
  switch (type) {
    case EntryType::file:
      return LayerEntryType::file;
    case EntryType::directory:
      return LayerEntryType::directory;
    case EntryType::symlink:
      break;
  }
  return LayerEntryType::symlink;
}

LayerEntry app_entry(int64_t time) {
  LayerEntry entry;
  entry.path = app_folder;
  entry.type = LayerEntryType::directory;
  entry.mode = 0755;
  entry.uid = app_uid;
  entry.gid = app_gid;
  entry.mtime = time;
  return entry;
}

class Parting {
 public:
  Parting(const archive::Tree& tree, const std::map<std::string, std::string>& writers,
          const std::vector<std::string>& packs, int64_t source_time)
      : tree_(tree),
        writers_(writers),
        packs_(packs),
        source_time_(source_time),
        folders_(packs.size() + 2) {}

  SlugParts run() {
    choose_folders();
    std::vector<SlugLayer> layers(folders_.size());
    for (size_t i = 0; i < tree_.entries.size(); ++i) {
      const TreeEntry& entry = tree_.entries[i];
      if (entry.type != EntryType::directory) {
        add(layers[part_of(entry.path)], part_of(entry.path), entry);
        continue;
      }
      for (size_t part = 0; part < folders_.size(); ++part)
        if (folders_[part].contains(entry.path)) add(layers[part], part, entry);
    }
    for (const slug::PycCandidate& candidate : slug::find_pyc_candidates(tree_, source_time_)) {
      SlugLayer& layer = layers[part_of(tree_.entries[candidate.entry].path)];
      const std::string path = image_path(tree_.entries[candidate.entry].path);
      const auto& entries = layer.listing.entries;
      const auto found =
          std::lower_bound(entries.begin(), entries.end(), path,
                           [](const LayerEntry& a, const std::string& b) { return a.path < b; });
      layer.candidates.push_back(candidate);
      layer.member_of[candidate.entry] = static_cast<size_t>(found - entries.begin());
    }
    SlugParts parts;
    parts.source = std::move(layers.back());
    parts.source.title = "source";
    layers.pop_back();
    parts.output = std::move(layers.back());
    parts.output.title = "build output";
    layers.pop_back();
    for (size_t i = 0; i < layers.size(); ++i)
      layers[i].title = "dependencies of " + pack_name(packs_[i]);
    parts.dependencies = std::move(layers);
    return parts;
  }

 private:
  size_t output_part() const { return packs_.size(); }
  size_t source_part() const { return packs_.size() + 1; }
  static std::string image_path(const std::string& path) {
    return std::string(app_folder) + "/" + path;
  }

  size_t part_of(const std::string& path) const {
    const auto writer = writers_.find(path);
    if (writer == writers_.end()) return source_part();
    if (!slug::is_dependency(path)) return output_part();
    const auto pack = std::find(packs_.begin(), packs_.end(), writer->second);
    return static_cast<size_t>(pack - packs_.begin());
  }

  // Where each folder's entry stands: above everything in it, since an engine that unpacks a layer
  // gives folders it is not told of to root; an empty one where it belongs itself.
  void choose_folders() {
    std::set<std::string_view> used;
    for (const TreeEntry& entry : tree_.entries) {
      if (entry.type == EntryType::directory) continue;
      std::set<std::string_view>& folders = folders_[part_of(entry.path)];
      std::string_view path = entry.path;
      for (size_t cut; (cut = path.rfind('/')) != std::string_view::npos;) {
        path = path.substr(0, cut);
        used.insert(path);
        if (!folders.insert(path).second) break;
      }
    }
    // Deepest first: an empty folder's parents go with it.
    for (size_t i = tree_.entries.size(); i-- > 0;) {
      const TreeEntry& entry = tree_.entries[i];
      if (entry.type != EntryType::directory || used.contains(entry.path)) continue;
      std::set<std::string_view>& folders = folders_[part_of(entry.path)];
      for (std::string_view path = entry.path;; path = path.substr(0, path.rfind('/'))) {
        used.insert(path);
        if (!folders.insert(path).second || path.find('/') == std::string_view::npos) break;
      }
    }
  }

  // A layer of dependencies has nothing of the source in it, not even in its folders' times.
  void add(SlugLayer& layer, size_t part, const TreeEntry& from) {
    const int64_t source_time = part < output_part() ? 0 : source_time_;
    if (layer.listing.entries.empty())
      layer.listing.entries.push_back(app_entry(slug::mtime_in_slug("", source_time)));
    LayerEntry entry;
    entry.path = image_path(from.path);
    entry.type = layer_type(from.type);
    entry.mode = slug::mode_in_slug(from);
    entry.uid = app_uid;
    entry.gid = app_gid;
    entry.mtime = slug::mtime_in_slug(from.path, source_time);
    if (from.type == EntryType::file) {
      entry.size = from.size;
      entry.digest = from.digest;
    }
    entry.link = from.link;
    layer.listing.entries.push_back(std::move(entry));
  }

  const archive::Tree& tree_;
  const std::map<std::string, std::string>& writers_;
  const std::vector<std::string>& packs_;
  const int64_t source_time_;
  std::vector<std::set<std::string_view>> folders_;  ///< by part
};

}  // namespace

std::string pack_name(const std::string& display) {
  if (display.empty() || (display[0] != '/' && display[0] != '.')) return display;
  const size_t end = display.find_last_not_of('/');
  if (end == std::string::npos) return display;
  const size_t slash = display.rfind('/', end);
  return display.substr(slash == std::string::npos ? 0 : slash + 1, end - slash);
}

SlugParts part_slug(const archive::Tree& tree, const std::map<std::string, std::string>& writers,
                    const std::vector<std::string>& packs, int64_t source_time) {
  return Parting(tree, writers, packs, source_time).run();
}

}  // namespace slipway::build
