#include <cstdio>

#include "archive/extract.h"
#include "base/files.h"
#include "base/text.h"
#include "cli/command.h"

namespace slipway::cli {
namespace {

struct Known {
  std::optional<slug::Manifest> manifest;
  std::optional<slug::WriterOf> writers;
};

// What the store remembers of a slug it built: found by the file's checksum.
Known known_about(cache::Store& store, int slug) {
  Sha256 hasher;
  std::vector<char> buffer(1 << 17);
  while (const size_t count = read_some(slug, buffer.data(), buffer.size()))
    hasher.update(buffer.data(), count);
  if (lseek(slug, 0, SEEK_SET) != 0) fail_errno("seek");
  Known known;
  const auto value = store.find_value("slug", hasher.finish_hex());
  if (!value) return known;
  known.manifest = slug::Manifest::from_json(*value);
  slug::WriterOf writers;
  std::map<std::string, int> numbers;
  for (size_t i = 0; i < known.manifest->buildpacks.size(); ++i)
    numbers[known.manifest->buildpacks[i].name] = static_cast<int>(i);
  for (const auto& [path, pack] : value->value("writers", std::map<std::string, std::string>{}))
    if (const auto found = numbers.find(pack); found != numbers.end())
      writers[path] = found->second;
  known.writers = std::move(writers);
  return known;
}

void print_rows(const char* title, const std::vector<slug::Inspection::Row>& rows) {
  if (rows.empty()) return;
  fmt::print("\n{}\n", title);
  size_t shown = 0;
  for (const auto& row : rows) {
    if (++shown > 10) break;
    fmt::print("  {:>8} {:>8}  {}{}\n", format_size(row.compressed_bytes),
               format_size(row.raw_bytes), printable(row.name),
               row.files > 1 ? fmt::format(" ({} files)", row.files) : "");
  }
}

slug::Inspection inspect_file(Environment& environment, const std::string& file, Known& known) {
  const Fd slug = open_file(file, O_RDONLY);
  known = known_about(environment.store(), slug.get());
  try {
    return slug::inspect_slug(slug.get(), known.manifest ? &*known.manifest : nullptr,
                              known.writers ? &*known.writers : nullptr);
  } catch (Error& error) {
    throw error.add_context(file);
  }
}

int inspect(Environment& environment, const std::string& file, bool json) {
  Known known;
  const slug::Inspection found = inspect_file(environment, file, known);
  if (json) {
    Json value = found.to_json();
    if (known.manifest) value["manifest"] = known.manifest->to_json();
    fmt::print("{}\n", dump_json(value, 2));
    return 0;
  }
  fmt::print("{}: {} compressed, {} raw, {} files\n", file, format_size(found.compressed_bytes),
             format_size(found.raw_bytes), found.files);
  if (known.manifest)
    fmt::print("app {}, stack {}, {}\n", known.manifest->app, known.manifest->stack,
               known.manifest->checksum);
  for (const auto& [type, command] : found.process_types)
    fmt::print("  {}: {}\n", type, printable(command));
  fmt::print("\n  {:>8} {:>8}\n", "packed", "raw");
  print_rows("by buildpack", found.buildpacks);
  print_rows("by folder", found.folders);
  print_rows("by package", found.packages);
  print_rows("largest files", found.largest);
  print_rows("the same content more than once", found.duplicates);
  return 0;
}

// Two slugs side by side: what grew, by folder and package.
int diff(Environment& environment, const std::string& before, const std::string& after) {
  Known known;
  const slug::Inspection a = inspect_file(environment, before, known);
  const slug::Inspection b = inspect_file(environment, after, known);
  const auto change = [](uint64_t old_size, uint64_t new_size) {
    const uint64_t by = old_size > new_size ? old_size - new_size : new_size - old_size;
    return (new_size >= old_size ? "+" : "-") + format_size(by);
  };
  fmt::print("compressed {} -> {} ({}), raw {} -> {} ({})\n", format_size(a.compressed_bytes),
             format_size(b.compressed_bytes), change(a.compressed_bytes, b.compressed_bytes),
             format_size(a.raw_bytes), format_size(b.raw_bytes), change(a.raw_bytes, b.raw_bytes));
  for (const auto& [title, rows_a, rows_b] : {std::tuple{"by folder", &a.folders, &b.folders},
                                              std::tuple{"by package", &a.packages, &b.packages}}) {
    std::map<std::string, std::pair<uint64_t, uint64_t>> sizes;
    for (const auto& row : *rows_a) sizes[row.name].first = row.compressed_bytes;
    for (const auto& row : *rows_b) sizes[row.name].second = row.compressed_bytes;
    std::vector<std::pair<uint64_t, std::string>> lines;
    for (const auto& [name, pair] : sizes) {
      if (pair.first == pair.second) continue;
      const uint64_t by =
          pair.first > pair.second ? pair.first - pair.second : pair.second - pair.first;
      lines.emplace_back(
          by, fmt::format("  {:>9}  {}", change(pair.first, pair.second), printable(name)));
    }
    std::sort(lines.rbegin(), lines.rend());
    if (lines.empty()) continue;
    fmt::print("\n{}\n", title);
    for (size_t i = 0; i < std::min<size_t>(lines.size(), 10); ++i)
      fmt::print("{}\n", lines[i].second);
  }
  return 0;
}

int extract(const std::string& file, const std::string& folder) {
  const Fd slug = open_file(file, O_RDONLY);
  if (fs::exists(folder) && !fs::is_empty(folder))
    fail(ExitCode::usage, "{} exists and is not empty", folder);
  make_directories(folder);
  const Fd target = open_file(folder, O_RDONLY | O_DIRECTORY);
  archive::ExtractOptions options;
  options.keep_owner = false;
  try {
    (void)archive::extract(slug.get(), target.get(), options);
  } catch (Error& error) {
    throw Error(ExitCode::app_files, error.what()).add_context("extracting " + file);
  }
  return 0;
}

}  // namespace

std::function<int()> setup_slug(CLI::App& app, Environment& environment) {
  struct Flags {
    std::string file, other;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  app.require_subcommand(1);
  CLI::App* inspecting = app.add_subcommand("inspect", "show what fills a slug");
  inspecting->add_option("SLUG", flags->file)->required();
  inspecting->add_flag("--json", flags->json, "print JSON");
  CLI::App* diffing = app.add_subcommand("diff", "show what changed between two slugs");
  diffing->add_option("BEFORE", flags->file)->required();
  diffing->add_option("AFTER", flags->other)->required();
  CLI::App* extracting = app.add_subcommand("extract", "unpack a slug into a new folder");
  extracting->add_option("SLUG", flags->file)->required();
  extracting->add_option("FOLDER", flags->other)->required();
  return [=, &environment] {
    if (inspecting->parsed()) return inspect(environment, flags->file, flags->json);
    if (diffing->parsed()) return diff(environment, flags->file, flags->other);
    SLIPWAY_CHECK(extracting->parsed());
    return extract(flags->file, flags->other);
  };
}

}  // namespace slipway::cli
