// What only image layers have: whiteouts, devices and FIFOs, a digest of their raw bytes.
#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "archive/extraction.h"
#include "archive/layer_listing.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::archive {
namespace {

constexpr std::string_view opaque_name = ".wh..wh..opq";
constexpr std::string_view aufs_prefix = ".wh..wh.";

}  // namespace

void set_times_at(const Placer::Place& place, int64_t mtime_ns) {
  constexpr int64_t second_ns = 1'000'000'000;
  const int64_t rest = ((mtime_ns % second_ns) + second_ns) % second_ns;
  const timespec time{static_cast<time_t>((mtime_ns - rest) / second_ns), static_cast<long>(rest)};
  const timespec times[2] = {time, time};
  if (utimensat(place.dir, place.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("set the time of {}", printable(place.path));
}

void give_owner_at(const Placer::Place& place, const TreeEntry& entry) {
  if (fchownat(place.dir, place.name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    fail_errno("give {} to user {}, group {}", printable(place.path), entry.uid, entry.gid);
}

// Old images of aufs carry its own files; what lies below a whiteout means nothing.
bool Extraction::is_bookkeeping(const NameParts& parts) const {
  for (size_t i = 0; i < parts.size(); ++i) {
    if (starts_with(parts[i], aufs_prefix) && parts[i] != opaque_name) return true;
    if (i + 1 < parts.size() && starts_with(parts[i], whiteout_prefix))
      fail(ExitCode::outside, "its folder has the name of a whiteout");
  }
  return false;
}

void Extraction::place_special(archive_entry* entry, const NameParts& parts) {
  const mode_t type = archive_entry_filetype(entry);
  const bool made = options_.devices || (options_.whiteouts && type == AE_IFIFO);
  if (!made) {
    warn(fmt::format("{}: device or FIFO, left out", printable(archive_entry_pathname(entry))));
    if (!options_.whiteouts) return;
  }
  const Placer::Place place = placer_.locate(parts);
  placer_.clear(place);
  if (!made) {
    // Left out, it still hides what lies below.
    placer_.create_whiteout(place);
    return;
  }
  const dev_t device = makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
  if (mknodat(place.dir, place.name.c_str(), type | 0600, type == AE_IFIFO ? 0 : device) != 0)
    fail_errno("create device {}", printable(place.path));
  Item item = describe(entry, place.path, EntryType::file);
  item.listed = false;
  if (item.given_owner) give_owner_at(place, item.entry);
  if (fchmodat(place.dir, place.name.c_str(), item.entry.mode, 0) != 0)
    fail_errno("set the mode of {}", printable(place.path));
  set_times_at(place, item.entry.mtime_ns);
  placer_.items()[place.path] = std::move(item);
}

void Extraction::place_whiteout(const NameParts& parts) {
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
  NameParts hidden = parts;
  hidden.back() = name.substr(whiteout_prefix.size());
  if (hidden.back().empty() || hidden.back() == "." || hidden.back() == "..")
    fail(ExitCode::outside, "it is a whiteout of no name");
  const Placer::Place place = placer_.locate(hidden);
  // A whiteout hides what lower layers have, never what this layer brings.
  const auto own = placer_.items().find(place.path);
  if (own == placer_.items().end()) {
    placer_.clear(place);
    placer_.create_whiteout(place);
  } else if (own->second.entry.type == EntryType::directory && own->second.listed) {
    const Fd dir = open_at(place.dir, place.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    make_opaque(dir.get(), place.path);
  }
}

void Extraction::check_raw_digest() {
  if (options_.raw_sha256.empty()) return;
  const std::string found = reader_.sha256();
  if (found != options_.raw_sha256)
    fail(ExitCode::outside, "the decompressed layer has the digest sha256:{}, not sha256:{}", found,
         options_.raw_sha256);
}

}  // namespace slipway::archive
