#include "netfetch/git_tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/files.h"
#include "base/text.h"

namespace slipway::netfetch {
namespace {

// A few tree objects that name each other can describe more files than any disk holds (threat 21).
constexpr size_t entries_max = 1'000'000;
constexpr uint64_t bytes_max = 20ULL << 30;
constexpr size_t link_max = 4095;
constexpr size_t path_max = 4095;

bool is_dot_git(std::string_view name) {
  if (name.size() != 4) return false;
  constexpr std::string_view wanted = ".git";
  for (size_t i = 0; i < 4; ++i)
    if ((name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]) != wanted[i])
      return false;
  return true;
}

void check_path(const std::string& path) {
  const auto refuse = [&](const char* reason) {
    fail(ExitCode::outside, "the repository holds '{}': {}", printable(path.substr(0, 200)),
         reason);
  };
  if (path.size() > path_max) refuse("the path is too long");
  for (const std::string& name : split(path, '/')) {
    if (name.empty() || name == "." || name == "..") refuse("not a sound path");
    if (is_dot_git(name)) refuse("'.git' cannot be part of a tree");
    if (name.size() > 255) refuse("the name is too long");
  }
}

GitEntry parse_entry(std::string_view line) {
  // "100644 blob <hex>\t<path>"
  const size_t tab = line.find('\t');
  const std::vector<std::string> words = split(line.substr(0, tab), ' ');
  if (tab == std::string_view::npos || words.size() < 3)
    fail(ExitCode::outside, "git lists a tree oddly: '{}'", printable(line.substr(0, 200)));
  GitEntry entry;
  entry.object = words[2];
  entry.path = line.substr(tab + 1);
  const std::string& mode = words[0];
  if (mode == "120000")
    entry.kind = GitEntry::Kind::symlink;
  else if (mode == "160000")
    entry.kind = GitEntry::Kind::submodule;
  else if (mode == "100755")
    entry.kind = GitEntry::Kind::executable;
  else if (!starts_with(mode, "100"))  // 100644, and 100664 of old
    fail(ExitCode::outside, "the repository holds '{}' with the mode {}", printable(entry.path),
         printable(mode));
  check_path(entry.path);
  return entry;
}

// No path twice, none below another that is no folder: such trees try to make an extractor write
// through a link of their own.
void check_shape(const std::vector<GitEntry>& entries) {
  std::unordered_set<std::string_view> leaves;
  for (const GitEntry& entry : entries)
    if (!leaves.insert(entry.path).second)
      fail(ExitCode::outside, "the repository holds '{}' twice", printable(entry.path));
  for (const GitEntry& entry : entries)
    for (size_t slash = entry.path.find('/'); slash != std::string::npos;
         slash = entry.path.find('/', slash + 1))
      if (leaves.count(std::string_view(entry.path).substr(0, slash)) != 0)
        fail(ExitCode::outside, "the repository holds '{}' below something that is no folder",
             printable(entry.path));
}

/// Reads the answers of `git cat-file --batch`.
class BlobReader {
 public:
  explicit BlobReader(Fd from) : from_(std::move(from)) {}

  /// The size of the next object, which must be `object`.
  uint64_t next(const std::string& object) {
    std::string line;
    for (;;) {
      if (start_ == end_ && !fill()) fail(ExitCode::outside, "git stopped reading objects");
      const char c = buffer_[start_++];
      if (c == '\n') break;
      line += c;
      if (line.size() > 200) fail(ExitCode::outside, "git answers oddly");
    }
    const std::vector<std::string> words = split(line, ' ');
    if (words.size() != 3 || words[0] != object || words[1] != "blob")
      fail(ExitCode::outside, "the repository is damaged: {}", printable(line));
    return std::strtoull(words[2].c_str(), nullptr, 10);
  }

