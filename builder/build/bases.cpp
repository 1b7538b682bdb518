#include "build/bases.h"

#include "base/text.h"
#include "build/image_trees.h"
#include "image/import.h"
#include "image/layers.h"
#include "image/names.h"

namespace slipway::build {
namespace {

bool is_stack(const std::string& reference) {
  return starts_with(reference, "stack:");
}

/// What a stack's image is started with: Debian's own image says the same.
oci::ImageConfig stack_config(const oci::Platform& platform) {
  oci::ImageConfig config = oci::scratch_config(platform);
  config.config.cmd = std::vector<std::string>{"bash"};
  return config;
}

}  // namespace

/// An image that was looked up. `bringing` guards what is filled when its layers are needed.
struct Bases::Known {
  std::string reference;  ///< pinned
  oci::Platform platform;
  image::Image image;  ///< of a stack: layers are filled by image_of()
  std::optional<oci::Reference> registry;
  std::optional<image::LocalSource> file;
  std::mutex bringing;
  std::optional<engine::ResolvedImage> brought;
};

Bases::Bases(const Session& session, fetch::Fetcher fetcher, stack::Stacks& stacks, bool pull)
    : session_(session), fetcher_(std::move(fetcher)), stacks_(stacks), pull_(pull) {}
Bases::~Bases() = default;

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
  known->image = image::image_of_documents(kept->at("manifest").get<std::string>(),
                                           kept->at("config").get<std::string>());
  return known;
}

std::shared_ptr<Bases::Known> Bases::look_up(const std::string& reference,
                                             const oci::Platform& platform) {
  if (is_stack(reference)) {
    auto known = std::make_shared<Known>();
    known->reference = reference;
    known->platform = platform;
    known->image.config = stack_config(platform);
    return known;
  }
  if (const auto file = image::parse_local_source(reference)) {
    auto known = std::make_shared<Known>();
    known->reference = reference;
    known->platform = platform;
    known->file = file;
    known->image = image::open_local(*file, platform).image;
    return known;
  }
  if (!pull_ && reference.find('@') == std::string::npos) {
    const oci::Reference name = oci::parse_reference(reference);
    if (auto stored = image::find_named(session_.store, name.canonical(), platform)) {
      auto known = std::make_shared<Known>();
      known->reference = reference;
      known->platform = platform;
      known->image = std::move(stored->image);
      known->brought =
          engine::ResolvedImage{stored->image_id, session_.store.chain(stored->snapshot)};
      return known;
    }
  }
  return from_registry(reference, platform);
}

std::shared_ptr<Bases::Known> Bases::find(const std::string& reference,
                                          const oci::Platform& platform) {
  const std::string key = reference + " " + platform.to_string();
  const std::lock_guard lock(mutex_);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  std::shared_ptr<Known> known = look_up(reference, platform);
  known_[known->reference + " " + platform.to_string()] = known;
  return known_[key] = known;
}

dockerfile::Base Bases::config_of(const dockerfile::BaseRequest& request) {
  const std::shared_ptr<Known> known = find(request.reference, request.platform);
  return {known->reference, known->image.config};
}

void Bases::bring(engine::Engine& engine, Known& known) {
  const std::lock_guard lock(known.bringing);
  if (known.brought) {
    if (!known.brought->layers.empty())
      engine.lease().protect_snapshot(known.brought->layers.front());
    return;
  }
  if (is_stack(known.reference)) {
    known.brought = stacks_.resolve(engine, graph::ImageOp{known.reference, {}});
    return;
  }
  image::ImportOptions options;
  options.cancel = &session_.cancel;
  const std::string shown = known.registry ? known.registry->familiar() : known.reference;
  options.on_progress = [this, shown](uint64_t done, uint64_t total) {
    session_.stream.emit(report::Progress{0, "unpacking " + shown, done, total, done == total});
  };
  cache::SnapshotId top = 0;
  if (known.file) {
    top = image::import_local(session_.store, engine.lease(), image_trees(engine), *known.file,
                              known.image, options);
  } else {
    // Layers of other images may be here already.
    std::vector<oci::Descriptor> missing;
    for (const image::Layer& layer : known.image.layers)
      if (!session_.store.has_blob(layer.blob.digest.substr(7))) missing.push_back(layer.blob);
    if (!missing.empty()) {
      fetch::PullRequest request;
      request.reference = *known.registry;
      request.blobs = missing;
      fetcher_.pull(request, [&](const oci::Descriptor& blob, Fd file) {
        image::keep_blob(session_.store, engine.lease(), blob, std::move(file));
      });
    }
    top = image::import_blobs(session_.store, engine.lease(), image_trees(engine), known.image,
                              options);
  }
  std::string identity = "image";
  for (const image::Layer& layer : known.image.layers) identity += " " + layer.diff_id;
  known.brought = engine::ResolvedImage{
      identity, top == 0 ? std::vector<cache::SnapshotId>{} : session_.store.chain(top)};
}

engine::ResolvedImage Bases::resolve(engine::Engine& engine, const graph::ImageOp& op) {
  const std::shared_ptr<Known> known =
      find(op.reference, oci::parse_platform(op.platform, oci::native_platform()));
  bring(engine, *known);
  return *known->brought;
}

image::Image Bases::image_of(engine::Engine& engine, const dockerfile::BaseRequest& base) {
  const std::shared_ptr<Known> known = find(base.reference, base.platform);
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
  known->image.layers =
      image::write_layers(session_.store, engine.lease(), image_trees(engine), inputs, options);
  for (const image::Layer& layer : known->image.layers)
    known->image.config.diff_ids.push_back(layer.diff_id);
  return known->image;
}

}  // namespace slipway::build
