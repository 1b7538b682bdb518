#include "slug/packages.h"

#include <cctype>
#include <set>

#include "base/error.h"
#include "base/text.h"

namespace slipway::slug {
namespace {

constexpr uint64_t small_content_bytes = 256 << 10;
constexpr uint64_t record_content_bytes = 4 << 20;

std::vector<std::string_view> parts_of(std::string_view path) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::string join_parts(const std::vector<std::string_view>& parts, size_t from, size_t to) {
  std::string path;
  for (size_t i = from; i < to; ++i) {
    if (!path.empty()) path += '/';
    path += parts[i];
  }
  return path;
}

bool is_site(std::string_view part) {
  return part == "site-packages" || part == "dist-packages";
}

// "rails-7.0.1" → {"rails", "7.0.1"}; the version is the first part after a '-' that starts with a
// digit ("foo-bar-1.2.3-x86_64-linux").
bool split_version(std::string_view text, std::string& name, std::string& version) {
  for (size_t at = text.find('-'); at != std::string_view::npos; at = text.find('-', at + 1)) {
    if (at == 0 || at + 1 >= text.size()) continue;
    if (std::isdigit(static_cast<unsigned char>(text[at + 1])) == 0) continue;
    name = text.substr(0, at);
    version = text.substr(at + 1);
    return true;
  }
  return false;
}

// "requests-2.31.0.dist-info" → "requests 2.31.0"; empty = no such folder.
std::string distribution(std::string_view folder) {
  for (const std::string_view suffix : {".dist-info", ".egg-info"}) {
    if (!ends_with(folder, suffix)) continue;
    const std::string_view stem = folder.substr(0, folder.size() - suffix.size());
    std::string name, version;
    if (!split_version(stem, name, version)) return std::string(stem);
    // "x-1.0-py3.11.egg-info"
    const size_t python = version.find("-py");
    return name + ' ' + version.substr(0, python);
  }
  return {};
}

// What package.json says about itself; a broken one says nothing.
std::string npm_version(std::string_view content) {
  try {
    const Json value = parse_json(content, "package.json");
    if (value.is_object() && value.contains("version") && value["version"].is_string())
      return value["version"].get<std::string>();
  } catch (const Error&) {
    // It is somebody else's file and only decorates a table.
  }
  return {};
}

// hex_metadata.config: {<<"version">>,<<"1.7.0">>}.
std::string hex_version(std::string_view content) {
  constexpr std::string_view before = "{<<\"version\">>,<<\"";
  const size_t at = content.find(before);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = content.substr(at + before.size());
  return std::string(rest.substr(0, rest.find('"')));
}

}  // namespace

struct PackageFinder::Place {
  std::string kind, name, version;
  size_t depth = 0;  ///< parts that make the package's folder
};

// The innermost package a path lies in.
bool PackageFinder::find_place(const std::vector<std::string_view>& parts, Place& place) {
  bool found = false;
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    const std::string_view next = parts[i + 1];
    std::string name, version;
    if (parts[i] == "node_modules" && !next.empty() && next[0] != '.') {
      const bool scoped = next[0] == '@';
      if (scoped && i + 3 >= parts.size()) continue;
      place = {"npm",
               scoped ? join_parts(parts, i + 1, i + 3) : std::string(next),
               {},
               i + (scoped ? 3 : 2)};
      found = true;
    } else if (parts[i] == "gems" && split_version(next, name, version)) {
      place = {"gem", name, version, i + 2};
      found = true;
    } else if (parts[i] == "gems" && i > 0 && parts[i - 1] == "bundler") {
      // A gem from git: name-revision.
      const size_t dash = next.rfind('-');
      if (dash == std::string_view::npos) continue;
      place = {"gem", std::string(next.substr(0, dash)), std::string(next.substr(dash + 1)), i + 2};
      found = true;
    } else if (parts[i] == "extensions" && i + 4 < parts.size() &&
               split_version(parts[i + 3], name, version)) {
      place = {"gem", name, version, i + 4};  // extensions/x86_64-linux/3.2.0/nokogiri-1.15.4
      found = true;
    } else if (i == 0 && parts[0] == "deps") {
      place = {"hex", std::string(next), {}, 2};
      found = true;
    } else if (i == 0 && parts[0] == "_build" && parts.size() > 4 && parts[2] == "lib") {
      place = {"beam", std::string(parts[3]), {}, 4};
      found = true;
    }
  }
  return found;
}

