// One run of extract(), in parts: entries (extract.cpp), hard links (extract_links.cpp), what only
// image layers have (extract_layer.cpp), and what is done when all is there (extract_finish.cpp).
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "archive/archive_reader.h"
#include "archive/extract.h"
#include "archive/placer.h"

namespace slipway::archive {

class Extraction {
 public:
  Extraction(int archive, int root, const ExtractOptions& options);
  Tree run();

 private:
  using Item = Placer::Item;

  // extract.cpp
  void place(archive_entry* entry, const std::string& name);
  Item describe(archive_entry* entry, const std::string& path, EntryType type);
  void place_file(archive_entry* entry, const NameParts& parts);
  void place_directory(archive_entry* entry, const NameParts& parts);
  void place_link(archive_entry* entry, const NameParts& parts);
  void finish_file(archive_entry* entry, int file, const Item& item);
  void write_content(archive_entry* entry, int file, TreeEntry& listed);
  void check_size(uint64_t size);
  void progress(size_t count);
  void set_attributes(archive_entry* entry, int file, const std::string& path);
  void warn(const std::string& text) {
    if (options_.on_warning) options_.on_warning(text);
  }

  // extract_links.cpp
  void place_hard_link(archive_entry* entry, const NameParts& parts, const std::string& target);
  bool link_now(const NameParts& parts, const NameParts& target_parts);
  void rewrite_linked(archive_entry* entry, const NameParts& parts);
  void place_late_links();
  bool copy_from_below(const NameParts& target_parts);

  // extract_layer.cpp
  bool is_bookkeeping(const NameParts& parts) const;
  void place_whiteout(const NameParts& parts);
  void place_special(archive_entry* entry, const NameParts& parts);
  void check_raw_digest();

  // extract_finish.cpp
  void strip_wrapper();
  void make_bin_executable();
  Tree listing();

  const ExtractOptions& options_;
  ArchiveReader reader_;
  Placer placer_;
  uint64_t entries_ = 0, expanded_ = 0, written_ = 0, groups_ = 0;
  std::vector<std::pair<NameParts, NameParts>> late_links_;
  // What all names of a hard link group take over in the listing.
  std::map<uint64_t, TreeEntry> rewritten_;
  std::set<uint64_t> executable_groups_;
};

/// Gives what is no link's target its owner; a link itself is not followed.
void give_owner_at(const Placer::Place& place, const TreeEntry& entry);
void set_times_at(const Placer::Place& place, int64_t mtime_ns);

}  // namespace slipway::archive
