#include "archive/tree.h"

#include <algorithm>
#include <stdexcept>

#include "archive/binary_form.h"
#include "base/error.h"
#include "base/text.h"

// Binary form, version 1. Numbers are LEB128 varints, `bytes` is a number and that many bytes.
//
//   tree   = "slipway-tree 1\n" count:number entry*
//   entry  = flags:byte shared:number suffix:bytes mode:number uid:number gid:number mtime:number
//            [size:number] [digest:32 bytes] [link:bytes] [group:number]
//
// `shared` counts the leading bytes of the path that equal those of the entry before; flags holds
// the type in its low two bits and says which of the optional fields follow; mtime is zigzag
// encoded because times before 1970 exist.
namespace slipway::archive {
namespace {

constexpr std::string_view magic = "slipway-tree 1\n";
constexpr uint8_t type_mask = 3, has_size = 4, has_digest = 8, has_link = 16, has_group = 32;
constexpr uint8_t known_flags = type_mask | has_size | has_digest | has_link | has_group;

[[noreturn]] void malformed(std::string_view what) {
  fail(ExitCode::machine, "malformed tree listing: {}", what);
}

bool path_less(const TreeEntry& left, const TreeEntry& right) {
  return left.path < right.path;
}

TreeEntry parse_entry(FormReader& reader, const std::string& previous) {
  TreeEntry entry;
  const uint8_t flags = reader.byte();
  const uint8_t type = flags & type_mask;
  if ((flags & ~known_flags) != 0 || type > static_cast<uint8_t>(EntryType::symlink))
    malformed("unknown kind of entry");
  entry.type = static_cast<EntryType>(type);
  const uint64_t shared = reader.number();
  if (shared > previous.size()) malformed("path out of range");
  const std::string_view suffix = reader.bytes();
  entry.path.reserve(static_cast<size_t>(shared) + suffix.size());
  entry.path.assign(previous, 0, static_cast<size_t>(shared));
  entry.path += suffix;
  if (!is_plain_path(entry.path)) malformed("path '" + printable(entry.path) + "'");
  if (entry.path <= previous) malformed("entries out of order");
  entry.mode = reader.number32();
  if (entry.mode > 07777) malformed("mode out of range");
  entry.uid = reader.number32();
  entry.gid = reader.number32();
  entry.mtime_ns = reader.signed_number();
  if ((flags & has_size) != 0) entry.size = reader.number();
  if ((flags & has_digest) != 0) entry.digest = reader.digest();
  if ((flags & has_link) != 0) entry.link = reader.bytes();
  if ((flags & has_group) != 0) entry.hard_link_group = reader.number();
  return entry;
}

}  // namespace

void Tree::sort() {
  std::sort(entries.begin(), entries.end(), path_less);
}

const TreeEntry* Tree::find(std::string_view path) const {
  const auto it = std::lower_bound(
      entries.begin(), entries.end(), path,
      [](const TreeEntry& entry, std::string_view wanted) { return entry.path < wanted; });
  return it != entries.end() && it->path == path ? &*it : nullptr;
}

Tree Tree::below(std::string_view folder) const {
  if (folder.empty()) return *this;
  std::string prefix(folder);
  prefix += '/';
  // "a-b" sorts between "a" and "a/b", so what lies below "a" is found by its prefix "a/".
  auto it = std::lower_bound(
      entries.begin(), entries.end(), prefix,
      [](const TreeEntry& entry, const std::string& wanted) { return entry.path < wanted; });
  Tree tree;
  for (; it != entries.end() && starts_with(it->path, prefix); ++it) {
    tree.entries.push_back(*it);
    tree.entries.back().path.erase(0, prefix.size());
  }
  return tree;
}

uint64_t Tree::total_size() const {
  uint64_t total = 0;
  for (const TreeEntry& entry : entries) total += entry.size;
  return total;
}

Digest tree_digest(const Tree& tree) {
  // Every field is length-prefixed or self-delimiting, so no two listings give the same bytes
  // (threat 18).
  Hasher hasher;
  std::string buffer = "slipway-tree-content 1\n";
  put_number(buffer, tree.entries.size());
  for (const TreeEntry& entry : tree.entries) {
    put_bytes(buffer, entry.path);
    buffer += static_cast<char>(entry.type);
    put_number(buffer, entry.mode);
    put_number(buffer, entry.uid);
    put_number(buffer, entry.gid);
    put_number(buffer, entry.size);
    put_bytes(buffer, entry.link);
    put_digest(buffer, entry.digest);
    if (buffer.size() >= 1 << 16) {
      hasher.update(buffer);
      buffer.clear();
    }
  }
  hasher.update(buffer);
  return hasher.finish();
}

std::string serialize_tree(const Tree& tree) {
  std::string out(magic);
  out.reserve(magic.size() + 16 + tree.entries.size() * 96);
  put_number(out, tree.entries.size());
  std::string_view previous;
  for (const TreeEntry& entry : tree.entries) {
    if (!is_plain_path(entry.path) || entry.path <= previous)
      throw std::logic_error("tree entry '" + printable(entry.path) +
                             "' is not a plain path in sorted order");
    SLIPWAY_CHECK(entry.mode <= 07777);
    const bool digest = static_cast<bool>(entry.digest);
    out += static_cast<char>(static_cast<uint8_t>(entry.type) | (entry.size != 0 ? has_size : 0) |
                             (digest ? has_digest : 0) | (entry.link.empty() ? 0 : has_link) |
                             (entry.hard_link_group != 0 ? has_group : 0));
    const size_t shared = shared_prefix(previous, entry.path);
    put_number(out, shared);
    put_bytes(out, std::string_view(entry.path).substr(shared));
    put_number(out, entry.mode);
    put_number(out, entry.uid);
    put_number(out, entry.gid);
    put_signed(out, entry.mtime_ns);
    if (entry.size != 0) put_number(out, entry.size);
    if (digest) put_digest(out, entry.digest);
    if (!entry.link.empty()) put_bytes(out, entry.link);
    if (entry.hard_link_group != 0) put_number(out, entry.hard_link_group);
    previous = entry.path;
  }
  return out;
}

Tree parse_tree(std::string_view data) {
  if (!starts_with(data, magic)) malformed("unknown version");
  FormReader reader(data.substr(magic.size()), malformed);
  const uint64_t count = reader.number();
  // An entry takes at least seven bytes: a made-up count must not make us reserve (threat 7).
  if (count > reader.left() / 7) malformed("cut short");
  Tree tree;
  tree.entries.reserve(static_cast<size_t>(count));
  static const std::string none;
  for (uint64_t i = 0; i < count; ++i)
    tree.entries.push_back(parse_entry(reader, i == 0 ? none : tree.entries.back().path));
  if (!reader.done()) malformed("bytes after the last entry");
  return tree;
}

}  // namespace slipway::archive
