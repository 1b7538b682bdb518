#include "archive/extract.h"

#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "archive/archive_reader.h"
#include "archive/placer.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {
namespace {

constexpr uint64_t ratio_counts_from_bytes = 1ULL << 30;
constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::string_view aufs_prefix = ".wh..wh.";

bool attribute_is_kept(std::string_view name) {
  // A foreign overlay attribute would make the store's own layers lie (user.overlay.opaque).
  if (name.find(".overlay.") != std::string_view::npos) return false;
  return starts_with(name, "user.") || name == "security.capability";
}

class Extraction {
 public:
  Extraction(int archive, int root, const ExtractOptions& options)
      : options_(options), reader_(archive), placer_(root, options.owner) {}

  Tree run() {
    if (!options_.needs_end_marker) reader_.accept_missing_end();
    std::string warning;
    while (archive_entry* entry = reader_.next(warning)) {
      if (++entries_ > options_.entries_max)
        fail(ExitCode::outside, "more than {} entries", options_.entries_max);
      const std::string name = entry_name(entry);
      try {
        if (!warning.empty()) warn(fmt::format("{}: {}", printable(name), warning));
        place(entry, name);
      } catch (Error& error) {
        throw error.add_context(fmt::format("entry '{}'", printable(name)));
      }
    }
    if (reader_.trailing_garbage()) warn("bytes after the end of the archive were ignored");
    place_late_links();
    if (options_.strip_wrapper) strip_wrapper();
    if (options_.bin_executable) make_bin_executable();
    placer_.finish_directories();
    return listing();
  }

 private:
  using Item = Placer::Item;

  static std::string entry_name(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) fail(ExitCode::outside, "an entry has no readable name");
    return name;
  }

  void place(archive_entry* entry, const std::string& name) {
    const NameParts parts = split_name(name);
    if (parts.empty()) return;  // "./": the root is the caller's
    if (options_.whiteouts && starts_with(parts.back(), whiteout_prefix)) {
      place_whiteout(parts);
      return;
    }
    const char* hard_link = archive_entry_hardlink(entry);
    if (hard_link == nullptr) hard_link = archive_entry_hardlink_utf8(entry);
    if (hard_link != nullptr) {
      place_hard_link(entry, parts, hard_link);
      return;
    }
    switch (archive_entry_filetype(entry)) {
      case AE_IFREG:
        place_file(entry, parts);
        return;
      case AE_IFDIR:
        place_directory(entry, parts);
        return;
      case AE_IFLNK:
        place_link(entry, parts);
        return;
      case AE_IFCHR:
      case AE_IFBLK:
      case AE_IFIFO:
        place_device(entry, parts);
        return;
      default:
        warn(fmt::format("{}: neither file, directory nor link, left out", printable(name)));
    }
  }

  Item describe(archive_entry* entry, const std::string& path, EntryType type) {
    Item item;
    item.entry.path = path;
    item.entry.type = type;
    item.entry.mode = type == EntryType::symlink ? 0777 : archive_entry_perm(entry) & 07777;
    item.entry.mtime_ns = implied_mtime_ns;
    if (archive_entry_mtime_is_set(entry)) item.entry.mtime_ns = entry_time(entry);
    item.entry.uid = geteuid();
    item.entry.gid = getegid();
    int64_t uid = item.entry.uid;
    int64_t gid = item.entry.gid;
    if (options_.owner) {
      uid = options_.owner->first;
      gid = options_.owner->second;
    } else if (options_.keep_owner) {
      uid = archive_entry_uid(entry);
      gid = archive_entry_gid(entry);
    }
    if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
      fail(ExitCode::outside, "its owner {}:{} is no user id", uid, gid);
    item.given_owner = uid != item.entry.uid || gid != item.entry.gid;
    item.entry.uid = static_cast<uint32_t>(uid);
    item.entry.gid = static_cast<uint32_t>(gid);
    return item;
  }

  static int64_t entry_time(archive_entry* entry) {
    // Years 1678 to 2262 fit; a hostile time beyond them is cut.
    constexpr int64_t second_ns = 1'000'000'000;
    constexpr int64_t limit = INT64_MAX / second_ns - 1;
    const int64_t seconds = std::clamp<int64_t>(archive_entry_mtime(entry), -limit, limit);
    return seconds * second_ns + std::clamp<int64_t>(archive_entry_mtime_nsec(entry), 0, 999999999);
  }

  void place_file(archive_entry* entry, const NameParts& parts) {
    const Placer::Place place = placer_.locate(parts);
    const Fd file = placer_.create_file(place);
    Item item = describe(entry, place.path, EntryType::file);
    write_content(entry, file.get(), item.entry);
    finish_file(entry, file.get(), item);
    placer_.items()[place.path] = std::move(item);
  }

