#include "build/remote_cache.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "build/image_trees.h"
#include "build/layer_pull.h"
#include "build/pipeline_results.h"
#include "build/project.h"
#include "image/blobs.h"
#include "image/cache_bundle.h"
#include "image/cache_folder.h"
#include "oci/reference.h"
#include "sandbox/ids.h"

namespace slipway::build {
namespace {

image::CacheListing read_registry(const fetch::Fetcher& fetcher, const oci::Reference& reference) {
  fetch::ResolveRequest wanted;
  wanted.reference = reference;
  const fetch::ResolveResult found = fetcher.resolve(wanted);
  if (!found.manifest) fail(ExitCode::outside, "it is no cache of Slipway's but an index");
  fetch::PullRequest request;
  request.reference = reference;
  request.blobs = {image::cache_config_of(found.manifest->bytes)};
  std::string config;
  fetcher.pull(request, [&](const oci::Descriptor&, const Fd& file) {
    config = read_all(file.get(), image::cache_document_bytes_max);
  });
  return image::read_cache(found.manifest->bytes, config);
}

fetch::PushBlob pushed(const oci::Descriptor& descriptor, std::function<void(int)> write) {
  fetch::PushBlob blob;
  blob.descriptor = descriptor;
  blob.write = std::move(write);
  return blob;
}

}  // namespace

std::string CachePlace::name() const {
  std::string text = kind == Kind::registry ? where : "folder " + where + ":" + tag;
  if (!scope.empty()) text += " (scope " + scope + ")";
  return text;
}

/// A cache to read from, opened when it is first asked.
struct RemoteCaches::Source {
  CachePlace place;
  std::once_flag opened;
  std::atomic<bool> dead{false};
  image::CacheListing listing;
  std::optional<image::CacheFolder> folder;
  std::map<Digest, size_t> by_key;  ///< into listing.document.results
};

RemoteCaches::RemoteCaches(const Session& session, fetch::Fetcher fetcher,
                           const std::vector<CachePlace>& from)
    : session_(session), fetcher_(std::move(fetcher)) {
  for (const CachePlace& place : from) {
    sources_.push_back(std::make_unique<Source>());
    sources_.back()->place = place;
  }
}
RemoteCaches::~RemoteCaches() = default;

engine::RemoteResults RemoteCaches::results() {
  engine::RemoteResults results;
  if (sources_.empty()) return results;
  for (const auto& source : sources_) results.origins.insert(source->place.name());

  const auto give_up = [this](Source& source, const Error& error) {
    if (source.dead.exchange(true)) return;
    session_.stream.warning(
        fmt::format("the cache {} is not used: {}", source.place.name(), error.what()));
  };
  const auto open = [this, give_up](Source& source) {
    std::call_once(source.opened, [&] {
      try {
        const CachePlace& place = source.place;
        if (place.kind == CachePlace::Kind::registry) {
          source.listing = read_registry(fetcher_, oci::parse_reference(place.where));
        } else {
          source.folder.emplace(place.where, place.digest.empty() ? place.tag : place.digest);
          source.listing = source.folder->listing();
        }
        const image::CacheDocument& document = source.listing.document;
        if (document.scope != place.scope)
          fail(ExitCode::outside, "it is of the scope '{}', not '{}'", printable(document.scope),
               printable(place.scope));
        const bool single = sandbox::plan_ids(session_.store.id_base()).single_id();
        if (document.ids != (single ? "single" : "mapped"))
          fail(ExitCode::outside, "owners are kept another way in it ({} ids)",
               printable(document.ids));
        for (size_t i = 0; i < document.results.size(); ++i)
          source.by_key.try_emplace(document.results[i].key, i);
      } catch (const Interrupted&) {
        source.dead = true;
      } catch (const Error& error) {
        give_up(source, error);
      }
    });
    return !source.dead;
  };

  results.first_key = [this, open](const Digest& key) -> std::optional<Digest> {
    for (const auto& source : sources_) {
      if (!open(*source)) continue;
      if (const auto found = source->by_key.find(key); found != source->by_key.end())
        return source->listing.document.results[found->second].first;
    }
    return std::nullopt;
  };
  results.find = [this, open, give_up](engine::Engine& engine, const Digest& key) {
    std::optional<cache::Result> result;
    for (const auto& source : sources_) {
      if (!open(*source)) continue;
      try {
        result = bring(engine, *source, key);
      } catch (const Interrupted&) {
        throw;
      } catch (const Error& error) {
        give_up(*source, error);
      }
      if (result) break;
    }
    return result;
  };
  return results;
}

std::optional<cache::Result> RemoteCaches::bring(engine::Engine& engine, Source& source,
                                                 const Digest& key) {
  const auto found = source.by_key.find(key);
  if (found == source.by_key.end()) return std::nullopt;
  const image::CacheDocument::Result& row = source.listing.document.results[found->second];
  if (!row.chain) return std::nullopt;
  cache::Result result;
  if (*row.chain >= 0) {
    report::Stream& stream = session_.stream;
    const image::Trees trees = image_trees(session_.store, engine);
    const std::string shown = "unpacking from the cache " + source.place.name();
    const image::ImportContext context{
        session_.store,
        engine.lease(),
        trees,
        session_.cancel,
        [&stream](const std::string& text) { stream.warning(text); },
        [&stream, shown](uint64_t done, uint64_t total) {
          stream.emit(report::Progress{0, shown, done, total, done == total});
        }};
    if (source.folder) {
      result.snapshot = image::import_chain(
                            context, source.listing, *row.chain,
                            [&](const oci::Descriptor& blob) { return source.folder->open(blob); })
                            .snapshot;
    } else {
      fetch::PullRequest request;
      request.reference = oci::parse_reference(source.place.where);
      for (const size_t layer : source.listing.document.layers_of(*row.chain)) {
        const oci::Descriptor& blob = source.listing.layers.at(layer);
        if (!session_.store.has_blob(blob.digest.substr(7))) request.blobs.push_back(blob);
      }
      LayerPull pull(fetcher_, std::move(request), session_.cancel);
      try {
        result.snapshot =
            image::import_chain(context, source.listing, *row.chain,
                                [&](const oci::Descriptor& blob) { return pull.take(blob); })
                .snapshot;
      } catch (const Interrupted&) {
        throw;
      } catch (const Error&) {
        pull.rethrow_failure();
        throw;
      }
    }
  }
  if (row.facts.is_object())
    result = take_pipeline(session_.store, engine, key, result.snapshot, row.facts);
  result.extra["key"] = row.first.hex();
  result.extra["created"] = row.created;
  result.extra["origin"] = Json::array({source.place.name()});
  return result;
}

void RemoteCaches::write(engine::Engine& engine, const std::vector<CachePlace>& places,
                         const Built& built) {
  for (const CachePlace& place : places) {
    try {
      write_one(engine, place, built);
    } catch (const Interrupted&) {
      throw;
    } catch (Error& error) {
      error.add_context("writing the cache " + place.name());
      if (!place.ignore_error) throw;
      session_.stream.warning(error.what());
    }
  }
}

void RemoteCaches::write_one(engine::Engine& engine, const CachePlace& place, const Built& built) {
  std::set<Digest> kept;
  for (const graph::NodeRef& node : built.layers) kept.insert(node->digest());
  std::vector<image::CacheItem> items;
  std::set<Digest> seen;
  for (const graph::NodeRef& root : built.roots)
    for (const graph::NodeRef& node : graph::topological_order(root)) {
      if (engine::is_source(*node) || !seen.insert(node->digest()).second) continue;
      const engine::Engine::NodeKeys keys = engine.keys_of(node);
      image::CacheItem item;
      item.key = keys.key;
      item.first = keys.first;
      if (place.max || kept.contains(node->digest()))
        if (const auto solved = engine.result_of(node)) {
          item.created = solved->result.extra.value("created", int64_t{0});
          item.top = solved->result.snapshot;
        }
      items.push_back(item);
      // By its content, too: another definition may come to the same.
      item.key = item.first;
      items.push_back(item);
    }
  for (const graph::NodeRef& node : built.pipelines) {
    const auto solved = engine.result_of(node);
    if (!solved) continue;
    image::CacheItem item;
    item.key = item.first = solved->key;
    item.created = solved->result.extra.value("created", int64_t{0});
    item.top = solved->result.snapshot;
    const auto facts = pipeline_facts(session_.store, engine, {solved->key}, solved->result);
    if (!facts) continue;
    item.facts = *facts;
    items.push_back(std::move(item));
  }
  // Layers of the image itself have the first claim to the room there is.
  std::stable_partition(items.begin(), items.end(),
                        [](const image::CacheItem& item) { return item.top.has_value(); });
  image::LayerOptions options;
  options.cancel = &session_.cancel;
  options.on_warning = [this](const std::string& text) { session_.stream.warning(text); };
  const image::Trees trees = image_trees(session_.store, engine);
  const image::CacheBundle bundle = image::bundle_cache(session_.store, engine.lease(), trees,
                                                        items, place.scope, place.codec, options);
  if (bundle.left_out > 0)
    session_.stream.warning(fmt::format("the cache {} has no room for the layers of {} results",
                                        place.name(), bundle.left_out));
  if (place.kind == CachePlace::Kind::local) {
    image::write_cache_folder({session_.store, engine.lease(), session_.cancel}, place.where,
                              place.tag, bundle);
    session_.stream.detail(
        fmt::format("wrote the cache {} ({})", place.name(), bundle.manifest.descriptor.digest));
    return;
  }
  fetch::PushRequest request;
  request.reference = oci::parse_reference(place.where);
  for (const image::Layer& layer : bundle.layers)
    request.blobs.push_back(pushed(layer.blob, [this, &engine, &layer](int out) {
      image::write_layer(session_.store, engine.lease(), layer, out);
    }));
  request.blobs.push_back(pushed(bundle.config.descriptor,
                                 [&bundle](int out) { write_all(out, bundle.config.bytes); }));
  request.documents.push_back({bundle.manifest.descriptor.media_type, bundle.manifest.bytes});
  const fetch::PushResult sent = fetcher_.push(request);
  session_.stream.detail(fmt::format("wrote the cache {} ({}, {} of {} blobs were there)",
                                     place.name(), sent.digest, sent.present + sent.mounted,
                                     sent.present + sent.mounted + sent.uploaded));
}

}  // namespace slipway::build
