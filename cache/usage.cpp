#include <sys/stat.h>

#include <map>

#include "base/files.h"
#include "cache/state.h"

namespace slipway::cache {
namespace {

// What lies below a directory, by blocks; what we may not enter (a mapped user's) is left out.
void add_below(int directory, DiskUsage::Row& row, int depth = 0) {
  constexpr int depth_max = 64;
  if (depth > depth_max) return;
  for (const std::string& name : list_directory(directory)) {
    const auto info = stat_at(directory, name);
    if (!info) continue;
    if (S_ISDIR(info->st_mode)) {
      const int fd =
          openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (fd >= 0) add_below(Fd(fd).get(), row, depth + 1);
    } else if (S_ISREG(info->st_mode)) {
      ++row.count;
      row.size_bytes += static_cast<uint64_t>(info->st_blocks) * 512;
    }
  }
}

}  // namespace

DiskUsage Store::disk_usage() const {
  DiskUsage usage;
  {
    const Session index(*state_);
    Query rows = index->query(
        "SELECT CASE state WHEN 1 THEN 'snapshots: ' || kind ELSE 'snapshots: to be removed' END "
        "AS name, count(*), sum(size) FROM snapshots WHERE state <> 0 GROUP BY name ORDER BY name");
    while (rows.next()) usage.rows.push_back({rows.text(0), rows.number(1), rows.number(2)});
  }
  const auto add_directory = [&](const char* kind, const char* directory) {
    DiskUsage::Row row{.kind = kind};
    const Fd fd = open_at(state_->layout.fd.get(), directory, O_RDONLY | O_DIRECTORY);
    add_below(fd.get(), row);
    usage.rows.push_back(row);
  };
  add_directory("blobs", "blobs");
  add_directory("packs", "packs");
  add_directory("listings", "trees");
  add_directory("cache mounts", "caches");
  add_directory("stat caches", "stat");
  add_directory("logs", "logs");
  DiskUsage::Row index_files{.kind = "index"};
  for (const std::string& name : list_directory(state_->layout.fd.get()))
    if (name.compare(0, 12, "index.sqlite") == 0)
      if (const auto info = stat_at(state_->layout.fd.get(), name)) {
        ++index_files.count;
        index_files.size_bytes += static_cast<uint64_t>(info->st_blocks) * 512;
      }
  usage.rows.push_back(index_files);
  std::erase_if(usage.rows, [](const DiskUsage::Row& row) { return row.count == 0; });
  for (const DiskUsage::Row& row : usage.rows) usage.total_bytes += row.size_bytes;
  return usage;
}

}  // namespace slipway::cache
