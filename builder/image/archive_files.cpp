#include "image/archive_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <optional>

#include "archive/archive_reader.h"
#include "base/error.h"
#include "base/text.h"

namespace slipway::image {
namespace {

constexpr uint64_t small_member_bytes = 256 << 10;
constexpr uint64_t small_total_bytes = 64 << 20;
constexpr size_t members_max = 1'000'000;
constexpr int links_max = 20;

// "./a//b" → "a/b"; ".." goes up, never beyond the top. Empty = the top itself.
std::string normal(std::string_view name) {
  std::vector<std::string> parts;
  for (std::string& part : split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.push_back(std::move(part));
    else if (!parts.empty())
      parts.pop_back();
  }
  return join(parts, "/");
}

std::string read_content(archive::ArchiveReader& reader, uint64_t limit_bytes) {
  std::string content;
  const void* data = nullptr;
  size_t size = 0;
  int64_t offset = 0;
  while (reader.next_block(data, size, offset)) {
    if (offset < 0 || static_cast<uint64_t>(offset) < content.size() ||
        static_cast<uint64_t>(offset) + size > limit_bytes)
      fail(ExitCode::outside, "a member is longer than it says");
    content.resize(static_cast<size_t>(offset), '\0');
    content.append(static_cast<const char*>(data), size);
  }
  return content;
}

archive::ReaderRules rules() {
  archive::ReaderRules rules;
  rules.tar_only = true;
  rules.seek_in_plain = true;
  return rules;
}

std::string name_of(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  return normal(name != nullptr ? name : "");
}

}  // namespace

ArchiveFiles::ArchiveFiles(const std::string& path)
    : file_(open_file(path, O_RDONLY | O_NONBLOCK)) {
  struct stat info {};
  if (fstat(file_.get(), &info) != 0) fail_errno("stat {}", path);
  if (!S_ISREG(info.st_mode)) fail(ExitCode::outside, "it is not a regular file");
  archive::ArchiveReader reader(file_.get(), rules());
  std::string warning;
  uint64_t small_bytes = 0;
  while (archive_entry* entry = reader.next(warning)) {
    const std::string name = name_of(entry);
    if (name.empty()) continue;
    if (members_.size() == members_max)
      fail(ExitCode::outside, "the archive has more than {} members", members_max);
    Member member;
    const char* link = archive_entry_hardlink(entry);
    if (link != nullptr) {
      member.link = normal(link);
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      const char* text = archive_entry_symlink(entry);
      const size_t folder = name.rfind('/') + 1;
      member.link = normal(name.substr(0, folder) + (text != nullptr ? text : ""));
    } else if (archive_entry_filetype(entry) != AE_IFREG) {
      continue;
    }
    member.size = static_cast<uint64_t>(std::max<int64_t>(archive_entry_size(entry), 0));
    // A name that comes twice means the last one, as in any tar.
    small_.erase(name);
    if (member.link.empty() && member.size <= small_member_bytes &&
        small_bytes + member.size <= small_total_bytes) {
      small_[name] = read_content(reader, member.size);
      small_bytes += member.size;
    }
    members_[name] = std::move(member);
  }
}

std::string ArchiveFiles::resolve(const std::string& name) const {
  std::string found = normal(name);
  for (int i = 0; i < links_max; ++i) {
    const auto member = members_.find(found);
    if (member == members_.end() || member->second.link.empty()) return found;
    found = member->second.link;
  }
  return {};
}

std::string ArchiveFiles::read(const std::string& name, uint64_t limit_bytes) {
  const std::string found = resolve(name);
  const auto member = members_.find(found);
  if (member == members_.end()) fail(ExitCode::outside, "the archive has no {}", printable(name));
  if (member->second.size > limit_bytes)
    fail(ExitCode::outside, "{} has {} bytes, at most {} are read", printable(name),
         member->second.size, limit_bytes);
  const auto small = small_.find(found);
  if (small != small_.end()) return small->second;
  std::string content;
  stream({name}, [&](const std::string&, std::string_view piece) {
    content.append(piece);
    if (content.size() > limit_bytes) fail(ExitCode::outside, "{} grew", printable(name));
  });
  return content;
}

void ArchiveFiles::stream(const std::set<std::string>& names, const Take& take) {
  std::multimap<std::string, std::string> wanted;  // member → name it was asked for by
  for (const std::string& name : names) wanted.emplace(resolve(name), name);
  if (lseek(file_.get(), 0, SEEK_SET) != 0) fail_errno("seek in the archive");
  archive::ArchiveReader reader(file_.get(), rules());
  std::string warning;
  while (archive_entry* entry = reader.next(warning)) {
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry) != nullptr)
      continue;
    const auto [begin, end] = wanted.equal_range(name_of(entry));
    if (begin == end) continue;
    const void* data = nullptr;
    size_t size = 0;
    int64_t offset = 0;
    int64_t next = 0;
    while (reader.next_block(data, size, offset)) {
      // A sparse member would be no blob any tool wrote.
      if (offset != next) fail(ExitCode::outside, "a member of the archive has holes");
      next = offset + static_cast<int64_t>(size);
      if (size == 0) continue;
      for (auto at = begin; at != end; ++at)
        take(at->second, {static_cast<const char*>(data), size});
    }
    for (auto at = begin; at != end; ++at) take(at->second, {});
  }
}

}  // namespace slipway::image