  // Owner first, then attributes (chown drops security.capability), then mode and time.
  void finish_file(archive_entry* entry, int file, const Item& item) {
    if (item.given_owner && fchown(file, item.entry.uid, item.entry.gid) != 0)
      fail_errno("give {} to user {}, group {}", printable(item.entry.path), item.entry.uid,
                 item.entry.gid);
    set_attributes(entry, file, item.entry.path);
    apply_metadata(file, item.entry, false);
  }

  void write_content(archive_entry* entry, int file, TreeEntry& listed) {
    const bool size_known = archive_entry_size_is_set(entry) != 0;
    const int64_t size = size_known ? archive_entry_size(entry) : 0;
    if (size < 0) fail(ExitCode::outside, "its size is negative");
    check_size(static_cast<uint64_t>(size));
    Hasher hasher;
    uint64_t end = 0;
    const void* data = nullptr;
    size_t count = 0;
    int64_t offset = 0;
    while (reader_.next_block(data, count, offset)) {
      if (offset < 0 || static_cast<uint64_t>(offset) < end)
        fail(ExitCode::outside, "its parts overlap");
      const auto start = static_cast<uint64_t>(offset);
      check_size(start + count);
      if (size_known && start + count > static_cast<uint64_t>(size))
        fail(ExitCode::outside, "its content is longer than its size says");
      hash_hole(hasher, start - end);
      hasher.update(data, count);
      write_at(file, static_cast<const char*>(data), count, start, listed.path);
      end = start + count;
      progress(count);
    }
    if (size_known && static_cast<uint64_t>(size) > end) {
      hash_hole(hasher, static_cast<uint64_t>(size) - end);
      end = static_cast<uint64_t>(size);
    }
    if (ftruncate(file, static_cast<off_t>(end)) != 0)
      fail_errno("write {}", printable(listed.path));
    expanded_ += end;
    listed.size = end;
    listed.digest = hasher.finish();
  }

  static void hash_hole(Hasher& hasher, uint64_t size) {
    static const std::vector<char> zeros(64 << 10);
    while (size > 0) {
      const size_t part = static_cast<size_t>(std::min<uint64_t>(size, zeros.size()));
      hasher.update(zeros.data(), part);
      size -= part;
    }
  }

  static void write_at(int file, const char* data, size_t size, uint64_t offset,
                       const std::string& path) {
    while (size > 0) {
      const ssize_t count = pwrite(file, data, size, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("write {}", printable(path));
      data += count;
      size -= static_cast<size_t>(count);
      offset += static_cast<uint64_t>(count);
    }
  }

  // `size` bytes of the current entry would be reached (threat 21).
  void check_size(uint64_t size) {
    if (size > options_.size_max_bytes || expanded_ + size > options_.size_max_bytes)
      throw Error(ExitCode::outside, fmt::format("the archive expands to more than {}",
                                                 format_size(options_.size_max_bytes)))
          .set_hint("it may be an archive bomb; look at it before you raise the limit");
  }

  void progress(size_t count) {
    written_ += count;
    if (written_ > ratio_counts_from_bytes &&
        written_ / std::max<uint64_t>(reader_.compressed_bytes(), 1) > options_.ratio_max)
      throw Error(ExitCode::outside,
                  fmt::format("the archive expands more than {} fold", options_.ratio_max))
          .set_hint("it may be an archive bomb; look at it before you raise the limit");
    if (options_.on_progress) options_.on_progress(written_);
  }

  void set_attributes(archive_entry* entry, int file, const std::string& path) {
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    size_t size = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      if (name == nullptr || !attribute_is_kept(name)) continue;
      if (fsetxattr(file, name, value, size, 0) == 0) continue;
      const int error = errno;
      if (error == ENOSPC || error == EDQUOT || error == EIO)
        fail_errno_text(error, "set an attribute of " + printable(path));
      warn(fmt::format("{}: attribute {} left out: {}", printable(path), printable(name),
                       std::generic_category().message(error)));
    }
  }

