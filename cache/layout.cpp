#include "cache/layout.h"

#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"

namespace slipway::cache {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view format_line = "slipway-store 1\n";
constexpr size_t key_size = 32;
constexpr const char* directories[] = {"blobs",  "packs", "trees", "snapshots", "caches",
                                       "leases", "locks", "logs",  "stat",      "tmp"};

std::string user_name(uid_t uid) {
  const passwd* entry = getpwuid(uid);
  return entry != nullptr ? fmt::format("'{}' (uid {})", entry->pw_name, uid)
                          : fmt::format("uid {}", uid);
}

[[noreturn]] void fail_unwritable(int error_number, const std::string& doing) {
  try {
    fail_errno_text(error_number, doing);
  } catch (Error& error) {
    throw error.set_hint("set SLIPWAY_HOME to a directory that can be written");
  }
}

void check_owner(const fs::path& root, uid_t owner) {
  if (owner == geteuid()) return;
  throw Error(ExitCode::machine, fmt::format("the store {} belongs to {}, this is {}",
                                             root.string(), user_name(owner), user_name(geteuid())))
      .set_hint("set SLIPWAY_HOME to a directory of your own");
}

void check_format(const fs::path& root, const std::string& format) {
  if (format == format_line) return;
  throw Error(ExitCode::machine,
              fmt::format("unknown store format '{}' in {}",
                          printable(trim(std::string_view(format).substr(0, 80))), root.string()))
      .set_hint("use another SLIPWAY_HOME or remove it");
}

// A killed first start leaves names of ours and no format; anything else is somebody's folder.
void check_only_ours(const Layout& layout) {
  for (const std::string& name : list_directory(layout.fd.get())) {
    const bool ours =
        std::find(std::begin(directories), std::end(directories), name) != std::end(directories) ||
        starts_with(name, "index.") || name == "key" || name == "owner.json" ||
        name == "oci-layout" || name == "gate" || starts_with(name, ".");
    if (!ours)
      throw Error(ExitCode::machine, fmt::format("{} is not empty and holds no store: it has '{}'",
                                                 layout.root.string(), printable(name)))
          .set_hint("set SLIPWAY_HOME to an empty or new directory");
  }
}

std::optional<std::string> read_if_exists(const Layout& layout, const char* name) {
  return read_file_if_exists(layout.root / name, 4096);
}

void load_key(Layout& layout) {
  const auto key = read_if_exists(layout, "key");
  if (key && key->size() == key_size) {
    layout.key = *key;
    return;
  }
  if (!layout.fresh)
    layout.warnings.push_back(
        "the store's key was lost: steps that have secret values are run once more");
  layout.key = random_bytes(key_size);
  write_private_file(layout.root / "key", layout.key);
}

std::string read_id_ranges(const char* path) {
  return read_file_if_exists(path, 1 << 20).value_or("");
}

// Root's store only: the range steps are mapped to must stay the same for the snapshots' owners
// to mean the same.
uint32_t find_id_base(const Layout& layout) {
  if (geteuid() != 0) return 0;
  // The worker gave snapshots/ to the mapped root; that tells the base when owner.json was lost.
  const auto snapshots = stat_at(layout.fd.get(), "snapshots");
  if (snapshots && snapshots->st_uid != 0) return snapshots->st_uid;
  return choose_id_base(read_id_ranges("/etc/subuid"), read_id_ranges("/etc/subgid"));
}

void load_owner(Layout& layout) {
  const fs::path path = layout.root / "owner.json";
  if (const auto text = read_if_exists(layout, "owner.json")) {
    const Json owner = parse_json(*text, path.string(), static_cast<int>(ExitCode::machine));
    if (!owner.is_object() || !owner.contains("uid") || !owner["uid"].is_number_unsigned() ||
        !owner.contains("id_base") || !owner["id_base"].is_number_unsigned())
      throw Error(ExitCode::machine, fmt::format("{} is damaged", path.string()))
          .set_hint("use another SLIPWAY_HOME or remove the store");
    check_owner(layout.root, owner["uid"].get<uid_t>());
    layout.id_base = owner["id_base"].get<uint32_t>();
    return;
  }
  layout.id_base = find_id_base(layout);
  const Json owner = {{"uid", geteuid()}, {"id_base", layout.id_base}};
  write_private_file(path, dump_json(owner) + "\n");
}

void make_contents(const Layout& layout) {
  for (const char* name : directories) make_private_directory(layout.fd.get(), name);
  const Fd blobs = open_at(layout.fd.get(), "blobs", O_RDONLY | O_DIRECTORY);
  make_private_directory(blobs.get(), "sha256");
  // OCI image-layout 1.0: with these two files skopeo and umoci read the store as it is.
  if (!stat_at(layout.fd.get(), "oci-layout"))
    write_private_file(layout.root / "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}\n");
  if (!stat_at(layout.fd.get(), "index.json"))
    write_private_file(layout.root / "index.json", "{\"schemaVersion\":2,\"manifests\":[]}\n");
}

struct IdRange {
  uint64_t start, end;
};

void read_ranges(std::string_view text, std::vector<IdRange>& ranges) {
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() != 3) continue;
    uint64_t numbers[2];
    bool good = true;
    for (int i = 0; i < 2; ++i) {
      const std::string_view field = trim(fields[static_cast<size_t>(i) + 1]);
      const auto [end, error] =
          std::from_chars(field.data(), field.data() + field.size(), numbers[i]);
      good = good && error == std::errc() && end == field.data() + field.size() &&
             numbers[i] <= UINT32_MAX;
    }
    if (good) ranges.push_back({numbers[0], numbers[0] + numbers[1]});
  }
}

}  // namespace

