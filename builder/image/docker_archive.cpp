#include "image/docker_archive.h"

#include <sys/stat.h>

#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "image/archive_files.h"
#include "image/import_layers.h"
#include "image/layers.h"

namespace slipway::image {
namespace {

constexpr size_t images_max = 1000;
constexpr size_t layers_max = 10'000;

[[noreturn]] void refuse(std::string_view what) {
  fail(ExitCode::outside, "manifest.json is not a docker-archive's: {}", what);
}

std::vector<std::string> texts_of(const Json& entry, const char* name, size_t count_max) {
  std::vector<std::string> texts;
  const auto found = entry.find(name);
  if (found == entry.end() || found->is_null()) return texts;
  if (!found->is_array() || found->size() > count_max)
    refuse(fmt::format("'{}' is not a list of texts", name));
  for (const Json& one : *found) {
    if (!one.is_string()) refuse(fmt::format("'{}' is not a list of texts", name));
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

std::string canonical(const std::string& reference) {
  try {
    return oci::parse_reference(reference).canonical();
  } catch (const Error&) {
    return {};
  }
}

std::string tags_of(const std::vector<DockerEntry>& entries) {
  std::vector<std::string> tags;
  for (size_t i = 0; i < entries.size(); ++i)
    tags.push_back(entries[i].tags.empty() ? fmt::format("@{}", i)
                                           : printable(entries[i].tags.front()));
  if (tags.size() > 10) tags.resize(10);
  return join(tags, ", ");
}

const DockerEntry& choose(const std::vector<DockerEntry>& entries, const std::string& wanted) {
  if (wanted.empty()) {
    if (entries.size() == 1) return entries.front();
    throw Error(ExitCode::outside, fmt::format("there are {} images", entries.size()))
        .set_hint("name one of them after the path and a ':': " + tags_of(entries));
  }
  const std::string full = canonical(wanted);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (wanted == fmt::format("@{}", i)) return entries[i];
    for (const std::string& tag : entries[i].tags)
      if (tag == wanted || (!full.empty() && canonical(tag) == full)) return entries[i];
  }
  throw Error(ExitCode::outside, fmt::format("there is no image '{}'", printable(wanted)))
      .set_hint("it has " + tags_of(entries));
}

archive::Codec codec_by_magic(std::string_view start) {
  if (start.substr(0, 2) == "\x1f\x8b") return archive::Codec::gzip;
  if (start.substr(0, 4) == "\x28\xb5\x2f\xfd") return archive::Codec::zstd;
  return archive::Codec::stored;
}

std::optional<oci::Descriptor> find_stored(const ImportContext& context,
                                           const std::string& digest) {
  const std::string hex = digest.substr(std::string_view("sha256:").size());
  context.lease.protect_blob(hex);
  if (!context.store.has_blob(hex)) return std::nullopt;
  const Fd file = context.store.open_blob(hex);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat blob {}", hex);
  char start[4] = {};
  const size_t count = read_some(file.get(), start, sizeof start);
  oci::Descriptor blob;
  blob.media_type = layer_media_type(codec_by_magic({start, count}), false);
  blob.digest = digest;
  blob.size_bytes = static_cast<uint64_t>(info.st_size);
  return blob;
}

// The digest that a member's name promises ("blobs/sha256/<hex>", "<hex>.json"); empty = none.
std::string digest_in_name(std::string_view name) {
  std::string_view last = name.substr(name.rfind('/') + 1);
  constexpr std::string_view suffix = ".json";
  if (ends_with(last, suffix)) last.remove_suffix(suffix.size());
  std::string digest = fmt::format("sha256:{}", last);
  return oci::is_digest(digest) ? digest : std::string();
}

/// Puts the layers into the store. What is there already is not read: a plain tar has its diff id
/// for a digest, others may have theirs in the name.
std::vector<oci::Descriptor> store_layers(const ImportContext& context, ArchiveFiles& files,
                                          const DockerEntry& entry,
                                          const std::vector<std::string>& diff_ids) {
  struct Writing {
    cache::BlobWriter writer;
    archive::Codec codec;
    uint64_t size = 0;
  };
  std::set<std::string> names;
  std::map<std::string, oci::Descriptor> found;
  for (size_t i = 0; i < entry.layers.size(); ++i) {
    const std::string& name = entry.layers[i];
    for (const std::string& digest : {diff_ids[i], digest_in_name(name)})
      if (!digest.empty() && !found.contains(name))
        if (auto blob = find_stored(context, digest)) found[name] = std::move(*blob);
    if (!found.contains(name)) names.insert(name);
  }
  for (const std::string& name : names)
    if (!files.has(name)) fail(ExitCode::outside, "the archive has no {}", printable(name));
  std::map<std::string, Writing> writing;
  const auto take = [&](const std::string& name, std::string_view piece) {
    context.cancel.check();
    auto at = writing.find(name);
    if (at == writing.end())
      at = writing.emplace(name, Writing{context.store.write_blob(), codec_by_magic(piece), 0})
               .first;
    Writing& one = at->second;
    if (!piece.empty()) {
      one.size += piece.size();
      one.writer.write(piece.data(), piece.size());
      return;
    }
    oci::Descriptor blob;
    blob.media_type = layer_media_type(one.codec, false);
    blob.size_bytes = one.size;
    const std::string promised = digest_in_name(name);
    blob.digest = "sha256:" + one.writer.commit(promised.empty() ? promised : promised.substr(7));
    found[name] = std::move(blob);
    writing.erase(at);
  };
  if (!names.empty()) files.stream(names, take);
  std::vector<oci::Descriptor> blobs;
  for (const std::string& name : entry.layers) {
    const auto at = found.find(name);
    if (at == found.end()) fail(ExitCode::outside, "the archive's {} is no file", printable(name));
    blobs.push_back(at->second);
  }
  return blobs;
}

}  // namespace

std::vector<DockerEntry> parse_docker_manifest(std::string_view json) {
  const Json list = parse_json(json, "manifest.json", static_cast<int>(ExitCode::outside));
  if (!list.is_array() || list.empty() || list.size() > images_max) refuse("it lists no images");
  std::vector<DockerEntry> entries;
  for (const Json& one : list) {
    if (!one.is_object()) refuse("an image is not an object");
    const auto config = one.find("Config");
    if (config == one.end() || !config->is_string()) refuse("an image has no config");
    DockerEntry entry;
    entry.config = config->get<std::string>();
    entry.tags = texts_of(one, "RepoTags", images_max);
    entry.layers = texts_of(one, "Layers", layers_max);
    entries.push_back(std::move(entry));
  }
  return entries;
}

Imported import_docker_archive(const ImportContext& context, const std::string& path,
                               const std::string& wanted) {
  ArchiveFiles files(path);
  const std::vector<DockerEntry> entries =
      parse_docker_manifest(files.read("manifest.json", oci::document_bytes_max));
  const DockerEntry& entry = choose(entries, wanted);
  Image image;
  image.config_bytes = files.read(entry.config, oci::document_bytes_max);
  const std::string config_digest = "sha256:" + sha256_hex(image.config_bytes);
  const std::string promised = digest_in_name(entry.config);
  if (!promised.empty() && promised != config_digest)
    fail(ExitCode::outside, "the config {} has another digest, {}", printable(entry.config),
         config_digest);
  image.config = oci::parse_image_config(image.config_bytes);
  if (image.config.diff_ids.size() != entry.layers.size())
    fail(ExitCode::outside, "manifest.json lists {} layers, the config {}", entry.layers.size(),
         image.config.diff_ids.size());
  const std::vector<oci::Descriptor> blobs =
      store_layers(context, files, entry, image.config.diff_ids);
  for (size_t i = 0; i < blobs.size(); ++i) {
    Layer layer;
    layer.diff_id = image.config.diff_ids[i];
    layer.blob = blobs[i];
    image.layers.push_back(std::move(layer));
  }
  Imported imported =
      import_layers(context, std::move(image), [](const oci::Descriptor& blob) -> Fd {
        fail(ExitCode::machine, "the store has lost {}", blob.digest);
      });
  imported.digest = config_digest;
  return imported;
}

}  // namespace slipway::image
