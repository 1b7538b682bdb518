#include "slug/members.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/text.h"

namespace slipway::slug {
namespace {

using archive::EntryType;
using archive::TreeEntry;

constexpr int64_t fixed_time = 315532801;  // 1980-01-01T00:00:01Z
constexpr int64_t second_ns = 1'000'000'000;
constexpr std::string_view app_root = "./app";
constexpr size_t open_batch = 64;

// Folders buildpacks put runtimes and dependencies in; none holds the app's own source.
constexpr std::array<std::string_view, 10> dependency_folders{
    ".heroku", ".platform_tools",  ".apt",  ".bundle", ".jdk", ".local", ".m2",
    "deps",    "bower_components", "vendor"};
// Found at any depth: assets/node_modules, apps/x/assets/node_modules.
constexpr std::string_view nested_folder = "node_modules";

// PEP 552: magic, flags, then (flags 0) the source's time and size.
struct PycHeader {
  uint32_t magic = 0, flags = 0, mtime = 0, size = 0;
};
constexpr size_t pyc_header_bytes = 16;
constexpr uint32_t pyc_magic_end = 0x0a0d0000;  // the upper half is "\r\n"

uint32_t little_endian(const unsigned char* bytes) {
  return static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
         static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24;
}

std::string little_endian_bytes(uint32_t value) {
  std::string bytes(4, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

PycHeader read_pyc_header(int file, const std::string& path) {
  unsigned char bytes[pyc_header_bytes];
  ssize_t count = 0;
  do count = pread(file, bytes, sizeof bytes, 0);
  while (count < 0 && errno == EINTR);
  if (count < 0) fail_errno("read {}", printable(path));
  if (count != static_cast<ssize_t>(sizeof bytes)) return {};
  return {little_endian(bytes), little_endian(bytes + 4), little_endian(bytes + 8),
          little_endian(bytes + 12)};
}

// "a/__pycache__/b.cpython-312.opt-1.pyc" → "a/b.py" (PEP 3147, PEP 488); empty = not of that form.
std::string source_of_pyc(std::string_view path) {
  constexpr std::string_view folder = "__pycache__/";
  constexpr std::string_view suffix = ".pyc";
  if (!ends_with(path, suffix)) return {};
  const size_t name_at = path.rfind('/') + 1;  // npos + 1 = 0
  const std::string_view parents = path.substr(0, name_at);
  if (!ends_with(parents, folder)) return {};
  const std::string_view above = parents.substr(0, parents.size() - folder.size());
  if (!above.empty() && above.back() != '/') return {};
  std::string_view name = path.substr(name_at, path.size() - name_at - suffix.size());
  const size_t last = name.rfind('.');
  if (last == std::string_view::npos) return {};
  if (starts_with(name.substr(last), ".opt-")) name = name.substr(0, last);
  const size_t tag = name.rfind('.');
  if (tag == std::string_view::npos || tag == 0) return {};
  return std::string(above) + std::string(name.substr(0, tag)) + ".py";
}

int64_t floor_seconds(int64_t time_ns) {
  return time_ns / second_ns - (time_ns % second_ns < 0 ? 1 : 0);
}

}  // namespace

uint32_t mode_in_slug(const archive::TreeEntry& entry) {
  return entry.type == EntryType::symlink ? 0777 : entry.mode & 01777;
}

bool is_dependency(std::string_view whole) {
  const std::string_view top = whole.substr(0, whole.find('/'));
  if (std::find(dependency_folders.begin(), dependency_folders.end(), top) !=
      dependency_folders.end())
    return true;
  for (size_t at = 0; at <= whole.size();) {
    const size_t end = std::min(whole.find('/', at), whole.size());
    if (whole.substr(at, end - at) == nested_folder) return true;
    at = end + 1;
  }
  return false;
}

int64_t mtime_in_slug(const std::string& path, int64_t source_time) {
  if (is_dependency(path)) return fixed_time;
  return source_time > 0 ? source_time : fixed_time;
}

std::vector<PycCandidate> find_pyc_candidates(const archive::Tree& tree, int64_t source_time) {
  std::vector<PycCandidate> candidates;
  for (size_t i = 0; i < tree.entries.size(); ++i) {
    const TreeEntry& entry = tree.entries[i];
    if (entry.type != EntryType::file || entry.size < pyc_header_bytes) continue;
    const std::string source_path = source_of_pyc(entry.path);
    if (source_path.empty()) continue;
    const TreeEntry* source = tree.find(source_path);
    if (source == nullptr || source->type != EntryType::file) continue;
    PycCandidate candidate;
    candidate.entry = i;
    candidate.source_mtime = static_cast<uint32_t>(floor_seconds(source->mtime_ns));
    candidate.source_size = static_cast<uint32_t>(source->size);
    candidate.slug_mtime = static_cast<uint32_t>(mtime_in_slug(source_path, source_time));
    candidates.push_back(candidate);
  }
  return candidates;
}

archive::TarSource make_members(const SlugInput& input,
                                const std::vector<PycCandidate>& candidates) {
  const archive::Tree& tree = *input.tree;
  archive::TarSource source;
  source.open = input.open;
  source.members.reserve(tree.entries.size() + 1);
  source.open_paths.reserve(tree.entries.size() + 1);
  TreeEntry root;
  root.path = app_root;
  root.type = EntryType::directory;
  root.mode = 0755;
  root.mtime_ns = mtime_in_slug("", input.source_time) * second_ns;
  source.members.push_back(std::move(root));
  source.open_paths.emplace_back();
  for (const TreeEntry& entry : tree.entries) {
    TreeEntry member = entry;
    member.path = fmt::format("{}/{}", app_root, entry.path);
    member.mode = mode_in_slug(entry);
    member.uid = member.gid = 0;
    member.hard_link_group = 0;  // SLUG-2: every name is a full copy
    member.mtime_ns = mtime_in_slug(entry.path, input.source_time) * second_ns;
    source.members.push_back(std::move(member));
    source.open_paths.push_back(entry.path);
  }
  // The root comes first.
  for (const PycPatch& patch : find_pyc_patches(tree, input.open, candidates))
    source.patches.push_back(
        {.member = patch.entry + 1, .offset = pyc_mtime_offset, .bytes = patch.bytes});
  return source;
}

std::vector<PycPatch> find_pyc_patches(const archive::Tree& tree, const archive::OpenFiles& open,
                                       const std::vector<PycCandidate>& candidates) {
  std::vector<PycPatch> patches;
  for (size_t i = 0; i < candidates.size(); i += open_batch) {
    const size_t count = std::min(open_batch, candidates.size() - i);
    std::vector<std::string> paths;
    for (size_t j = i; j < i + count; ++j) paths.push_back(tree.entries[candidates[j].entry].path);
    const std::vector<Fd> files = open(paths);
    SLIPWAY_CHECK(files.size() == count);
    for (size_t j = 0; j < count; ++j) {
      const PycCandidate& candidate = candidates[i + j];
      const PycHeader header = read_pyc_header(files[j].get(), paths[j]);
      const bool matches = (header.magic & 0xffff0000U) == pyc_magic_end && header.flags == 0 &&
                           header.mtime == candidate.source_mtime &&
                           header.size == candidate.source_size;
      if (!matches || header.mtime == candidate.slug_mtime) continue;
      patches.push_back({candidate.entry, little_endian_bytes(candidate.slug_mtime)});
    }
  }
  return patches;
}

Digest slug_key(const SlugInput& input, const std::vector<PycCandidate>& candidates) {
  std::string text;
  const auto number = [&](uint64_t value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto bytes = [&](std::string_view value) {
    number(value.size());
    text.append(value);
  };
  for (const TreeEntry& entry : input.tree->entries) {
    bytes(entry.path);
    number(static_cast<uint64_t>(entry.type));
    number(entry.mode);
    number(entry.size);
    bytes(entry.link);
    text.append(reinterpret_cast<const char*>(entry.digest.bytes.data()),
                entry.digest.bytes.size());
  }
  // Times as found count only where they decide whether a .pyc is patched.
  for (const PycCandidate& candidate : candidates) {
    number(candidate.entry);
    number(uint64_t{candidate.source_mtime} << 32 | candidate.source_size);
  }
  return KeyBuilder("slug 1")
      .add("compressor", archive::compressor_name())
      .add("time", static_cast<uint64_t>(input.source_time))
      .add("tree", hash_bytes(text))
      .finish();
}

}  // namespace slipway::slug
