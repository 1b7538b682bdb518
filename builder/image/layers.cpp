#include "image/layers.h"

#include <map>

#include "archive/compress.h"
#include "base/error.h"
#include "image/blob_hasher.h"
#include "image/hash_states.h"
#include "image/import_layers.h"

namespace slipway::image {
namespace {

// Version of what a layer's bytes depend on besides its listing and compressor.
constexpr const char* layer_kind = "layer 1";

Digest digest_of(const std::string& kind, const Digest& id) {
  return KeyBuilder(kind).add("id", id).finish();
}

// The snapshots never change and their numbers are never given out twice: they stand for the layer.
Digest snapshots_key(const LayerInput& input) {
  KeyBuilder builder("layer of snapshots");
  builder.add("kind", layer_kind).add("own", uint64_t{input.own});
  builder.add("compressor", archive::compressor_name(input.codec));
  builder.add("clamp", input.clamp_time ? std::to_string(*input.clamp_time) : "none");
  for (const cache::SnapshotId id : input.stack) builder.add("snapshot", uint64_t{id});
  return builder.finish();
}

Digest artifact_id(const archive::LayerListing& listing, const LayerInput& input) {
  KeyBuilder builder(layer_kind);
  builder.add("compressor", archive::compressor_name(input.codec))
      .add("listing", archive::serialize_listing(listing));
  if (input.contents != nullptr && input.contents->patch_key)
    builder.add("patches", input.contents->patch_key);
  return builder.finish();
}

void clamp(archive::LayerListing& listing, const std::optional<int64_t>& newest) {
  if (!newest) return;
  for (archive::LayerEntry& entry : listing.entries) entry.mtime = std::min(entry.mtime, *newest);
}

class Writer {
 public:
  Writer(cache::Store& store, cache::Lease& lease, const Trees& trees, const LayerOptions& options)
      : store_(store), lease_(lease), trees_(trees), options_(options) {}

  std::vector<Layer> run(const std::vector<LayerInput>& inputs) {
    std::vector<Layer> layers(inputs.size());
    std::vector<Fresh> fresh;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (auto known = find_by_snapshots(inputs[i])) {
        layers[i] = std::move(*known);
        continue;
      }
      const archive::LayerListing listing = list(inputs[i]);
      const Digest id = artifact_id(listing, inputs[i]);
      if (auto known = find_layer(id, inputs[i].codec)) {
        layers[i] = std::move(*known);
        remember_snapshots(inputs[i], id);
        continue;
      }
      fresh.push_back({i, id, {}, {}, {}});
      compress(inputs[i], listing, fresh.back());
    }
    if (pack_) pack_->commit();
    for (Fresh& one : fresh) {
      publish(one);
      remember_snapshots(inputs[one.input], one.id);
      layers[one.input] = make_layer(one.artifact, one.diff_id, inputs[one.input].codec);
    }
    return layers;
  }

 private:
  struct Fresh {
    size_t input = 0;
    Digest id;
    cache::Artifact artifact;
    std::string diff_id;
    std::vector<HashState> states;
  };

  static Layer make_layer(const cache::Artifact& artifact, const std::string& diff_id,
                          archive::Codec codec) {
    Layer layer;
    layer.diff_id = diff_id;
    layer.blob.media_type = layer_media_type(codec, false);
    layer.blob.digest = "sha256:" + artifact.sha256;
    layer.blob.size_bytes = artifact.size_bytes;
    layer.artifact = artifact.id;
    layer.raw_bytes = artifact.raw_size_bytes;
    return layer;
  }

  archive::LayerListing list(const LayerInput& input) {
    archive::LayerListing listing;
    if (input.contents != nullptr) {
      listing = input.contents->listing;
    } else {
      SLIPWAY_CHECK(input.own <= input.stack.size());
      Trees::Listed listed =
          trees_.list({.stack = input.stack, .own = input.own, .known = input.known});
      for (const std::string& warning : listed.warnings)
        if (options_.on_warning) options_.on_warning(warning);
      listing = std::move(listed.listing);
    }
    clamp(listing, input.clamp_time);
    return listing;
  }

  std::optional<Layer> find_by_snapshots(const LayerInput& input) {
    if (input.contents != nullptr) return std::nullopt;
    // What came as a layer goes as it came.
    if (input.own == 1 && !input.clamp_time)
      if (auto layer = imported_layer(store_, lease_, input.stack.front());
          layer && codec_of(layer->blob.media_type) == input.codec) {
        layer->blob.media_type = layer_media_type(input.codec, false);
        return layer;
      }
    const auto result = store_.find_result(snapshots_key(input), lease_);
    if (!result) return std::nullopt;
    return find_layer(Digest::from_hex(result->extra.value("artifact", std::string())),
                      input.codec);
  }

  std::optional<Layer> find_layer(const Digest& id, archive::Codec codec) {
    const auto facts = store_.find_result(digest_of("layer facts", id), lease_);
    if (!facts) return std::nullopt;
    const auto artifact = store_.find_artifact(id, lease_);
    if (!artifact) return std::nullopt;
    return make_layer(*artifact, facts->extra.value("diff_id", std::string()), codec);
  }

  void remember_snapshots(const LayerInput& input, const Digest& id) {
    if (input.contents != nullptr) return;
    cache::Result result;
    // The layer stands for these snapshots only as long as they exist.
    result.snapshot = input.stack.empty() ? 0 : input.stack.front();
    result.extra["artifact"] = id.hex();
    store_.put_result({snapshots_key(input)}, result, "image layer of snapshots", {});
  }

