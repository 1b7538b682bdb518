// The images a Dockerfile names: FROM, COPY --from, mounts, named contexts. A name is looked for
// among files, stacks and the store's own images first; a registry is asked last, and only when the
// name was never resolved here or --pull asks for it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "build/request.h"
#include "dockerfile/compile.h"
#include "engine/engine.h"
#include "fetch/fetcher.h"
#include "image/image.h"
#include "image/import.h"
#include "stack/stacks.h"

namespace slipway::build {

class Bases {
 public:
  Bases(const Session& session, fetch::Fetcher fetcher, stack::Stacks& stacks, bool pull);
  ~Bases();
  /// Lets stacks that are public images be found here. This object outlives their use.
  void serve(stack::Stacks& stacks);

  /// Config and pinned reference; no layer of a registry is fetched. Throws Error(outside) when
  /// there is no such image, Error(app_files) for a malformed reference.
  dockerfile::Base config_of(engine::Engine& engine, const dockerfile::BaseRequest& request);
  /// For engine::Options::resolve_image: the layers are brought here when they are missing.
  engine::ResolvedImage resolve(engine::Engine& engine, const graph::ImageOp& op);
  /// The image a pinned reference stands for, as an exporter needs it.
  image::Image image_of(engine::Engine& engine, const dockerfile::BaseRequest& base);

 private:
  struct Known;
  std::shared_ptr<Known> find(engine::Engine& engine, const std::string& reference,
                              const oci::Platform& platform);
  std::shared_ptr<Known> look_up(engine::Engine& engine, const std::string& reference,
                                 const oci::Platform& platform);
  std::shared_ptr<Known> from_registry(const std::string& reference, const oci::Platform& platform);
  void bring(engine::Engine& engine, Known& known);
  image::ImportContext context(engine::Engine& engine, const image::Trees& trees,
                               const std::string& shown);
  engine::ResolvedImage resolved(cache::SnapshotId top, const std::string& chain_id) const;

  const Session& session_;
  fetch::Fetcher fetcher_;
  stack::Stacks& stacks_;
  bool pull_;
  std::mutex mutex_;  // guards known_
  std::map<std::string, std::shared_ptr<Known>> known_;
};

}  // namespace slipway::build
