// Remote caches (--cache-from, --cache-to): results of steps in registries and folders.
//
// What is read is used only under keys that this build computed, and every byte by its digest; but
// that a layer is what its step would make, only the writer knows. So each cache has one writer's
// trust: nothing is written without --cache-to, where it is written is never read unless
// --cache-from names it, scopes must agree, and what came from a cache is used by later builds on
// this machine only when they name the same one (engine::RemoteResults, threat 18).
//
// A cache that cannot be read costs a warning and time, never a build.
#pragma once

#include <memory>
#include <vector>

#include "build/request.h"
#include "engine/engine.h"
#include "fetch/fetcher.h"
#include "image/image.h"

namespace slipway::build {

class RemoteCaches {
 public:
  /// Nothing is asked before the first key that the store does not know.
  RemoteCaches(const Session& session, fetch::Fetcher fetcher, const std::vector<CachePlace>& from);
  ~RemoteCaches();
  /// For engine::Options; this object outlives the engine.
  engine::RemoteResults results();

  /// What a build hands on: graphs and the nodes whose filesystems mode=min keeps.
  struct Built {
    std::vector<graph::NodeRef> roots, layers;
    std::vector<graph::NodeRef> pipelines;  ///< seals
  };
  /// After the build. Throws what went wrong unless the place says that it may.
  void write(engine::Engine& engine, const std::vector<CachePlace>& places, const Built& built);

 private:
  struct Source;
  std::optional<cache::Result> bring(engine::Engine& engine, Source& source, const Digest& key);
  void write_one(engine::Engine& engine, const CachePlace& place, const Built& built);

  const Session& session_;
  fetch::Fetcher fetcher_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace slipway::build
