#include "image/import.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "image/blobs.h"
#include "image/import_layers.h"
#include "image/layers.h"

namespace slipway::image {
namespace {

// More would only compete for the same disk and processors.
constexpr size_t threads_max = 3;

std::string hex_of(const std::string& digest) {
  SLIPWAY_CHECK(oci::is_digest(digest));
  return digest.substr(std::string_view("sha256:").size());
}

Digest chain_key(const std::string& chain_id, const std::string& ids) {
  return KeyBuilder("image layers").add("chain", chain_id).add("ids", ids).finish();
}

Digest imported_key(cache::SnapshotId snapshot) {
  return KeyBuilder("imported layer").add("snapshot", uint64_t{snapshot}).finish();
}

/// Which layers are done; a failure of one is the failure of all.
class Progress {
 public:
  explicit Progress(size_t count) : done_(count) {}

  void set_done(size_t layer) {
    const std::lock_guard lock(mutex_);
    done_[layer] = true;
    changed_.notify_all();
  }
  void fail() {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    changed_.notify_all();
  }
  bool failed() {
    const std::lock_guard lock(mutex_);
    return failure_ != nullptr;
  }
  /// Returns when all layers below are unpacked; throws when one failed.
  void wait_below(size_t layer) {
    std::unique_lock lock(mutex_);
    const auto end = done_.begin() + static_cast<ptrdiff_t>(layer);
    changed_.wait(lock,
                  [&] { return failure_ || std::all_of(done_.begin(), end, std::identity()); });
    if (failure_) throw slipway::Error(ExitCode::outside, "a layer below could not be unpacked");
  }
  void rethrow() {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<bool> done_;      // guarded by mutex_
  std::exception_ptr failure_;  // guarded by mutex_; the first
};

class Import {
 public:
  Import(const ImportContext& context, const Image& image, const OpenBlob& open)
      : context_(context), image_(image), open_(open), chains_(chain_ids(image.config.diff_ids)) {}

  cache::SnapshotId run() {
    const size_t count = image_.layers.size();
    if (count == 0) return 0;
    // Two builds that start from one base at a time: the second finds what the first made.
    const cache::Lock lock =
        context_.store.lock("image-" + hex_of(chains_.back()), &context_.cancel);
    snapshots_.resize(count);
    const size_t known = find_known();
    Progress progress(count);
    for (size_t i = 0; i < known; ++i) progress.set_done(i);
    std::vector<size_t> work;
    for (size_t i = 0; i < count; ++i) {
      if (i < known && has_layer(context_.store, context_.lease, image_.layers[i])) continue;
      total_bytes_ += image_.layers[i].blob.size_bytes;
      work.push_back(i);
    }
    for (size_t i = known; i < count; ++i)
      snapshots_[i].id = context_.store.allocate_snapshot(context_.lease);
    run_all(work, known, progress);
    for (size_t i = known; i < count; ++i) commit(i);
    return snapshots_.back().id;
  }

 private:
  // How many of the lower layers are snapshots already.
  size_t find_known() {
    for (size_t i = chains_.size(); i-- > 0;) {
      const auto result =
          context_.store.find_result(chain_key(chains_[i], context_.trees.ids), context_.lease);
      if (!result || result->snapshot == 0) continue;
      const std::vector<cache::SnapshotId> stack = context_.store.chain(result->snapshot);
      SLIPWAY_CHECK(stack.size() == i + 1);
      for (size_t j = 0; j <= i; ++j) snapshots_[j].id = stack[i - j];
      return i + 1;
    }
    return 0;
  }

