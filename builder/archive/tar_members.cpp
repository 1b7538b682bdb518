#include "archive/tar_members.h"

#include <cstring>

#include "archive/layer_header.h"
#include "archive/tar_header.h"
#include "base/error.h"

namespace slipway::archive {
namespace {

void put(std::string& key, uint64_t value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put(std::string& key, std::string_view text) {
  put(key, uint64_t{text.size()});
  key.append(text);
}

}  // namespace

TreeMembers::TreeMembers(const std::vector<TreeEntry>& members,
                         const std::vector<std::string>& open_paths)
    : members_(members), open_paths_(open_paths) {
  SLIPWAY_CHECK(members_.size() == open_paths_.size());
}

uint64_t TreeMembers::content_size(size_t member) const {
  return members_[member].type == EntryType::file ? members_[member].size : 0;
}

void TreeMembers::append_header(std::string& out, size_t member) const {
  append_tar_header(out, members_[member]);
}

uint64_t TreeMembers::describe_header(std::string& key, size_t member) const {
  const TreeEntry& entry = members_[member];
  put(key, entry.path);
  put(key, static_cast<uint64_t>(entry.type));
  put(key, uint64_t{entry.mode});
  put(key, uint64_t{entry.uid} << 32 | entry.gid);
  put(key, entry.size);
  put(key, static_cast<uint64_t>(entry.mtime_ns));
  put(key, entry.link);
  return tar_header_size(entry);
}

uint64_t LayerMembers::content_size(size_t member) const {
  return entries_[member].type == LayerEntryType::file ? entries_[member].size : 0;
}

void LayerMembers::append_header(std::string& out, size_t member) const {
  append_layer_header(out, entries_[member]);
}

// The header itself: no field can be forgotten.
uint64_t LayerMembers::describe_header(std::string& key, size_t member) const {
  const size_t before = key.size();
  put(key, uint64_t{0});
  append_layer_header(key, entries_[member]);
  const uint64_t size = key.size() - before - sizeof(uint64_t);
  std::memcpy(key.data() + before, &size, sizeof size);
  return size;
}

}  // namespace slipway::archive
