// Hard links: to what came before, to what comes later, to what lies below a layer.
#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/extraction.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {

void Extraction::place_hard_link(archive_entry* entry, const NameParts& parts,
                                 const std::string& target) {
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
bool Extraction::link_now(const NameParts& parts, const NameParts& target_parts) {
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

void Extraction::rewrite_linked(archive_entry* entry, const NameParts& parts) {
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

void Extraction::place_late_links() {
  // A late link may name another one; every round must place at least one.
  while (!late_links_.empty()) {
    std::vector<std::pair<NameParts, NameParts>> left;
    for (auto& [parts, target] : late_links_) {
      const std::string path = placer_.locate(parts).path;
      if (placer_.items().count(path) > 0) continue;  // replaced by a later entry
      if (!link_now(parts, target)) left.emplace_back(parts, target);
    }
    if (left.size() == late_links_.size() && !copy_from_below(left[0].second))
      fail(ExitCode::outside, "'{}' is a hard link to '{}', which the archive does not have",
           printable(join(left[0].first, "/")), printable(join(left[0].second, "/")));
    late_links_ = std::move(left);
  }
}

// Another name for a file of the layers below: the file itself comes up, as overlayfs does it.
bool Extraction::copy_from_below(const NameParts& target_parts) {
  const Placer::Place place = placer_.locate(target_parts);
  const LowerTree::Found below = placer_.look_below(place);
  if (below.kind != LowerTree::Found::Kind::file) return false;
  struct stat info {};
  if (fstat(below.fd.get(), &info) != 0) fail_errno("stat {}", printable(place.path));
  Item item;
  item.entry.path = place.path;
  item.entry.mode = info.st_mode & 07777;
  item.entry.size = static_cast<uint64_t>(info.st_size);
  item.entry.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  item.entry.uid = options_.owner ? options_.owner->first : info.st_uid;
  item.entry.gid = options_.owner ? options_.owner->second : info.st_gid;
  item.given_owner = item.entry.uid != geteuid() || item.entry.gid != getegid();
  check_size(item.entry.size);
  expanded_ += item.entry.size;
  const Fd file = placer_.create_file(place);
  if (copy_bytes(below.fd.get(), file.get(), item.entry.size) != item.entry.size)
    fail(ExitCode::machine, "{} became shorter while it was copied", printable(place.path));
  if (options_.digests) {
    if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("seek in {}", printable(place.path));
    item.entry.digest = hash_fd(file.get());
  }
  if (item.given_owner && fchown(file.get(), item.entry.uid, item.entry.gid) != 0)
    fail_errno("give {} to its owner", printable(place.path));
  char capability[64];
  constexpr const char* name = "security.capability";
  const ssize_t size = fgetxattr(below.fd.get(), name, capability, sizeof capability);
  if (size > 0 && fsetxattr(file.get(), name, capability, static_cast<size_t>(size), 0) != 0)
    fail_errno("copy the capabilities of {}", printable(place.path));
  apply_metadata(file.get(), item.entry, false);
  placer_.items()[place.path] = std::move(item);
  return true;
}

}  // namespace slipway::archive
