#include "build/image_outputs.h"

#include <set>

#include "base/files.h"
#include "base/text.h"
#include "build/image_load.h"
#include "build/image_trees.h"
#include "image/blobs.h"
#include "image/export_dir.h"
#include "image/import.h"
#include "image/names.h"
#include "oci/reference.h"
#include "sandbox/ids.h"

namespace slipway::build {
namespace {

/// Canonical names of one image. Without -t an image of heroku.yml is still told apart by name.
std::vector<std::string> names_of(const BuiltImage& image, const BuildRequest& request,
                                  const Project& project) {
  std::vector<std::string> tags = request.images.tags;
  if (tags.empty() && !image.process_type.empty()) tags.push_back(project.app);
  std::vector<std::string> names;
  for (const std::string& tag : tags) {
    const oci::Reference reference =
        oci::parse_reference(name_for_process(tag, image.process_type));
    if (!reference.digest.empty())
      throw Error(ExitCode::usage,
                  fmt::format("-t {}: a name cannot have a digest", printable(tag)))
          .set_hint("the digest is known when the image is built; see --metadata-file");
    names.push_back(reference.canonical());
  }
  return names;
}

/// Layers come from the store; a registry that has them is not sent them.
void push(const Session& session, engine::Engine& engine, const image::Named& named) {
  const image::Assembled assembled = image::assemble(named);
  for (const std::string& name : named.names) {
    fetch::PushRequest request;
    request.reference = oci::parse_reference(name);
    for (const auto& platform : assembled.platforms) {
      for (const image::Layer& layer : platform.layers) {
        fetch::PushBlob blob;
        blob.descriptor = layer.blob;
        blob.write = [&session, &engine, &layer](int out) {
          image::write_layer(session.store, engine.lease(), layer, out);
        };
        request.blobs.push_back(std::move(blob));
      }
      fetch::PushBlob config;
      config.descriptor = platform.config.descriptor;
      config.write = [&platform](int out) { write_all(out, platform.config.bytes); };
      request.blobs.push_back(std::move(config));
      request.documents.push_back(
          {platform.manifest.descriptor.media_type, platform.manifest.bytes});
    }
    if (assembled.index)
      request.documents.push_back({assembled.index->descriptor.media_type, assembled.index->bytes});
    const fetch::PushResult result = make_fetcher(session).push(request);
    session.stream.detail(fmt::format(
        "pushed {} ({}, {} of {} layers were there)", request.reference.familiar(), result.digest,
        result.present + result.mounted, result.present + result.mounted + result.uploaded));
  }
}

/// One image and platform: its files; several: a folder for each.
void write_dir(const Session& session, engine::Engine& engine, const BuildRequest& request,
               const image::ExportContext& context, const std::vector<BuiltImage>& images) {
  std::vector<image::DirTree> content;
  const image::Trees trees = image_trees(session.store, engine);
  const auto warn = [&session](const std::string& text) { session.stream.warning(text); };
  for (const BuiltImage& image : images)
    for (size_t i = 0; i < image.snapshots.size(); ++i) {
      image::DirTree tree;
      cache::SnapshotId snapshot = image.snapshots[i];
      if (snapshot == 0 && !image.named.platforms.at(i).layers.empty())
        snapshot = image::unpack_image({session.store, engine.lease(), trees, session.cancel, warn,
                                        [](uint64_t, uint64_t) {}},
                                       image.named.platforms[i])
                       .snapshot;
      if (snapshot != 0) tree.stack = session.store.chain(snapshot);
      tree.folder = image.process_type;
      if (image.snapshots.size() > 1) {
        if (!tree.folder.empty()) tree.folder += "_";
        tree.folder += image::platform_folder(image.named.platforms.at(i).config.platform);
      }
      content.push_back(std::move(tree));
    }
  image::DirOptions options;
  options.clamp_time = request.source_date_epoch;
  options.on_warning = warn;
  image::export_dir(context, trees, *request.images.dir, content, options);
}

/// `name` is what the image can be run by.
std::string next_command_for(const BuildRequest& request, const image::Image& image,
                             const std::string& name) {
  const ImageOutputs& outputs = request.images;
  if (outputs.docker_archive && *outputs.docker_archive != "-")
    return "docker load -i " + shell_quote(outputs.docker_archive->string());
  if (outputs.push || outputs.load) {
    std::string command = "docker run --rm ";
    for (const std::string& port : image.config.config.exposed_ports)
      if (ends_with(port, "/tcp")) {
        const std::string number = port.substr(0, port.size() - 4);
        command += fmt::format("-p {}:{} ", number, number);
      }
    return command + shell_quote(name);
  }
  if (outputs.oci) return "skopeo inspect oci:" + shell_quote(outputs.oci->string());
  return {};
}

}  // namespace

std::string name_for_process(const std::string& reference, const std::string& process_type) {
  if (process_type.empty()) return reference;
  // A colon behind the last slash begins the tag; one before it a port.
  const size_t slash = reference.rfind('/');
  const size_t colon = reference.find(':', slash == std::string::npos ? 0 : slash);
  const size_t end = std::min(colon, reference.size());
  return reference.substr(0, end) + "-" + process_type + reference.substr(end);
}

WrittenImages write_images(const Session& session, engine::Engine& engine,
                           const BuildRequest& request, const Project& project,
                           const Json& metadata, std::vector<BuiltImage>& images) {
  const ImageOutputs& outputs = request.images;
  std::vector<image::Named> named;
  for (BuiltImage& image : images) {
    image.named.names = names_of(image, request, project);
    image.named.annotations = outputs.annotations;
    named.push_back(image.named);
  }
  WrittenImages written;
  std::vector<image::Published> published;
  for (const image::Named& one : named) published.push_back(image::assemble(one).published);
  const image::ExportContext context{session.store, engine.lease(), session.cancel};
  if (outputs.oci) (void)image::export_oci_layout(context, *outputs.oci, named);
  if (outputs.oci_archive) (void)image::export_oci_archive(context, *outputs.oci_archive, named);
  if (outputs.docker_archive)
    (void)image::export_docker_archive(context, *outputs.docker_archive, named);
  if (outputs.dir) write_dir(session, engine, request, context, images);
  if (outputs.push)
    for (const image::Named& one : named) push(session, engine, one);
  if (outputs.load) load_images(session, context, outputs.engine_socket, named);

  std::set<std::string> counted;
  for (size_t i = 0; i < images.size(); ++i) {
    written.ids.push_back(published.at(i).config_digest);
    Json names = Json::array();
    for (const std::string& name : named[i].names)
      names.push_back(oci::parse_reference(name).familiar());
    Json about = {{"containerimage.digest", published[i].digest},
                  {"containerimage.config.digest", published[i].config_digest},
                  {"image.name", names}};
    if (!images[i].process_type.empty()) about["process_type"] = images[i].process_type;
    written.about.push_back(about);
    for (const image::Image& platform : named[i].platforms)
      for (const image::Layer& layer : platform.layers)
        if (counted.insert(layer.blob.digest).second) written.size_bytes += layer.blob.size_bytes;
  }
  // What has a name stays, and can be a base.
  for (size_t i = 0; i < images.size(); ++i)
    for (const std::string& name : named[i].names)
      for (size_t j = 0; j < named[i].platforms.size(); ++j)
        image::name_image(
            session.store, name,
            {named[i].platforms[j],
             "sha256:" + sha256_hex(oci::serialize_image_config(named[i].platforms[j].config)),
             images[i].snapshots.at(j), image_trees(session.store, engine).ids});
  if (outputs.iidfile) write_file_atomic(*outputs.iidfile, join(written.ids, "\n"));
  if (request.metadata_file) {
    // buildx's keys for one image; with several each stands in "images".
    Json json = metadata;
    if (written.about.size() == 1) json.update(written.about[0]);
    json["app"] = project.app;
    json["images"] = written.about;
    json["isolation"] = sandbox::isolation_name(request.isolation);
    write_file_atomic(*request.metadata_file, dump_json(json, 2) + "\n");
  }
  const std::string first = named[0].names.empty()
                                ? published[0].config_digest
                                : oci::parse_reference(named[0].names[0]).familiar();
  written.next_command = next_command_for(request, named[0].platforms[0], first);
  return written;
}

}  // namespace slipway::build
