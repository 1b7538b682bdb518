#include "image/names.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace slipway::image {
namespace {

// Also read by cache/gc.cpp, which keeps "snapshot", "artifacts" and "blobs".
constexpr const char* area = "image";

std::string row_of(const std::string& name, const oci::Platform& platform) {
  return name + " " + platform.to_string();
}

}  // namespace

void name_image(cache::Store& store, const std::string& name, const NamedImage& named) {
  Json layers = Json::array(), artifacts = Json::array(), blobs = Json::array();
  for (const Layer& layer : named.image.layers) {
    const bool chunked = layer.artifact != Digest();
    layers.push_back({{"diff_id", layer.diff_id},
                      {"media_type", layer.blob.media_type},
                      {"digest", layer.blob.digest},
                      {"size", layer.blob.size_bytes},
                      {"raw", layer.raw_bytes},
                      {"artifact", chunked ? layer.artifact.hex() : ""}});
    if (chunked)
      artifacts.push_back(layer.artifact.hex());
    else
      blobs.push_back(layer.blob.digest.substr(7));
  }
  store.put_value(area, row_of(name, named.image.config.platform),
                  {{"id", named.image_id},
                   {"config", oci::serialize_image_config(named.image.config)},
                   {"layers", layers},
                   {"artifacts", artifacts},
                   {"blobs", blobs},
                   {"snapshot", named.snapshot},
                   {"owners", named.owners}});
}

std::optional<NamedImage> find_named(const cache::Store& store, const std::string& name,
                                     const oci::Platform& platform) {
  const auto value = store.find_value(area, row_of(name, platform));
  if (!value) return std::nullopt;
  try {
    NamedImage named;
    named.image_id = value->at("id").get<std::string>();
    named.snapshot = value->at("snapshot").get<cache::SnapshotId>();
    named.owners = value->value("owners", std::string());
    if (named.snapshot != 0 && !store.find_snapshot(named.snapshot)) return std::nullopt;
    named.image.config = oci::parse_image_config(value->at("config").get<std::string>());
    for (const Json& row : value->at("layers")) {
      Layer layer;
      layer.diff_id = row.at("diff_id").get<std::string>();
      layer.blob.media_type = row.at("media_type").get<std::string>();
      layer.blob.digest = row.at("digest").get<std::string>();
      layer.blob.size_bytes = row.at("size").get<uint64_t>();
      layer.raw_bytes = row.at("raw").get<uint64_t>();
      const std::string artifact = row.at("artifact").get<std::string>();
      if (!artifact.empty()) layer.artifact = Digest::from_hex(artifact);
      named.image.layers.push_back(std::move(layer));
    }
    return named;
  } catch (const Json::exception& problem) {
    fail(ExitCode::machine, "the store's record of the image {} is damaged: {}", name,
         problem.what());
  }
}

std::vector<NameRow> list_names(const cache::Store& store) {
  std::vector<NameRow> rows;
  for (const auto& [row, value] : store.list_values(area)) {
    const size_t space = row.find(' ');
    if (space == std::string::npos) continue;
    try {
      NameRow listed;
      listed.name = row.substr(0, space);
      listed.platform = row.substr(space + 1);
      listed.image_id = value.at("id").get<std::string>();
      for (const Json& layer : value.at("layers"))
        listed.size_bytes += layer.at("size").get<uint64_t>();
      listed.created = oci::parse_image_config(value.at("config").get<std::string>()).created;
      rows.push_back(std::move(listed));
    } catch (const std::exception&) {
      continue;
    }
  }
  std::sort(rows.begin(), rows.end(), [](const NameRow& a, const NameRow& b) {
    return std::tie(a.name, a.platform) < std::tie(b.name, b.platform);
  });
  return rows;
}

bool forget_name(cache::Store& store, const std::string& name) {
  bool found = false;
  for (const auto& [row, value] : store.list_values(area)) {
    if (row.substr(0, row.find(' ')) != name) continue;
    store.remove_value(area, row);
    found = true;
  }
  return found;
}

}  // namespace slipway::image