  void place_directory(archive_entry* entry, const NameParts& parts) {
    const Placer::Place place = placer_.locate(parts);
    const bool opaque = placer_.create_directory(place);
    Item item = describe(entry, place.path, EntryType::directory);
    if (opaque || archive_entry_xattr_count(entry) > 0) {
      const Fd dir = open_at(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      set_attributes(entry, dir.get(), place.path);
      if (opaque) make_opaque(dir.get(), place.path);
    }
    placer_.items()[place.path] = std::move(item);
  }

  void place_link(archive_entry* entry, const NameParts& parts) {
    const char* text = archive_entry_symlink(entry);
    if (text == nullptr) text = archive_entry_symlink_utf8(entry);
    const Placer::Place place = placer_.locate(parts);
    placer_.create_link(place, text != nullptr ? text : "");
    Item item = describe(entry, place.path, EntryType::symlink);
    item.entry.link = text;
    if (item.given_owner && fchownat(place.dir, place.name.c_str(), item.entry.uid, item.entry.gid,
                                     AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("give {} to user {}, group {}", printable(place.path), item.entry.uid,
                 item.entry.gid);
    set_times_at(place, item.entry.mtime_ns);
    placer_.items()[place.path] = std::move(item);
  }

  void place_device(archive_entry* entry, const NameParts& parts) {
    const bool fifo_of_layer = options_.whiteouts && archive_entry_filetype(entry) == AE_IFIFO;
    if (!options_.devices && !fifo_of_layer) {
      warn(fmt::format("{}: device or FIFO, left out", printable(archive_entry_pathname(entry))));
      return;
    }
    const Placer::Place place = placer_.locate(parts);
    placer_.clear(place);
    const mode_t type = archive_entry_filetype(entry);
    const dev_t device = makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
    if (mknodat(place.dir, place.name.c_str(), type | 0600, type == AE_IFIFO ? 0 : device) != 0)
      fail_errno("create device {}", printable(place.path));
    Item item = describe(entry, place.path, EntryType::file);
    item.listed = false;
    if (item.given_owner && fchownat(place.dir, place.name.c_str(), item.entry.uid, item.entry.gid,
                                     AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("give {} to its owner", printable(place.path));
    if (fchmodat(place.dir, place.name.c_str(), item.entry.mode, 0) != 0)
      fail_errno("set the mode of {}", printable(place.path));
    set_times_at(place, item.entry.mtime_ns);
    placer_.items()[place.path] = std::move(item);
  }

  static void set_times_at(const Placer::Place& place, int64_t mtime_ns) {
    constexpr int64_t second_ns = 1'000'000'000;
    const int64_t rest = ((mtime_ns % second_ns) + second_ns) % second_ns;
    const timespec time{static_cast<time_t>((mtime_ns - rest) / second_ns),
                        static_cast<long>(rest)};
    const timespec times[2] = {time, time};
    if (utimensat(place.dir, place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      fail_errno("set the time of {}", printable(place.path));
  }

  void place_hard_link(archive_entry* entry, const NameParts& parts, const std::string& target) {
    const NameParts target_parts = split_name(target);
    if (target_parts.empty()) fail(ExitCode::outside, "it is a hard link to the root");
    if (!link_now(parts, target_parts)) {
      late_links_.emplace_back(parts, target_parts);
      return;
    }
    // cpio gives a file's content with its last name.
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > 0)
      rewrite_linked(entry, parts);
  }

  // False when the target is not there (yet).
  bool link_now(const NameParts& parts, const NameParts& target_parts) {
    const std::string existing = placer_.locate(target_parts).path;
    const auto found = placer_.items().find(existing);
    if (found == placer_.items().end()) return false;
    if (found->second.entry.type == EntryType::directory)
      fail(ExitCode::outside, "it is a hard link to the directory '{}'", printable(existing));
    const Placer::Place place = placer_.locate(parts);
    if (place.path == existing) return true;
    // What stands at the new name may be a parent of the target.
    if (starts_with(existing, place.path + '/'))
      fail(ExitCode::outside, "it is a hard link to what it would replace");
    placer_.create_hard_link(place, existing);
    Item& first = placer_.items().at(existing);
    if (first.entry.hard_link_group == 0) first.entry.hard_link_group = ++groups_;
    Item item = first;
    item.entry.path = place.path;
    placer_.items()[place.path] = std::move(item);
    return true;
  }

  void rewrite_linked(archive_entry* entry, const NameParts& parts) {
    const std::string path = placer_.locate(parts).path;
    Item& item = placer_.items().at(path);
    if (item.entry.type != EntryType::file || !item.listed)
      fail(ExitCode::outside, "it is a hard link with content to something that is no file");
    // A read-only file may be opened for writing by root only.
    const Fd readable = placer_.open(path, O_RDONLY);
    if (fchmod(readable.get(), 0600) != 0) fail_errno("set the mode of {}", printable(path));
    const Fd file = placer_.open(path, O_RDWR);
    Item written = item;
    write_content(entry, file.get(), written.entry);
    finish_file(entry, file.get(), written);
    rewritten_[written.entry.hard_link_group] = written.entry;
  }

  void place_late_links() {
    // A late link may name another one; every round must place at least one.
    while (!late_links_.empty()) {
      std::vector<std::pair<NameParts, NameParts>> left;
      for (auto& [parts, target] : late_links_) {
        const std::string path = placer_.locate(parts).path;
        if (placer_.items().count(path) > 0) continue;  // replaced by a later entry
        if (!link_now(parts, target)) left.emplace_back(parts, target);
      }
      if (left.size() == late_links_.size())
        fail(ExitCode::outside, "'{}' is a hard link to '{}', which the archive does not have",
             printable(join(left[0].first, "/")), printable(join(left[0].second, "/")));
      late_links_ = std::move(left);
    }
  }

  void place_whiteout(const NameParts& parts) {
    const std::string& name = parts.back();
    if (name == opaque_name) {
      const NameParts folder(parts.begin(), parts.end() - 1);
      if (folder.empty()) {
        make_opaque(placer_.root(), ".");
        return;
      }
      // Resolves the folder itself: the parents of any name in it.
      const Placer::Place inside = placer_.locate(parts);
      const Fd dir = open_at(inside.dir, ".", O_RDONLY | O_DIRECTORY);
      make_opaque(dir.get(), inside.path);
      return;
    }
    if (starts_with(name, aufs_prefix)) return;  // bookkeeping of aufs
    NameParts hidden = parts;
    hidden.back() = name.substr(whiteout_prefix.size());
    if (hidden.back().empty() || hidden.back() == "." || hidden.back() == "..")
      fail(ExitCode::outside, "it is a whiteout of no name");
    const Placer::Place place = placer_.locate(hidden);
    // A whiteout hides what lower layers have, never what this layer brings.
    if (placer_.items().count(place.path) > 0) return;
    placer_.clear(place);
    if (mknodat(place.dir, place.name.c_str(), S_IFCHR, makedev(0, 0)) != 0)
      fail_errno("create the whiteout of {}", printable(place.path));
  }

  static void make_opaque(int dir, const std::string& path) {
    if (fsetxattr(dir, "user.overlay.opaque", "y", 1, 0) != 0)
      fail_errno("make {} opaque", printable(path));
  }

  void strip_wrapper() {
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

  void make_bin_executable() {
    constexpr std::string_view folder = "bin/";
    Placer::Items& items = placer_.items();
    for (auto at = items.lower_bound(std::string(folder));
         at != items.end() && starts_with(at->first, folder); ++at) {
      TreeEntry& entry = at->second.entry;
      if (entry.type != EntryType::file || !at->second.listed || (entry.mode & 0111) == 0111)
        continue;
      entry.mode |= 0111;
      const Fd file = placer_.open(at->first, O_RDONLY);
      if (fchmod(file.get(), entry.mode) != 0)
        fail_errno("set the mode of {}", printable(at->first));
      if (entry.hard_link_group != 0) executable_groups_.insert(entry.hard_link_group);
    }
  }

  Tree listing() {
    Tree tree;
    // Names that were replaced or dropped leave groups of one.
    std::map<uint64_t, std::pair<size_t, uint64_t>> groups;
    for (const auto& [path, item] : placer_.items())
      if (item.listed && item.entry.hard_link_group != 0)
        ++groups[item.entry.hard_link_group].first;
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

  void warn(const std::string& text) {
    if (options_.on_warning) options_.on_warning(text);
  }

  const ExtractOptions& options_;
  ArchiveReader reader_;
  Placer placer_;
  uint64_t entries_ = 0, expanded_ = 0, written_ = 0, groups_ = 0;
  std::vector<std::pair<NameParts, NameParts>> late_links_;
  // What all names of a hard link group take over in the listing.
  std::map<uint64_t, TreeEntry> rewritten_;
  std::set<uint64_t> executable_groups_;
};

// Opens (and creates) the folder everything goes below.
Fd open_prefix(int target, const std::string& prefix) {
  Fd dir = open_at(target, ".", O_RDONLY | O_DIRECTORY);
  for (const std::string& part : split_name(prefix)) {
    if (mkdirat(dir.get(), part.c_str(), 0755) != 0 && errno != EEXIST)
      fail_errno("create {}", printable(prefix));
    dir = open_at(dir.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  }
  return dir;
}

}  // namespace

Tree extract(int archive, int target, const ExtractOptions& options) {
  const Fd root = open_prefix(target, options.prefix);
  return Extraction(archive, root.get(), options).run();
}

}  // namespace slipway::archive