uint64_t PackageFinder::wanted_content(std::string_view path) {
  const size_t name_at = path.rfind('/') + 1;
  const std::string_view name = path.substr(name_at);
  if (name == "package.json") return small_content_bytes;
  if (name == "hex_metadata.config" && starts_with(path, "deps/")) return small_content_bytes;
  if (name == "RECORD" && ends_with(path.substr(0, name_at), ".dist-info/"))
    return record_content_bytes;
  return 0;
}

void PackageFinder::add(const std::string& path, uint64_t raw_bytes, uint64_t compressed_bytes,
                        std::string_view content) {
  const std::vector<std::string_view> parts = parts_of(path);
  Place place;
  const bool found = find_place(parts, place);
  size_t site = parts.size();
  for (size_t i = 0; i + 1 < parts.size(); ++i)
    if (is_site(parts[i])) site = i;
  if (site < parts.size() && (!found || site >= place.depth)) {
    Site& where = sites_[join_parts(parts, 0, site + 1)];
    where.files.push_back({join_parts(parts, site + 1, parts.size()), raw_bytes, compressed_bytes});
    const std::string owner = distribution(parts[site + 1]);
    if (owner.empty()) return;
    where.owner_of_top.emplace(parts[site + 1], owner);
    if (parts.back() == "RECORD" && parts.size() == site + 3) read_record(where, owner, content);
    return;
  }
  if (!found) return;
  Package& package = packages_[join_parts(parts, 0, place.depth)];
  if (package.kind.empty()) {
    package.kind = place.kind;
    package.name = place.name;
    package.version = place.version;
  }
  package.raw_bytes += raw_bytes;
  package.compressed_bytes += compressed_bytes;
  ++package.files;
  const bool at_top = parts.size() == place.depth + 1;
  if (at_top && place.kind == "npm" && parts.back() == "package.json")
    package.version = npm_version(content);
  if (at_top && place.kind == "hex" && parts.back() == "hex_metadata.config")
    package.version = hex_version(content);
}

// CSV lines "path,hash,size"; a path with a comma is quoted.
void PackageFinder::read_record(Site& site, const std::string& owner, std::string_view record) {
  for (size_t at = 0; at < record.size();) {
    const size_t end = std::min(record.find('\n', at), record.size());
    std::string_view line = record.substr(at, end - at);
    at = end + 1;
    const bool quoted = starts_with(line, "\"");
    if (quoted) line.remove_prefix(1);
    const std::string path(line.substr(0, line.find(quoted ? '"' : ',')));
    if (path.empty() || starts_with(path, "../")) continue;
    const size_t slash = path.find('/');
    if (slash != std::string::npos) site.owner_of_top.emplace(path.substr(0, slash), owner);
    site.owner_of_file.emplace(path, owner);
  }
}

std::string PackageFinder::python_owner(const Site& site, const std::string& path) {
  const auto file = site.owner_of_file.find(path);
  if (file != site.owner_of_file.end()) return file->second;
  const std::string top = path.substr(0, path.find('/'));
  const auto folder = site.owner_of_top.find(top);
  if (folder != site.owner_of_top.end() && top != "__pycache__") return folder->second;
  return {};
}

std::vector<Inspection::Row> PackageFinder::rows() const {
  std::map<std::string, std::string> hex_versions;
  for (const auto& [folder, package] : packages_)
    if (package.kind == "hex") hex_versions[package.name] = package.version;

  std::map<std::string, Inspection::Row> rows;
  const auto count = [&](const std::string& name, uint64_t raw, uint64_t compressed,
                         uint64_t files) {
    Inspection::Row& row = rows[name];
    row.name = name;
    row.raw_bytes += raw;
    row.compressed_bytes += compressed;
    row.files += files;
  };
  for (const auto& [folder, package] : packages_) {
    std::string kind = package.kind;
    std::string version = package.version;
    if (kind == "beam") {
      // What mix compiled: a dependency, else the app itself.
      const auto dependency = hex_versions.find(package.name);
      if (dependency == hex_versions.end()) continue;
      kind = "hex";
      version = dependency->second;
    }
    std::string name = kind + ' ' + package.name;
    if (!version.empty()) name += ' ' + version;
    count(name, package.raw_bytes, package.compressed_bytes, package.files);
  }
  for (const auto& [folder, site] : sites_)
    for (const PythonFile& file : site.files) {
      const std::string owner = python_owner(site, file.path);
      if (!owner.empty()) count("wheel " + owner, file.raw_bytes, file.compressed_bytes, 1);
    }

  std::vector<Inspection::Row> sorted;
  for (auto& [name, row] : rows) sorted.push_back(std::move(row));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Inspection::Row& a, const Inspection::Row& b) {
                     return a.compressed_bytes > b.compressed_bytes;
                   });
  return sorted;
}

}  // namespace slipway::slug
