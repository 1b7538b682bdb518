#include <queue>

#include "archive/archive_reader.h"
#include "base/error.h"
#include "base/text.h"
#include "slug/packages.h"
#include "slug/slug.h"
#include "source/procfile.h"

namespace slipway::slug {
namespace {

using Row = Inspection::Row;

constexpr std::string_view outside_app = "(outside ./app, ignored on a dyno)";
constexpr std::string_view top_files = "(files at the top)";
constexpr std::string_view app_source = "(the app's source)";
constexpr size_t largest_rows = 10;
constexpr uint64_t procfile_max_bytes = 1 << 20;
// Bombs (threat 21): a slug has at most 500 MB and apps shrink to a third or so.
constexpr uint64_t raw_max_bytes = 8ULL << 30;
constexpr uint64_t ratio_max = 500;
constexpr uint64_t ratio_counts_from_bytes = 256 << 20;
constexpr uint64_t entries_max = 5'000'000;

// One member whose compressed share is known only when the next one starts.
struct Member {
  std::string path;  ///< relative to the app; names outside it as they are
  bool inside = false, is_file = false;
  uint64_t size = 0;
  uint64_t position = 0;  ///< of its headers in the tar
  Digest digest;
  std::string content;  ///< of the few files that are looked into
};

bool larger_first(const Row& a, const Row& b) {
  if (a.compressed_bytes != b.compressed_bytes) return a.compressed_bytes > b.compressed_bytes;
  if (a.raw_bytes != b.raw_bytes) return a.raw_bytes > b.raw_bytes;
  return a.name < b.name;
}

void add_to(std::map<std::string, Row>& rows, const std::string& name, const Member& member,
            uint64_t compressed_bytes) {
  Row& row = rows[name];
  row.name = name;
  row.raw_bytes += member.size;
  row.compressed_bytes += compressed_bytes;
  row.files += member.is_file ? 1 : 0;
}

std::vector<Row> sorted_rows(const std::map<std::string, Row>& rows) {
  std::vector<Row> list;
  for (const auto& [name, row] : rows) list.push_back(row);
  std::sort(list.begin(), list.end(), larger_first);
  return list;
}

// The folder a person would name: the first, with its child where runtimes share one.
std::string folder_of(const std::string& path, bool is_directory) {
  size_t slash = path.find('/');
  if (slash == std::string::npos) return is_directory ? path : std::string(top_files);
  const std::string top = path.substr(0, slash);
  if (top != ".heroku" && top != ".platform_tools" && top != "vendor") return top;
  const size_t second = path.find('/', slash + 1);
  if (second == std::string::npos) return is_directory ? path : top;
  return path.substr(0, second);
}

class Inspector {
 public:
  Inspector(int slug, const Manifest* manifest, const WriterOf* writers)
      : reader_(slug), manifest_(manifest), writers_(writers) {
    reader_.track_positions();
  }

  Inspection run() {
    if (!reader_.is_compressed()) no_slug("it is not compressed");
    std::string warning;
    std::optional<Member> open;
    while (archive_entry* entry = reader_.next(warning)) {
      if (!reader_.is_tar()) no_slug("it holds no tar");
      if (open) finish(*open);
      if (++entries_ > entries_max) fail(ExitCode::app_files, "more than {} entries", entries_max);
      open = read_member(entry);
    }
    if (open) finish(*open);
    if (!has_app_) no_slug("nothing in it lies below ./app");
    return result();
  }

 private:
  [[noreturn]] static void no_slug(const char* why) {
    throw Error(ExitCode::app_files, fmt::format("this is no slug: {}", why))
        .set_hint("a slug is a gzip-compressed tar whose entries are below ./app");
  }

  Member read_member(archive_entry* entry) {
    Member member;
    member.position = reader_.header_position();
    name_member(entry, member);
    const bool linked = archive_entry_hardlink(entry) != nullptr;
    member.is_file = linked || archive_entry_filetype(entry) == AE_IFREG;
    if (!member.is_file) return member;
    const uint64_t wanted = !member.inside ? 0
                            : member.path == "Procfile"
                                ? procfile_max_bytes
                                : PackageFinder::wanted_content(member.path);
    Hasher hasher;
    const void* data = nullptr;
    size_t count = 0;
    int64_t offset = 0;
    uint64_t stored = 0;
    while (reader_.next_block(data, count, offset)) {
      hasher.update(data, count);
      stored += count;
      raw_read_ += count;
      check_bomb();
      if (member.content.size() + count <= wanted)
        member.content.append(static_cast<const char*>(data), count);
    }
    // Holes of sparse members are not stored, so they do not fill the slug; they count on disk.
    member.size = std::max<uint64_t>(stored, linked ? 0 : declared_size(entry));
    if (member.content.size() != stored) member.content.clear();
    if (stored == member.size && stored > 0) member.digest = hasher.finish();
    return member;
  }

  void check_bomb() const {
    constexpr const char* hint = "it may be an archive bomb";
    if (raw_read_ > raw_max_bytes)
      throw Error(ExitCode::app_files,
                  fmt::format("the slug expands to more than {}", format_size(raw_max_bytes)))
          .set_hint(hint);
    if (raw_read_ > ratio_counts_from_bytes &&
        raw_read_ / std::max<uint64_t>(reader_.compressed_bytes(), 1) > ratio_max)
      throw Error(ExitCode::app_files, fmt::format("the slug expands more than {} fold", ratio_max))
          .set_hint(hint);
  }