uint32_t choose_id_base(std::string_view subuid, std::string_view subgid) {
  std::vector<IdRange> ranges;
  read_ranges(subuid, ranges);
  read_ranges(subgid, ranges);
  std::sort(ranges.begin(), ranges.end(),
            [](const IdRange& left, const IdRange& right) { return left.start < right.start; });
  uint64_t base = default_id_base;
  for (const IdRange& range : ranges)
    if (range.start < base + id_count && base < range.end)
      base = (range.end + id_count - 1) / id_count * id_count;
  // 2^32 - 1 is "no id" to the kernel.
  if (base + id_count > UINT32_MAX)
    throw Error(ExitCode::machine, "/etc/subuid and /etc/subgid leave no 65536 ids for builds")
        .set_hint("free a range of 65536 ids there");
  return static_cast<uint32_t>(base);
}

void make_private_directory(int parent, const std::string& name) {
  if (mkdirat(parent, name.c_str(), 0700) == 0) {
    if (fchmodat(parent, name.c_str(), 0700, 0) != 0) fail_errno("chmod {}", name);
  } else if (errno != EEXIST) {
    fail_errno("create directory {}", name);
  }
}

void write_private_file(const fs::path& path, std::string_view data) {
  AtomicFile file(path, 0600);
  if (fchmod(file.fd(), 0600) != 0) fail_errno("chmod {}", path.string());
  write_all(file.fd(), data);
  file.commit();
}

Layout open_layout(const fs::path& root) {
  Layout layout;
  layout.root = fs::absolute(root).lexically_normal();
  if (!layout.root.has_filename()) layout.root = layout.root.parent_path();
  try {
    make_directories(layout.root.parent_path());
  } catch (Error& error) {
    throw error.set_hint("set SLIPWAY_HOME to a directory that can be written");
  }
  if (mkdir(layout.root.c_str(), 0700) != 0 && errno != EEXIST)
    fail_unwritable(errno, "create the store " + layout.root.string());
  // Before it is opened: another user's 0700 would only say "Permission denied".
  struct stat info {};
  if (stat(layout.root.c_str(), &info) != 0) fail_errno("open the store {}", layout.root.string());
  check_owner(layout.root, info.st_uid);
  layout.fd = open_file(layout.root.string(), O_RDONLY | O_DIRECTORY);

  auto format = read_if_exists(layout, "format");
  if (!format) {
    // Two first starts at once: one creates, the other finds it done.
    if (flock(layout.fd.get(), LOCK_EX) != 0) fail_errno("lock {}", layout.root.string());
    format = read_if_exists(layout, "format");
    layout.fresh = !format;
  }
  if (format) check_format(layout.root, *format);
  if (layout.fresh) check_only_ours(layout);
  if ((info.st_mode & 07777) != 0700 && fchmod(layout.fd.get(), 0700) != 0)
    fail_errno("make {} private", layout.root.string());
  if (faccessat(layout.fd.get(), ".", W_OK, AT_EACCESS) != 0)
    fail_unwritable(errno, "write to the store " + layout.root.string());
  try {
    make_contents(layout);
    load_key(layout);
    load_owner(layout);
  } catch (Error& error) {
    throw error.add_context(fmt::format("opening the store {}", layout.root.string()));
  }
  return layout;
}

void seal_layout(const Layout& layout) {
  if (layout.fresh) write_private_file(layout.root / "format", format_line);
  // Only the creator holds it; the descriptor stays open.
  (void)flock(layout.fd.get(), LOCK_UN);
}

}  // namespace slipway::cache
