#include "image/cache_document.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "oci/reference.h"

namespace slipway::image {
namespace {

constexpr const char* version_field = "slipway.cache";
constexpr int version = 1;
constexpr size_t chains_max = 200'000, results_max = 200'000, depth_max = 2000, scope_max = 128,
                 folders_max = 10'000, name_max = 4096;

// The digest that engine::add_caches() makes.
bool is_mount_name(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

[[noreturn]] void refuse(const std::string& what) {
  fail(ExitCode::outside, "the cache's config is damaged: {}", what);
}

int64_t number(const Json& value, const char* what) {
  if (!value.is_number_integer()) refuse(fmt::format("{} is no number", what));
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)
    refuse(fmt::format("{} is too large", what));
  return value.get<int64_t>();
}

std::string text(const Json& object, const char* name, size_t size_max) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) refuse(fmt::format("'{}' is missing", name));
  std::string value = found->get<std::string>();
  if (value.size() > size_max) refuse(fmt::format("'{}' is too long", name));
  return value;
}

const Json& list(const Json& object, const char* name, size_t count_max) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array()) refuse(fmt::format("'{}' is missing", name));
  if (found->size() > count_max) refuse(fmt::format("'{}' has too many entries", name));
  return *found;
}

Digest key_of(const Json& object, const char* name) {
  const std::string hex = text(object, name, 64);
  if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    refuse(fmt::format("'{}' is no key", name));
  const Digest key = Digest::from_hex(hex);
  if (!key) refuse(fmt::format("'{}' is no key", name));
  return key;
}

void read_chains(const Json& rows, CacheDocument& document) {
  std::vector<size_t> depths;
  for (const Json& row : rows) {
    if (!row.is_array() || row.size() != 2) refuse("a chain is no pair");
    const int64_t layer = number(row[0], "a layer"), below = number(row[1], "a chain");
    if (layer < 0 || layer >= static_cast<int64_t>(document.layers.size()))
      refuse("a chain names a layer that is not there");
    if (below < -1 || below >= static_cast<int64_t>(document.chains.size()))
      refuse("a chain names one that does not stand before it");
    depths.push_back(below < 0 ? 1 : depths[static_cast<size_t>(below)] + 1);
    if (depths.back() > depth_max) refuse("a chain is too long");
    document.chains.push_back({static_cast<size_t>(layer), below});
  }
}

void read_folders(const Json& json, CacheDocument& document) {
  if (!json.contains("folders")) return;
  for (const Json& row : list(json, "folders", folders_max)) {
    if (!row.is_object()) refuse("a folder is no object");
    CacheDocument::Folder folder;
    const std::string kind = text(row, "kind", scope_max);
    if (kind != "app" && kind != "mount") refuse("a folder is of an unknown kind");
    folder.kind =
        kind == "app" ? CacheDocument::Folder::Kind::app : CacheDocument::Folder::Kind::mount;
    folder.name = text(row, "name", name_max);
    folder.id = text(row, "id", name_max);
    // It becomes the name of a directory.
    if (kind == "mount" && !is_mount_name(folder.name)) refuse("a cache mount's name is no digest");
    if (folder.name.empty()) refuse("a folder has no name");
    const auto chain = row.find("chain");
    if (chain == row.end()) refuse("a folder has no chain");
    folder.chain = number(*chain, "'chain'");
    if (folder.chain < 0 || folder.chain >= static_cast<int64_t>(document.chains.size()))
      refuse("a folder names a chain that is not there");
    document.folders.push_back(std::move(folder));
  }
}

}  // namespace

std::vector<size_t> CacheDocument::layers_of(int64_t chain) const {
  std::vector<size_t> found;
  for (int64_t at = chain; at >= 0; at = chains.at(static_cast<size_t>(at)).below)
    found.push_back(chains.at(static_cast<size_t>(at)).layer);
  std::reverse(found.begin(), found.end());
  return found;
}

CacheDocument parse_cache_document(std::string_view bytes, size_t layers) {
  if (bytes.size() > cache_document_bytes_max) refuse("it is too long");
  const Json json = parse_json(bytes, "the cache's config", static_cast<int>(ExitCode::outside));
  if (!json.is_object()) refuse("it is no object");
  const auto said = json.find(version_field);
  if (said == json.end()) fail(ExitCode::outside, "it is no cache of Slipway's");
  if (number(*said, "its version") != version)
    fail(ExitCode::outside, "the cache has the unknown version {}", said->dump());
  CacheDocument document;
  document.scope = text(json, "scope", scope_max);
  document.ids = text(json, "ids", scope_max);
  for (const Json& row : list(json, "layers", cache_layers_max)) {
    if (!row.is_string() || !oci::is_digest(row.get_ref<const std::string&>()))
      refuse("a layer is no digest");
    document.layers.push_back(row.get<std::string>());
  }
  if (document.layers.size() != layers)
    refuse(
        fmt::format("it tells of {} layers, the manifest of {}", document.layers.size(), layers));
  read_chains(list(json, "chains", chains_max), document);
  for (const Json& row : list(json, "results", results_max)) {
    if (!row.is_object()) refuse("a result is no object");
    CacheDocument::Result result;
    result.key = key_of(row, "key");
    result.first = row.contains("first") ? key_of(row, "first") : result.key;
    if (row.contains("created")) result.created = number(row["created"], "'created'");
    if (row.contains("chain")) {
      result.chain = number(row["chain"], "'chain'");
      if (*result.chain < -1 || *result.chain >= static_cast<int64_t>(document.chains.size()))
        refuse("a result names a chain that is not there");
    }
    if (row.contains("facts")) {
      if (!row["facts"].is_object()) refuse("'facts' is no object");
      result.facts = row["facts"];
    }
    document.results.push_back(result);
  }
  read_folders(json, document);
  return document;
}

std::string serialize_cache_document(const CacheDocument& document) {
  Json chains = Json::array(), results = Json::array();
  for (const CacheDocument::Chain& chain : document.chains)
    chains.push_back(Json::array({chain.layer, chain.below}));
  for (const CacheDocument::Result& result : document.results) {
    Json row = {{"key", result.key.hex()}};
    if (result.first != result.key) row["first"] = result.first.hex();
    if (result.created != 0) row["created"] = result.created;
    if (result.chain) row["chain"] = *result.chain;
    if (result.facts.is_object()) row["facts"] = result.facts;
    results.push_back(std::move(row));
  }
  Json folders = Json::array();
  for (const CacheDocument::Folder& folder : document.folders)
    folders.push_back({{"kind", folder.kind == CacheDocument::Folder::Kind::app ? "app" : "mount"},
                       {"name", folder.name},
                       {"id", folder.id},
                       {"chain", folder.chain}});
  return dump_json({{version_field, version},
                    {"scope", document.scope},
                    {"ids", document.ids},
                    {"layers", document.layers},
                    {"chains", chains},
                    {"results", results},
                    {"folders", folders}});
}

}  // namespace slipway::image