  static uint64_t declared_size(archive_entry* entry) {
    const int64_t size = archive_entry_size_is_set(entry) != 0 ? archive_entry_size(entry) : 0;
    return size > 0 && static_cast<uint64_t>(size) <= raw_max_bytes ? static_cast<uint64_t>(size)
                                                                    : 0;
  }

  void name_member(archive_entry* entry, Member& member) {
    const char* raw = archive_entry_pathname(entry);
    if (raw == nullptr) raw = archive_entry_pathname_utf8(entry);
    std::string_view name = raw != nullptr ? raw : "";
    // SLUG-1: the leading "./app" is what a dyno unpacks.
    constexpr std::string_view root = "./app";
    member.path = name;
    if (!starts_with(name, root)) return;
    name.remove_prefix(root.size());
    if (!name.empty() && name[0] != '/') return;
    while (!name.empty() && name.front() == '/') name.remove_prefix(1);
    while (!name.empty() && name.back() == '/') name.remove_suffix(1);
    member.path = name;
    member.inside = true;
    has_app_ = true;
  }

  void finish(const Member& member) {
    const uint64_t end = reader_.compressed_at(reader_.header_position());
    const uint64_t compressed = end - last_end_;
    last_end_ = end;
    found_.raw_bytes += member.size;
    found_.compressed_bytes += compressed;
    found_.files += member.is_file ? 1 : 0;
    if (!member.inside) {
      add_to(folders_, std::string(outside_app), member, compressed);
      return;
    }
    add_to(folders_,
           member.path.empty() ? std::string(top_files) : folder_of(member.path, !member.is_file),
           member, compressed);
    if (writers_ != nullptr && manifest_ != nullptr)
      add_to(buildpacks_, writer_of(member.path), member, compressed);
    if (!member.is_file) return;
    packages_.add(member.path, member.size, compressed, member.content);
    keep_largest({member.path, member.size, compressed, 1});
    if (member.digest) count_content(member, compressed);
    if (member.path == "Procfile") procfile_ = member.content;
  }

  std::string writer_of(const std::string& path) const {
    const auto found = writers_->find(path);
    if (found == writers_->end() || found->second < 0 ||
        static_cast<size_t>(found->second) >= manifest_->buildpacks.size())
      return std::string(app_source);
    return manifest_->buildpacks[static_cast<size_t>(found->second)].name;
  }

  void keep_largest(Row row) {
    largest_.push(std::move(row));
    if (largest_.size() > largest_rows) largest_.pop();
  }

  // Row: bytes beyond the first copy, files = copies.
  void count_content(const Member& member, uint64_t compressed) {
    Row& row = contents_[member.digest];
    if (row.files++ == 0) {
      row.name = member.path;
      return;
    }
    row.raw_bytes += member.size;
    row.compressed_bytes += compressed;
  }

  Inspection result() {
    // The end marker's own bytes belong to the whole only.
    found_.compressed_bytes = reader_.compressed_bytes();
    found_.folders = sorted_rows(folders_);
    found_.buildpacks = sorted_rows(buildpacks_);
    found_.packages = packages_.rows();
    for (; !largest_.empty(); largest_.pop()) found_.largest.push_back(largest_.top());
    std::sort(found_.largest.begin(), found_.largest.end(), larger_first);
    for (auto& [digest, row] : contents_)
      if (row.files > 1) found_.duplicates.push_back(std::move(row));
    std::sort(found_.duplicates.begin(), found_.duplicates.end(), larger_first);
    if (found_.duplicates.size() > largest_rows) found_.duplicates.resize(largest_rows);
    if (procfile_)
      found_.process_types = source::parse_procfile(*procfile_, "Procfile in the slug").types;
    else if (manifest_ != nullptr)
      found_.process_types = manifest_->process_types;
    return std::move(found_);
  }

  archive::ArchiveReader reader_;
  const Manifest* manifest_;
  const WriterOf* writers_;
  Inspection found_;
  bool has_app_ = false;
  uint64_t entries_ = 0, raw_read_ = 0, last_end_ = 0;
  std::map<std::string, Row> folders_, buildpacks_;
  std::map<Digest, Row> contents_;
  std::priority_queue<Row, std::vector<Row>, decltype(&larger_first)> largest_{&larger_first};
  PackageFinder packages_;
  std::optional<std::string> procfile_;
};

Json rows_to_json(const std::vector<Row>& rows) {
  Json list = Json::array();
  for (const Row& row : rows)
    list.push_back({{"name", row.name},
                    {"size", row.compressed_bytes},
                    {"raw_size", row.raw_bytes},
                    {"files", row.files}});
  return list;
}

}  // namespace

Json Inspection::to_json() const {
  Json types = Json::object();
  for (const auto& [type, command] : process_types) types[type] = command;
  return {
      {"size", compressed_bytes},
      {"raw_size", raw_bytes},
      {"files", files},
      {"process_types", std::move(types)},
      {"folders", rows_to_json(folders)},
      {"packages", rows_to_json(packages)},
      {"buildpacks", rows_to_json(buildpacks)},
      {"largest", rows_to_json(largest)},
      {"duplicates", rows_to_json(duplicates)},
  };
}

Inspection inspect_slug(int slug, const Manifest* manifest, const WriterOf* writers) {
  try {
    return Inspector(slug, manifest, writers).run();
  } catch (Error& error) {
    if (error.code() != ExitCode::outside) throw error;
    // For foreign archives damage is an outside failure; this file was named by the user.
    throw Error(ExitCode::app_files, error.cause())
        .set_hint(error.hint().empty() ? "the file may be cut short; make the slug again"
                                       : error.hint());
  }
}

}  // namespace slipway::slug