  template <typename Take>
  void content(uint64_t size, Take take) {
    while (size > 0) {
      if (start_ == end_ && !fill()) fail(ExitCode::outside, "git stopped in an object");
      const size_t part = static_cast<size_t>(std::min<uint64_t>(size, end_ - start_));
      take(buffer_.data() + start_, part);
      start_ += part;
      size -= part;
    }
    if (start_ == end_ && !fill()) fail(ExitCode::outside, "git stopped after an object");
    ++start_;  // the newline that follows each object
  }

 private:
  bool fill() {
    start_ = 0;
    end_ = read_some(from_.get(), buffer_.data(), buffer_.size());
    return end_ > 0;
  }

  Fd from_;
  std::array<char, 65536> buffer_;
  size_t start_ = 0, end_ = 0;
};

struct ArchiveDeleter {
  void operator()(archive* writer) const { archive_write_free(writer); }
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

}  // namespace

std::vector<GitEntry> list_tree(const GitProgram& git, const std::string& commit) {
  Pipe out = Pipe::create();
  const Fd quiet = open_file("/dev/null", O_WRONLY);
  Child child =
      git.start({"ls-tree", "-r", "-z", "--full-tree", commit}, -1, out.write.get(), quiet.get());
  out.write.reset();
  std::vector<GitEntry> entries;
  std::string pending;
  char buffer[65536];
  while (const size_t count = read_some(out.read.get(), buffer, sizeof buffer)) {
    pending.append(buffer, count);
    size_t start = 0;
    for (size_t end; (end = pending.find('\0', start)) != std::string::npos; start = end + 1) {
      entries.push_back(parse_entry(std::string_view(pending).substr(start, end - start)));
      if (entries.size() > entries_max)
        fail(ExitCode::outside, "the repository holds more than {} files", entries_max);
    }
    pending.erase(0, start);
    if (pending.size() > 64 << 10) fail(ExitCode::outside, "the repository holds an endless path");
  }
  if (!child.wait().ok())
    fail(ExitCode::outside, "the repository is damaged: no tree of {}", commit);
  check_shape(entries);
  return entries;
}

struct GitTar::State {
  std::unique_ptr<archive, ArchiveDeleter> writer;
  int64_t mtime = 0;
  uint64_t bytes = 0;
  size_t entries = 0;
  std::unordered_set<std::string> folders;

  void check(la_ssize_t result) const {
    if (result < ARCHIVE_OK)
      fail(ExitCode::machine, "write the tree of a repository: {}",
           archive_error_string(writer.get()));
  }
};

GitTar::GitTar(int output, int64_t mtime) : state_(std::make_unique<State>()) {
  state_->writer.reset(archive_write_new());
  state_->mtime = mtime;
  archive* writer = state_->writer.get();
  // GNU: names are bytes there, of any length and without an opinion about their encoding.
  state_->check(archive_write_set_format_gnutar(writer));
  state_->check(archive_write_add_filter_none(writer));
  state_->check(archive_write_set_bytes_in_last_block(writer, 1));
  state_->check(archive_write_open_fd(writer, output));
}

GitTar::~GitTar() = default;

void GitTar::header(const std::string& path, GitEntry::Kind kind, uint64_t size,
                    const std::string& link) {
  if (++state_->entries > entries_max)
    fail(ExitCode::outside, "the repository holds more than {} files", entries_max);
  state_->bytes += size;
  if (state_->bytes > bytes_max)
    fail(ExitCode::outside, "the repository's files are larger than {}", format_size(bytes_max));
  const std::unique_ptr<archive_entry, ArchiveDeleter> entry(archive_entry_new());
  archive_entry_set_pathname(entry.get(), path.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
  archive_entry_set_mtime(entry.get(), state_->mtime, 0);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), kind == GitEntry::Kind::executable ? 0755 : 0644);
  if (kind == GitEntry::Kind::symlink) {
    archive_entry_set_filetype(entry.get(), AE_IFLNK);
    archive_entry_set_perm(entry.get(), 0777);
    archive_entry_set_symlink(entry.get(), link.c_str());
  } else if (ends_with(path, "/")) {
    archive_entry_set_filetype(entry.get(), AE_IFDIR);
    archive_entry_set_perm(entry.get(), 0755);
  }
  state_->check(archive_write_header(state_->writer.get(), entry.get()));
}