  void publish(Fresh& fresh) {
    lease_.protect_artifact(fresh.id);
    store_.put_artifact(fresh.artifact);
    cache::Result result;
    result.extra["diff_id"] = fresh.diff_id;
    result.extra["states"] = states_to_json(fresh.states);
    store_.put_result(
        {digest_of("layer facts", fresh.id), start_key(fresh.artifact.chunks.front())}, result,
        "image layer", {});
  }

  // Leads to the latest layer that begins with this chunk.
  static Digest start_key(const Digest& first_chunk) {
    return digest_of("layer that begins with", first_chunk);
  }

  std::vector<HashState> states_of_similar(const archive::TarPlan& plan) {
    const auto result = store_.find_result(start_key(plan.chunks.front().key), lease_);
    if (!result || !result->extra.contains("states")) return {};
    return states_from_json(result->extra["states"]);
  }

  void compress(const LayerInput& input, const archive::LayerListing& listing, Fresh& fresh) {
    const archive::LayerMembers members(listing);
    archive::TarInput tar{.members = &members, .codec = input.codec};
    // A layer of links and folders alone asks for nothing.
    tar.open = [&, open = archive::OpenFiles()](const std::vector<std::string>& paths) mutable {
      if (!open) open = input.contents != nullptr ? input.contents->open : trees_.open(input.stack);
      return open(paths);
    };
    if (input.contents != nullptr && input.contents->patch_key)
      tar.patches = input.contents->patches();
    const archive::TarPlan plan = archive::plan_tar(tar);
    const size_t count = plan.chunks.size();
    const std::vector<Digest> prefixes = chunk_prefixes(plan);

    Sha256 raw;
    std::string blob_start;
    size_t first = 0;
    {
      const std::vector<HashState> before = states_of_similar(plan);
      if (const HashState* state = furthest(before, prefixes)) {
        first = state->chunk + 1;
        raw = Sha256::resume(state->raw);
        blob_start = state->blob;
        fresh.states.assign(before.data(), state + 1);
      }
    }
    std::vector<std::string> raw_states(count);
    BlobHasher blob(store_, blob_start, first, count);
    std::map<Digest, cache::ChunkRef> known;

    archive::CompressOptions options;
    options.cancel = options_.cancel;
    options.on_progress = options_.on_progress;
    options.known = [&](const Digest& key) {
      const auto ref = store_.find_chunk(key);
      if (ref) known[key] = *ref;
      return ref.has_value();
    };
    options.raw_from = first;
    options.on_raw = [&](size_t chunk, std::string_view bytes) {
      raw.update(bytes.data(), bytes.size());
      if (is_kept(chunk, count)) raw_states[chunk] = raw.save();
    };
    size_t number = 0;
    options.on_chunk = [&](archive::Chunk&& chunk) {
      fresh.artifact.chunks.push_back(chunk.key);
      const size_t at = number++;
      if (chunk.known) {
        const cache::ChunkRef& ref = known.at(chunk.key);
        fresh.artifact.size_bytes += ref.compressed_size;
        if (at >= first) blob.add(ref);
        return;
      }
      fresh.artifact.size_bytes += chunk.compressed.size();
      if (!pack_) pack_.emplace(store_.write_pack(lease_));
      pack_->put(chunk.key, chunk.compressed.data(), chunk.compressed.size(), chunk.raw_size);
      if (at >= first) blob.add(std::move(chunk.compressed));
    };
    archive::compress_tar(tar, plan, options);

    fresh.diff_id = "sha256:" + raw.finish_hex();
    fresh.artifact.id = fresh.id;
    fresh.artifact.raw_size_bytes = plan.raw_size;
    fresh.artifact.sha256 = blob.finish();
    for (size_t i = first; i < count; ++i)
      if (!raw_states[i].empty())
        fresh.states.push_back({i, prefixes[i], raw_states[i], blob.state_after(i)});
  }

  cache::Store& store_;
  cache::Lease& lease_;
  const Trees& trees_;
  const LayerOptions& options_;
  std::optional<cache::PackWriter> pack_;
};

}  // namespace

std::vector<Layer> write_layers(cache::Store& store, cache::Lease& lease, const Trees& trees,
                                const std::vector<LayerInput>& inputs,
                                const LayerOptions& options) {
  return Writer(store, lease, trees, options).run(inputs);
}

std::optional<archive::Codec> codec_of(std::string_view media_type) {
  using archive::Codec;
  static const std::map<std::string, Codec, std::less<>> types = {
      {oci::media_type::layer, Codec::stored},
      {oci::media_type::layer_gzip, Codec::gzip},
      {oci::media_type::layer_zstd, Codec::zstd},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar", Codec::stored},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Codec::gzip},
      {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Codec::zstd},
      {"application/vnd.docker.image.rootfs.diff.tar", Codec::stored},
      {oci::media_type::docker_layer, Codec::gzip},
      {"application/vnd.docker.image.rootfs.diff.tar.zstd", Codec::zstd},
      {"application/vnd.docker.image.rootfs.foreign.diff.tar", Codec::stored},
      {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Codec::gzip},
  };
  const auto found = types.find(media_type);
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

const char* layer_media_type(archive::Codec codec, bool docker_types) {
  switch (codec) {
    case archive::Codec::gzip:
    case archive::Codec::gzip_quick:
      break;
    case archive::Codec::zstd:
      return docker_types ? "application/vnd.docker.image.rootfs.diff.tar.zstd"
                          : oci::media_type::layer_zstd;
    case archive::Codec::stored:
      return docker_types ? "application/vnd.docker.image.rootfs.diff.tar" : oci::media_type::layer;
  }
  return docker_types ? oci::media_type::docker_layer : oci::media_type::layer_gzip;
}

}  // namespace slipway::image
