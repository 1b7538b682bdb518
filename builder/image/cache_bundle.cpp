#include "image/cache_bundle.h"

#include <map>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "image/import_layers.h"

namespace slipway::image {
namespace {

Document document_of(const char* type, std::string bytes) {
  Document document;
  document.descriptor.media_type = type;
  document.descriptor.digest = "sha256:" + sha256_hex(bytes);
  document.descriptor.size_bytes = bytes.size();
  document.bytes = std::move(bytes);
  return document;
}

/// Snapshots as layers, each once, what lies below first.
class Layers {
 public:
  Layers(cache::Store& store, archive::Codec codec) : store_(store), codec_(codec) {}

  /// Whether there is room in a manifest.
  bool add(cache::SnapshotId top) {
    const std::vector<cache::SnapshotId> stack = store_.chain(top);
    size_t fresh = 0;
    for (const cache::SnapshotId id : stack) fresh += places_.contains(id) ? 0 : 1;
    if (places_.size() + fresh > cache_layers_max) return false;
    for (size_t i = stack.size(); i-- > 0;) {
      if (!places_.try_emplace(stack[i], inputs_.size()).second) continue;
      LayerInput input;
      input.stack.assign(stack.begin() + static_cast<ptrdiff_t>(i), stack.end());
      input.codec = codec_;
      inputs_.push_back(std::move(input));
    }
    return true;
  }
  void write(cache::Lease& lease, const Trees& trees, const LayerOptions& options) {
    layers_ = write_layers(store_, lease, trees, inputs_, options);
    chosen_.resize(layers_.size());
  }
  /// Whether the chain still fits; if so it is part of the bundle.
  bool choose(cache::SnapshotId top, uint64_t size_max) {
    std::vector<size_t> fresh;
    uint64_t size = 0;
    for (const cache::SnapshotId id : store_.chain(top)) {
      const size_t place = places_.at(id);
      if (chosen_[place]) continue;
      fresh.push_back(place);
      size += layers_[place].blob.size_bytes;
    }
    if (size_max != 0 && size_bytes_ + size > size_max) return false;
    size_bytes_ += size;
    for (const size_t place : fresh) chosen_[place] = true;
    return true;
  }
  /// Chains by their topmost snapshot.
  std::map<cache::SnapshotId, int64_t> put_into(CacheBundle& bundle) {
    std::map<cache::SnapshotId, int64_t> chains;
    std::map<std::pair<std::string, std::string>, size_t> known;  // equal layers once
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!chosen_[i]) continue;
      Layer& layer = layers_[i];
      const auto [place, fresh] =
          known.try_emplace({layer.blob.digest, layer.diff_id}, bundle.layers.size());
      const std::vector<cache::SnapshotId>& stack = inputs_[i].stack;
      const int64_t below = stack.size() > 1 ? chains.at(stack[1]) : -1;
      chains[stack.front()] = static_cast<int64_t>(bundle.document.chains.size());
      bundle.document.chains.push_back({place->second, below});
      if (!fresh) continue;
      bundle.document.layers.push_back(layer.diff_id);
      bundle.layers.push_back(std::move(layer));
    }
    return chains;
  }

 private:
  cache::Store& store_;
  const archive::Codec codec_;
  std::map<cache::SnapshotId, size_t> places_;  // into inputs_ and layers_
  std::vector<LayerInput> inputs_;
  std::vector<Layer> layers_;
  std::vector<bool> chosen_;
  uint64_t size_bytes_ = 0;
};

}  // namespace

CacheBundle bundle_cache(cache::Store& store, cache::Lease& lease, const Trees& trees,
                         const std::vector<CacheItem>& items, const std::string& scope,
                         archive::Codec codec, const LayerOptions& options,
                         const CacheBounds& bounds) {
  CacheBundle bundle;
  bundle.document.scope = scope;
  bundle.document.ids = trees.ids;
  Layers layers(store, codec);
  std::vector<bool> placed(items.size());
  for (size_t i = 0; i < items.size(); ++i)
    placed[i] = items[i].top && (*items[i].top == 0 || layers.add(*items[i].top));
  layers.write(lease, trees, options);
  for (size_t i = 0; i < items.size(); ++i) {
    if (placed[i] && *items[i].top != 0)
      placed[i] = layers.choose(*items[i].top, bounds.size_bytes);
    bundle.left_out += items[i].top && !placed[i] ? 1 : 0;
  }
  const auto chains = layers.put_into(bundle);
  std::set<Digest> told;
  for (size_t i = 0; i < items.size(); ++i) {
    const CacheItem& item = items[i];
    std::optional<int64_t> chain;
    if (placed[i]) chain = *item.top == 0 ? -1 : chains.at(*item.top);
    if (item.folder) {
      if (!chain || *chain < 0) continue;
      bundle.document.folders.push_back(*item.folder);
      bundle.document.folders.back().chain = *chain;
    } else if (told.insert(item.key).second) {
      bundle.document.results.push_back({item.key, item.first, item.created, chain, item.facts});
    }
  }
  std::string config = serialize_cache_document(bundle.document);
  if (config.size() > cache_document_bytes_max)
    fail(ExitCode::machine, "the cache has too many results: its config is {} bytes long",
         config.size());
  bundle.config = document_of(cache_type::config, std::move(config));
  oci::Manifest manifest;
  manifest.artifact_type = cache_type::artifact;
  manifest.config = bundle.config.descriptor;
  for (const Layer& layer : bundle.layers) manifest.layers.push_back(layer.blob);
  bundle.manifest = document_of(oci::media_type::manifest, oci::serialize_manifest(manifest));
  return bundle;
}

oci::Descriptor cache_config_of(const std::string& manifest_bytes) {
  const oci::Document document = oci::parse_document(manifest_bytes);
  if (!document.manifest || document.manifest->config.media_type != cache_type::config)
    fail(ExitCode::outside, "it is no cache of Slipway's{}",
         document.manifest
             ? ": its config is of the type " + printable(document.manifest->config.media_type)
             : " but an index");
  if (document.manifest->config.size_bytes > cache_document_bytes_max)
    fail(ExitCode::outside, "the cache's config is too long");
  return document.manifest->config;
}

CacheListing read_cache(const std::string& manifest_bytes, const std::string& config_bytes) {
  const oci::Descriptor config = cache_config_of(manifest_bytes);
  if (config_bytes.size() != config.size_bytes ||
      "sha256:" + sha256_hex(config_bytes) != config.digest)
    fail(ExitCode::outside, "the config is not the one the manifest names, {}", config.digest);
  CacheListing listing;
  listing.layers = oci::parse_document(manifest_bytes).manifest->layers;
  for (const oci::Descriptor& layer : listing.layers)
    if (!codec_of(layer.media_type))
      fail(ExitCode::outside, "the cache has a layer of the unknown type '{}'",
           printable(layer.media_type));
  listing.document = parse_cache_document(config_bytes, listing.layers.size());
  return listing;
}

Imported import_chain(const ImportContext& context, const CacheListing& cache, int64_t chain,
                      const OpenBlob& open) {
  Image image;
  for (const size_t place : cache.document.layers_of(chain)) {
    Layer layer;
    layer.diff_id = cache.document.layers.at(place);
    layer.blob = cache.layers.at(place);
    image.config.diff_ids.push_back(layer.diff_id);
    image.layers.push_back(std::move(layer));
  }
  return import_layers(context, std::move(image), open);
}

}  // namespace slipway::image