void GitTar::data(const char* bytes, size_t size) {
  state_->check(archive_write_data(state_->writer.get(), bytes, size));
}

void GitTar::add_folder(const std::string& path) {
  if (path.empty() || !state_->folders.insert(path).second) return;
  add_parents(path);
  header(path + "/", GitEntry::Kind::file, 0, {});
}

void GitTar::add_parents(const std::string& path) {
  if (const size_t slash = path.rfind('/'); slash != std::string::npos)
    add_folder(path.substr(0, slash));
}

void GitTar::add_blobs(const GitProgram& git, const std::vector<GitEntry>& entries,
                       const std::string& keep, const std::string& prefix,
                       const std::string& scratch) {
  std::vector<const GitEntry*> wanted;
  std::string objects;
  for (const GitEntry& entry : entries) {
    if (entry.kind == GitEntry::Kind::submodule || !starts_with(entry.path, keep)) continue;
    wanted.push_back(&entry);
    objects += entry.object + "\n";
  }
  if (wanted.empty()) return;
  // The questions come from a file: written into a pipe they would block against the answers.
  const AtomicFile questions(fs::path(scratch) / "objects");
  write_all(questions.fd(), objects);
  if (lseek(questions.fd(), 0, SEEK_SET) != 0) fail_errno("rewind a list of objects");
  Pipe out = Pipe::create();
  const Fd quiet = open_file("/dev/null", O_WRONLY);
  Child child =
      git.start({"cat-file", "--batch", "--buffer"}, questions.fd(), out.write.get(), quiet.get());
  out.write.reset();
  const auto reader = std::make_unique<BlobReader>(std::move(out.read));
  for (const GitEntry* entry : wanted) {
    const std::string path = prefix + entry->path.substr(keep.size());
    const uint64_t size = reader->next(entry->object);
    add_parents(path);
    if (entry->kind != GitEntry::Kind::symlink) {
      header(path, entry->kind, size, {});
      reader->content(size, [&](const char* bytes, size_t count) { data(bytes, count); });
      continue;
    }
    if (size > link_max)
      fail(ExitCode::outside, "the repository's link '{}' is too long", printable(entry->path));
    std::string target;
    reader->content(size, [&](const char* bytes, size_t count) { target.append(bytes, count); });
    if (target.empty() || target.find('\0') != std::string::npos)
      fail(ExitCode::outside, "the repository's link '{}' points nowhere", printable(entry->path));
    header(path, entry->kind, 0, target);
  }
  (void)child.wait();
}

void GitTar::add_local(int dir, const std::string& path) {
  add_folder(path);
  for (const std::string& name : list_directory(dir)) {
    const std::string below = path + "/" + name;
    const auto info = stat_at(dir, name);
    if (info && S_ISDIR(info->st_mode)) {
      const Fd child = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      add_local(child.get(), below);
    } else if (info && S_ISREG(info->st_mode)) {
      const Fd file = open_at(dir, name, O_RDONLY | O_NOFOLLOW);
      uint64_t left = static_cast<uint64_t>(info->st_size);
      header(below, GitEntry::Kind::file, left, {});
      char buffer[65536];
      while (left > 0) {
        const size_t count = read_some(
            file.get(), buffer, static_cast<size_t>(std::min<uint64_t>(left, sizeof buffer)));
        if (count == 0) fail(ExitCode::machine, "{} became shorter", printable(below));
        data(buffer, count);
        left -= count;
      }
    }
  }
}

void GitTar::finish() {
  state_->check(archive_write_close(state_->writer.get()));
}

}  // namespace slipway::netfetch
