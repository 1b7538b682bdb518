// A store, and Trees whose snapshots are listings and files made by the test.
#pragma once

#include <map>
#include <mutex>

#include "archive/extract.h"
#include "base/files.h"
#include "image/layers.h"

namespace slipway::image::testing {

struct Images {
  TempDir dir = TempDir::create("slipway-image");
  std::unique_ptr<cache::Store> store = cache::Store::open(dir.path() / "store");
  std::optional<cache::Lease> lease = store->lease();
  Cancel cancel;

  struct Tree {
    archive::LayerListing listing;
    std::map<std::string, std::string> files;
  };
  std::map<cache::SnapshotId, Tree> snapshots;
  int listed = 0;    ///< how often a snapshot was listed
  int unpacked = 0;  ///< guarded by unpack_mutex
  std::mutex unpack_mutex;
  std::vector<std::string> opened;

  void reopen() {
    lease.reset();
    store.reset();
    store = cache::Store::open(dir.path() / "store");
    lease = store->lease();
  }

  cache::SnapshotId add(const std::map<std::string, std::string>& files,
                        cache::SnapshotId parent = 0, int64_t mtime = 1'600'000'000) {
    const cache::SnapshotId id = store->allocate_snapshot(*lease);
    make_directories(store->snapshots_dir() / std::to_string(id) / "fs");
    store->commit_snapshot({.id = id, .parent = parent, .kind = "test"});
    Tree& tree = snapshots[id];
    tree.files = files;
    for (const auto& [path, content] : files) {
      archive::LayerEntry entry;
      entry.path = path;
      entry.mode = 0644;
      entry.size = content.size();
      entry.mtime = mtime;
      if (!content.empty()) entry.digest = hash_bytes(content);
      tree.listing.entries.push_back(entry);
    }
    return id;
  }

  Trees trees() {
    Trees made;
    made.list = [this](const Trees::Request& request) {
      ++listed;
      return Trees::Listed{snapshots.at(request.stack.front()).listing, {}};
    };
    made.open = [this](const std::vector<cache::SnapshotId>& stack) -> archive::OpenFiles {
      return [this, &tree = snapshots.at(stack.front())](const std::vector<std::string>& paths) {
        std::vector<Fd> files;
        for (const std::string& path : paths) {
          opened.push_back(path);
          write_file_atomic(dir.path() / "content", tree.files.at(path));
          files.push_back(open_file((dir.path() / "content").string(), O_RDONLY));
        }
        return files;
      };
    };
    // As the worker does it, but that layers below are not looked into.
    made.unpack = [this](int archive, const Trees::Unpack& wanted) {
      {
        const std::lock_guard lock(unpack_mutex);
        ++unpacked;
      }
      const fs::path folder = root_of(wanted.target);
      make_directories(folder);
      const Fd target = open_file(folder.string(), O_RDONLY | O_DIRECTORY);
      archive::ExtractOptions options;
      options.whiteouts = true;
      options.keep_owner = false;
      options.digests = false;
      options.raw_sha256 = wanted.diff_id.substr(7);
      options.on_warning = wanted.on_warning;
      return archive::extract(archive, target.get(), options);
    };
    return made;
  }
  fs::path root_of(cache::SnapshotId id) const {
    return store->snapshots_dir() / std::to_string(id) / "fs";
  }

  Layer write(cache::SnapshotId id, archive::Codec codec = archive::Codec::gzip,
              std::optional<int64_t> clamp_time = {}) {
    LayerInput input;
    input.stack = store->chain(id);
    input.codec = codec;
    input.clamp_time = clamp_time;
    return write_layers(*store, *lease, trees(), {input}).at(0);
  }

  /// The layer's compressed bytes.
  std::string bytes_of(const Layer& layer) {
    const auto artifact = store->find_artifact(layer.artifact, *lease);
    REQUIRE(artifact);
    const fs::path file = dir.path() / "bytes";
    {
      const Fd out = open_file(file.string(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      store->write_artifact(*artifact, out.get());
    }
    return read_file(file);
  }
};

}  // namespace slipway::image::testing
