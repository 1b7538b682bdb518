#include "archive/extract.h"

#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "archive/extraction.h"
#include "archive/layer_listing.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {
namespace {

constexpr uint64_t ratio_counts_from_bytes = 1ULL << 30;

bool attribute_is_kept(std::string_view name) {
  // A foreign overlay attribute would make the store's own layers lie (user.overlay.opaque).
  if (name.find(".overlay.") != std::string_view::npos) return false;
  return starts_with(name, "user.") || name == "security.capability";
}

std::string entry_name(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) fail(ExitCode::outside, "an entry has no readable name");
  return name;
}

int64_t entry_time(archive_entry* entry) {
  // Years 1678 to 2262 fit; a hostile time beyond them is cut.
  constexpr int64_t second_ns = 1'000'000'000;
  constexpr int64_t limit = INT64_MAX / second_ns - 1;
  const int64_t seconds = std::clamp<int64_t>(archive_entry_mtime(entry), -limit, limit);
  return seconds * second_ns + std::clamp<int64_t>(archive_entry_mtime_nsec(entry), 0, 999999999);
}

void hash_hole(Hasher& hasher, uint64_t size) {
  static const std::vector<char> zeros(64 << 10);
  while (size > 0) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(size, zeros.size()));
    hasher.update(zeros.data(), part);
    size -= part;
  }
}

void write_at(int file, const char* data, size_t size, uint64_t offset, const std::string& path) {
  while (size > 0) {
    const ssize_t count = pwrite(file, data, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_errno("write {}", printable(path));
    data += count;
    size -= static_cast<size_t>(count);
    offset += static_cast<uint64_t>(count);
  }
}

ReaderRules rules_of(const ExtractOptions& options) {
  ReaderRules rules;
  rules.tar_only = options.whiteouts;
  rules.end_marker = options.needs_end_marker && !options.whiteouts;
  rules.ahead = true;
  rules.sha256 = !options.raw_sha256.empty();
  return rules;
}

}  // namespace

Extraction::Extraction(int archive, int root, const ExtractOptions& options)
    : options_(options),
      reader_(archive, rules_of(options)),
      placer_(root, options.owner, options.lower) {}

Tree Extraction::run() {
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
  check_raw_digest();
  place_late_links();
  if (options_.strip_wrapper) strip_wrapper();
  if (options_.bin_executable) make_bin_executable();
  placer_.finish_directories();
  return listing();
}

void Extraction::place(archive_entry* entry, const std::string& name) {
  const NameParts parts = split_name(name);
  if (parts.empty()) return;  // "./": the root is the caller's
  if (options_.whiteouts) {
    if (is_bookkeeping(parts)) return;
    if (starts_with(parts.back(), whiteout_prefix)) {
      place_whiteout(parts);
      return;
    }
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
      place_special(entry, parts);
      return;
    default:
      warn(fmt::format("{}: neither file, directory nor link, left out", printable(name)));
  }
}

Extraction::Item Extraction::describe(archive_entry* entry, const std::string& path,
                                      EntryType type) {
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

void Extraction::place_file(archive_entry* entry, const NameParts& parts) {
  const Placer::Place place = placer_.locate(parts);
  const Fd file = placer_.create_file(place);
  Item item = describe(entry, place.path, EntryType::file);
  write_content(entry, file.get(), item.entry);
  finish_file(entry, file.get(), item);
  placer_.items()[place.path] = std::move(item);
}

// Owner first, then attributes (chown drops security.capability), then mode and time.
void Extraction::finish_file(archive_entry* entry, int file, const Item& item) {
  if (item.given_owner && fchown(file, item.entry.uid, item.entry.gid) != 0)
    fail_errno("give {} to user {}, group {}", printable(item.entry.path), item.entry.uid,
               item.entry.gid);
  set_attributes(entry, file, item.entry.path);
  apply_metadata(file, item.entry, false);
}

void Extraction::write_content(archive_entry* entry, int file, TreeEntry& listed) {
  const bool size_known = archive_entry_size_is_set(entry) != 0;
  const int64_t size = size_known ? archive_entry_size(entry) : 0;
  if (size < 0) fail(ExitCode::outside, "its size is negative");
  check_size(static_cast<uint64_t>(size));
  std::optional<Hasher> hasher;
  if (options_.digests) hasher.emplace();
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
    if (hasher) {
      hash_hole(*hasher, start - end);
      hasher->update(data, count);
    }
    write_at(file, static_cast<const char*>(data), count, start, listed.path);
    end = start + count;
    progress(count);
  }
  if (size_known && static_cast<uint64_t>(size) > end) {
    if (hasher) hash_hole(*hasher, static_cast<uint64_t>(size) - end);
    end = static_cast<uint64_t>(size);
  }
  if (ftruncate(file, static_cast<off_t>(end)) != 0) fail_errno("write {}", printable(listed.path));
  expanded_ += end;
  listed.size = end;
  if (hasher) listed.digest = hasher->finish();
}

// `size` bytes of the current entry would be reached (threat 21).
void Extraction::check_size(uint64_t size) {
  if (size > options_.size_max_bytes || expanded_ + size > options_.size_max_bytes)
    throw Error(ExitCode::outside, fmt::format("the archive expands to more than {}",
                                               format_size(options_.size_max_bytes)))
        .set_hint("it may be an archive bomb; look at it before you raise the limit");
}

void Extraction::progress(size_t count) {
  written_ += count;
  if (written_ > ratio_counts_from_bytes &&
      written_ / std::max<uint64_t>(reader_.compressed_bytes(), 1) > options_.ratio_max)
    throw Error(ExitCode::outside,
                fmt::format("the archive expands more than {} fold", options_.ratio_max))
        .set_hint("it may be an archive bomb; look at it before you raise the limit");
  if (options_.on_progress) options_.on_progress(written_);
}

void Extraction::set_attributes(archive_entry* entry, int file, const std::string& path) {
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

void Extraction::place_directory(archive_entry* entry, const NameParts& parts) {
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

void Extraction::place_link(archive_entry* entry, const NameParts& parts) {
  const char* text = archive_entry_symlink(entry);
  if (text == nullptr) text = archive_entry_symlink_utf8(entry);
  const Placer::Place place = placer_.locate(parts);
  placer_.create_link(place, text != nullptr ? text : "");
  Item item = describe(entry, place.path, EntryType::symlink);
  item.entry.link = text;
  if (item.given_owner) give_owner_at(place, item.entry);
  set_times_at(place, item.entry.mtime_ns);
  placer_.items()[place.path] = std::move(item);
}

namespace {

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