  void run_all(const std::vector<size_t>& work, size_t known, Progress& progress) {
    std::mutex mutex;
    size_t next = 0;
    const auto serve = [&] {
      for (;;) {
        size_t layer = 0;
        {
          const std::lock_guard lock(mutex);
          if (next == work.size()) return;
          layer = work[next++];
        }
        if (progress.failed()) return;
        try {
          context_.cancel.check();
          bring(layer, layer >= known, progress);
          progress.set_done(layer);
        } catch (Error& error) {
          error.add_context("layer " + image_.layers[layer].blob.digest);
          progress.fail();
        } catch (...) {
          progress.fail();
        }
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < std::min(work.size(), threads_max); ++i) threads.emplace_back(serve);
    serve();
    for (std::thread& thread : threads) thread.join();
    progress.rethrow();
  }

  // Fetches the blob unless it is in the store, and unpacks it if asked to: both at once.
  void bring(size_t layer, bool unpacks, Progress& progress) {
    const oci::Descriptor& blob = image_.layers[layer].blob;
    const std::string hex = hex_of(blob.digest);
    const bool blob_is_there = context_.store.has_blob(hex);
    const Fd file = blob_is_there ? context_.store.open_blob(hex) : open_(blob);
    // Who gave it may have put it there; one of our own is there as chunks.
    const bool stored = image_.layers[layer].artifact || context_.store.has_blob(hex);
    std::exception_ptr copy_failure;
    std::thread copying;
    if (!stored)
      copying = std::thread([&] {
        try {
          keep(blob, file.get());
        } catch (...) {
          copy_failure = std::current_exception();
        }
      });
    std::exception_ptr unpack_failure;
    try {
      if (unpacks) unpack(layer, file.get(), progress);
    } catch (...) {
      unpack_failure = std::current_exception();
    }
    if (copying.joinable()) copying.join();
    // A wrong digest explains why it could not be unpacked.
    if (copy_failure) std::rethrow_exception(copy_failure);
    if (unpack_failure) std::rethrow_exception(unpack_failure);
    report(blob.size_bytes);
  }

  // By pread: the unpacking reads the same descriptor.
  void keep(const oci::Descriptor& blob, int file) {
    cache::BlobWriter writer = context_.store.write_blob();
    std::vector<char> buffer(256 << 10);
    uint64_t done = 0;
    for (;;) {
      const ssize_t count = pread(file, buffer.data(), buffer.size(), static_cast<off_t>(done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail_errno("read blob {}", blob.digest);
      if (count == 0) break;
      done += static_cast<uint64_t>(count);
      if (done > blob.size_bytes) break;
      writer.write(buffer.data(), static_cast<size_t>(count));
      context_.cancel.check();
    }
    if (done != blob.size_bytes)
      fail(ExitCode::outside, "the blob has {} {} bytes, the manifest says {}",
           done > blob.size_bytes ? "more than" : "only", std::min(done, blob.size_bytes),
           blob.size_bytes);
    (void)writer.commit(hex_of(blob.digest));
  }

  void unpack(size_t layer, int file, Progress& progress) {
    Trees::Unpack unpacking;
    unpacking.target = snapshots_[layer].id;
    for (size_t i = layer; i-- > 0;) unpacking.lower.push_back(snapshots_[i].id);
    unpacking.wait_for_lower = [&progress, layer] { progress.wait_below(layer); };
    unpacking.diff_id = image_.layers[layer].diff_id;
    unpacking.on_warning = [this](const std::string& text) {
      const std::lock_guard lock(report_mutex_);
      if (context_.on_warning) context_.on_warning(text);
    };
    const archive::Tree tree = context_.trees.unpack(file, unpacking);
    snapshots_[layer].size_bytes = tree.total_size();
    snapshots_[layer].files = tree.entries.size();
  }

  void commit(size_t layer) {
    cache::Snapshot& snapshot = snapshots_[layer];
    snapshot.parent = layer == 0 ? 0 : snapshots_[layer - 1].id;
    snapshot.kind = "image";
    context_.store.commit_snapshot(snapshot);
    cache::Result result;
    result.snapshot = snapshot.id;
    const oci::Descriptor& blob = image_.layers[layer].blob;
    result.extra["diff_id"] = image_.layers[layer].diff_id;
    result.extra["digest"] = blob.digest;
    result.extra["size"] = blob.size_bytes;
    result.extra["media_type"] = blob.media_type;
    context_.store.put_result(
        {chain_key(chains_[layer], context_.trees.ids), imported_key(snapshot.id)}, result,
        "image layers", {});
  }

  void report(uint64_t bytes) {
    const std::lock_guard lock(report_mutex_);
    done_bytes_ += bytes;
    if (context_.on_progress) context_.on_progress(done_bytes_, total_bytes_);
  }

  const ImportContext& context_;
  const Image& image_;
  const OpenBlob& open_;
  const std::vector<std::string> chains_;
  std::vector<cache::Snapshot> snapshots_;  // of the layers, lowest first
  std::mutex report_mutex_;
  uint64_t done_bytes_ = 0, total_bytes_ = 0;
};

}  // namespace

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chains;
  for (const std::string& diff_id : diff_ids)
    chains.push_back(chains.empty() ? diff_id
                                    : "sha256:" + sha256_hex(chains.back() + " " + diff_id));
  return chains;
}

std::optional<Layer> imported_layer(cache::Store& store, cache::Lease& lease,
                                    cache::SnapshotId snapshot) {
  const auto result = store.find_result(imported_key(snapshot), lease);
  if (!result || !result->extra.contains("digest")) return std::nullopt;
  Layer layer;
  layer.diff_id = result->extra.at("diff_id").get<std::string>();
  layer.blob.digest = result->extra.at("digest").get<std::string>();
  layer.blob.size_bytes = result->extra.at("size").get<uint64_t>();
  layer.blob.media_type = result->extra.at("media_type").get<std::string>();
  const std::string hex = hex_of(layer.blob.digest);
  lease.protect_blob(hex);
  if (!store.has_blob(hex)) return std::nullopt;
  return layer;
}

Imported import_layers(const ImportContext& context, Image image, const OpenBlob& open) {
  Imported imported;
  imported.snapshot = Import(context, image, open).run();
  if (!image.layers.empty()) imported.chain_id = chain_ids(image.config.diff_ids).back();
  imported.image = std::move(image);
  return imported;
}

Imported unpack_image(const ImportContext& context, const Image& image) {
  const auto open = [&](const oci::Descriptor& blob) {
    for (const Layer& layer : image.layers) {
      if (layer.blob.digest != blob.digest) continue;
      // The file has no name once the folder is gone.
      const TempDir folder = TempDir::create("layer", context.store.root() / "tmp");
      Fd file = open_file((folder.path() / "blob").string(), O_RDWR | O_CREAT | O_EXCL, 0600);
      write_layer(context.store, context.lease, layer, file.get());
      if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("seek");
      return file;
    }
    fail(ExitCode::machine, "the image has no layer {}", blob.digest);
  };
  return import_layers(context, image, open);
}

void remember_layers(cache::Store& store, const std::string& ids,
                     const std::vector<std::string>& diff_ids, cache::SnapshotId top) {
  const std::vector<std::string> chains = chain_ids(diff_ids);
  const std::vector<cache::SnapshotId> stack = store.chain(top);
  SLIPWAY_CHECK(stack.size() == chains.size());
  for (size_t i = 0; i < chains.size(); ++i) {
    cache::Result result;
    result.snapshot = stack[chains.size() - 1 - i];
    result.extra["diff_id"] = diff_ids[i];
    store.put_result({chain_key(chains[i], ids)}, result, "image layers", {});
  }
}

Imported import_image(const ImportContext& context, const std::string& manifest_bytes,
                      const std::string& config_bytes, const OpenBlob& open) {
  const oci::Document document = oci::parse_document(manifest_bytes);
  if (!document.manifest) fail(ExitCode::outside, "an index stands where a manifest should");
  const oci::Manifest& manifest = *document.manifest;
  if (!oci::is_image_config_type(manifest.config.media_type))
    fail(ExitCode::outside, "it is no image: its config is of type '{}'",
         manifest.config.media_type);
  if (config_bytes.size() != manifest.config.size_bytes ||
      "sha256:" + sha256_hex(config_bytes) != manifest.config.digest)
    fail(ExitCode::outside, "the config is not the one the manifest names, {}",
         manifest.config.digest);
  Image image;
  image.config = oci::parse_image_config(config_bytes);
  image.manifest_bytes = manifest_bytes;
  image.config_bytes = config_bytes;
  if (image.config.diff_ids.size() != manifest.layers.size())
    fail(ExitCode::outside, "the manifest has {} layers, the config {}", manifest.layers.size(),
         image.config.diff_ids.size());
  for (size_t i = 0; i < manifest.layers.size(); ++i) {
    if (!codec_of(manifest.layers[i].media_type))
      fail(ExitCode::outside, "layer {} is of the unknown type '{}'", i + 1,
           manifest.layers[i].media_type);
    Layer layer;
    layer.diff_id = image.config.diff_ids[i];
    layer.blob = manifest.layers[i];
    image.layers.push_back(std::move(layer));
  }
  Imported imported = import_layers(context, std::move(image), open);
  imported.digest = "sha256:" + sha256_hex(manifest_bytes);
  return imported;
}

}  // namespace slipway::image
