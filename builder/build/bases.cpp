#include "build/bases.h"

#include "base/text.h"
#include "build/image_trees.h"
#include "build/layer_pull.h"
#include "image/import.h"
#include "image/layers.h"
#include "image/names.h"
#include "oci/manifest.h"

namespace slipway::build {
namespace {

bool is_stack(const std::string& reference) {
  return starts_with(reference, "stack:");
}

/// What a stack's image is started with: Debian's own image says the same. Its history has an entry
/// for each layer: without one it would be scratch.
oci::ImageConfig stack_config(const std::string& reference, size_t layers,
                              const oci::Platform& platform) {
  oci::ImageConfig config = oci::scratch_config(platform);
  config.config.cmd = std::vector<std::string>{"bash"};
  oci::History entry;
  entry.created = "1980-01-01T00:00:01Z";
  entry.created_by = "slipway: " + reference;
  config.history.assign(std::max<size_t>(layers, 1), entry);
  return config;
}

}  // namespace

/// An image that was looked up. `bringing` guards what is filled when its layers are needed.
struct Bases::Known {
  std::string reference;  ///< pinned
  oci::Platform platform;
  /// The config is known from the start; of a stack, layers are filled by image_of(), of a
  /// registry's image by bring().
  image::Image image;
  std::optional<oci::Reference> registry;
  std::string stored_id;         ///< of one of the store's own images that is not unpacked yet
  std::string manifest, config;  ///< of a registry's image
  std::mutex bringing;
  std::optional<engine::ResolvedImage> brought;
};

Bases::Bases(const Session& session, fetch::Fetcher fetcher, stack::Stacks& stacks, bool pull)
    : session_(session), fetcher_(std::move(fetcher)), stacks_(stacks), pull_(pull) {}
Bases::~Bases() = default;

void Bases::serve(stack::Stacks& stacks) {
  stacks.set_find_image([this](engine::Engine& engine, const std::string& reference) {
    return resolve(engine, {reference, oci::native_platform().to_string()});
  });
}

std::shared_ptr<Bases::Known> Bases::from_registry(const std::string& text,
                                                   const oci::Platform& platform) {
  const oci::Reference reference = oci::parse_reference(text);
  auto known = std::make_shared<Known>();
  known->platform = platform;
  known->registry = reference;
  const std::string row = reference.canonical() + " " + platform.to_string();
  auto kept = session_.store.find_value("image-ref", row);
  if (!kept || pull_) {
    fetch::ResolveRequest request;
    request.reference = reference;
    request.platform = platform;
    if (kept) request.known = {kept->at("top").get<std::string>()};
    session_.stream.emit(report::Progress{0, "resolving " + reference.familiar(), 0, 0, false});
    const fetch::ResolveResult found = fetcher_.resolve(request);
    if (!found.unchanged)
      kept = Json{{"top", found.top.digest},
                  {"manifest", found.manifest->bytes},
                  {"config", found.config->bytes}};
    session_.store.put_value("image-ref", row, *kept);
    // By its digest too: what is pinned is found without asking.
    oci::Reference pinned = reference;
    pinned.digest = kept->at("top").get<std::string>();
    session_.store.put_value("image-ref", pinned.canonical() + " " + platform.to_string(), *kept);
  }
  known->registry->digest = kept->at("top").get<std::string>();
  known->reference = known->registry->canonical();
  known->manifest = kept->at("manifest").get<std::string>();
  known->config = kept->at("config").get<std::string>();
  known->image.config = oci::parse_image_config(known->config);
  return known;
}

std::shared_ptr<Bases::Known> Bases::look_up(engine::Engine& engine, const std::string& reference,
                                             const oci::Platform& platform) {
  if (is_stack(reference)) {
    auto known = std::make_shared<Known>();
    known->reference = reference;
    known->platform = platform;
    known->brought = stacks_.resolve(engine, graph::ImageOp{reference, {}});
    known->image.config = stack_config(reference, known->brought->layers.size(), platform);
    return known;
  }
  if (const auto file = image::parse_local_source(reference)) {
    auto known = std::make_shared<Known>();
    known->reference = reference;
    known->platform = platform;
    const image::Trees trees = image_trees(session_.store, engine);
    image::Imported imported =
        image::import_local(context(engine, trees, reference), *file, platform);
    known->image = std::move(imported.image);
    known->brought = resolved(imported.snapshot, imported.chain_id);
    return known;
  }
  if (!pull_ && reference.find('@') == std::string::npos) {
    const oci::Reference name = oci::parse_reference(reference);
    if (auto stored = image::find_named(session_.store, name.canonical(), platform)) {
      auto known = std::make_shared<Known>();
      known->reference = reference;
      known->platform = platform;
      known->image = std::move(stored->image);
      // Named on another rung, its files may have other owners here: its layers are unpacked anew.
      const bool usable =
          stored->snapshot != 0 && stored->owners == image_trees(session_.store, engine).ids;
      if (!usable && !known->image.layers.empty())
        known->stored_id = stored->image_id;
      else
        known->brought =
            engine::ResolvedImage{stored->image_id, session_.store.chain(stored->snapshot)};
      return known;
    }
  }
  return from_registry(reference, platform);
}

std::shared_ptr<Bases::Known> Bases::find(engine::Engine& engine, const std::string& reference,
                                          const oci::Platform& platform) {
  const std::string key = reference + " " + platform.to_string();
  const std::lock_guard lock(mutex_);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  std::shared_ptr<Known> known = look_up(engine, reference, platform);
  known_[known->reference + " " + platform.to_string()] = known;
  return known_[key] = known;
}

dockerfile::Base Bases::config_of(engine::Engine& engine, const dockerfile::BaseRequest& request) {
  const std::shared_ptr<Known> known = find(engine, request.reference, request.platform);
  return {known->reference, known->image.config};
}

void Bases::bring(engine::Engine& engine, Known& known) {
  const std::lock_guard lock(known.bringing);
  if (known.brought) {
    if (!known.brought->layers.empty())
      engine.lease().protect_snapshot(known.brought->layers.front());
    return;
  }
  if (!known.stored_id.empty()) {
    const image::Trees trees = image_trees(session_.store, engine);
    const image::Imported unpacked =
        image::unpack_image(context(engine, trees, known.reference), known.image);
    known.brought = engine::ResolvedImage{known.stored_id, session_.store.chain(unpacked.snapshot)};
    return;
  }
  // Layers of other images may be here already.
  const auto manifest = oci::parse_document(known.manifest).manifest;
  if (!manifest) fail(ExitCode::outside, "{} is no image", known.registry->familiar());
  fetch::PullRequest request;
  request.reference = *known.registry;
  for (const oci::Descriptor& layer : manifest->layers)
    if (!session_.store.has_blob(layer.digest.substr(7))) request.blobs.push_back(layer);
  const image::Trees trees = image_trees(session_.store, engine);
  LayerPull pull(fetcher_, std::move(request), session_.cancel);
  image::Imported imported;
  try {
    imported = image::import_image(context(engine, trees, known.registry->familiar()),
                                   known.manifest, known.config,
                                   [&](const oci::Descriptor& blob) { return pull.take(blob); });
  } catch (const Interrupted&) {
    throw;
  } catch (const Error&) {
    pull.rethrow_failure();
    throw;
  }
  known.image = std::move(imported.image);
  known.brought = resolved(imported.snapshot, imported.chain_id);
}

image::ImportContext Bases::context(engine::Engine& engine, const image::Trees& trees,
                                    const std::string& shown) {
  report::Stream& stream = session_.stream;
  return {session_.store,
          engine.lease(),
          trees,
          session_.cancel,
          [&stream](const std::string& text) { stream.warning(text); },
          [&stream, shown](uint64_t done, uint64_t total) {
            stream.emit(report::Progress{0, "unpacking " + shown, done, total, done == total});
          }};
}

engine::ResolvedImage Bases::resolved(cache::SnapshotId top, const std::string& chain_id) const {
  engine::ResolvedImage image;
  image.identity = "image " + chain_id;
  if (top != 0) image.layers = session_.store.chain(top);
  return image;
}

engine::ResolvedImage Bases::resolve(engine::Engine& engine, const graph::ImageOp& op) {
  const std::shared_ptr<Known> known =
      find(engine, op.reference, oci::parse_platform(op.platform, oci::native_platform()));
  bring(engine, *known);
  return *known->brought;
}

image::Image Bases::image_of(engine::Engine& engine, const dockerfile::BaseRequest& base) {
  const std::shared_ptr<Known> known = find(engine, base.reference, base.platform);
  bring(engine, *known);
  if (!is_stack(known->reference) || !known->image.layers.empty()) return known->image;
  const std::lock_guard lock(known->bringing);
  if (known->brought->host)
    throw Error(ExitCode::usage, "the host stack is this machine itself and no image")
        .set_hint("use stack:debian-12/build or stack:debian-12/run");
  // One layer for each of the stack's own, lowest first.
  const std::vector<cache::SnapshotId>& chain = known->brought->layers;
  std::vector<image::LayerInput> inputs;
  for (size_t i = chain.size(); i-- > 0;) {
    image::LayerInput input;
    input.stack.assign(chain.begin() + static_cast<ptrdiff_t>(i), chain.end());
    inputs.push_back(std::move(input));
  }
  image::LayerOptions options;
  options.cancel = &session_.cancel;
  known->image.layers = image::write_layers(session_.store, engine.lease(),
                                            image_trees(session_.store, engine), inputs, options);
  for (const image::Layer& layer : known->image.layers)
    known->image.config.diff_ids.push_back(layer.diff_id);
  if (!chain.empty())
    image::remember_layers(session_.store, image_trees(session_.store, engine).ids,
                           known->image.config.diff_ids, chain.front());
  return known->image;
}

}  // namespace slipway::build
