// A stack from an OCI image layout on disk: index → manifest → layers, each blob verified.
#include "base/files.h"
#include "base/text.h"
#include "stack/stacks.h"

namespace slipway::stack {
namespace {

constexpr size_t document_max = 4 << 20;

std::string blob_path(const std::string& folder, const std::string& digest) {
  // The digest becomes a path: only this exact form may (threat 19).
  const bool good = starts_with(digest, "sha256:") && digest.size() == 71 &&
                    digest.find_first_not_of("0123456789abcdef", 7) == std::string::npos;
  if (!good) fail(ExitCode::outside, "'{}' is not a digest", printable(digest.substr(0, 100)));
  return folder + "/blobs/sha256/" + digest.substr(7);
}

Json document(const std::string& folder, const Json& descriptor) {
  const std::string digest = descriptor.at("digest").get<std::string>();
  const std::string text = read_file(blob_path(folder, digest), document_max);
  if ("sha256:" + sha256_hex(text) != digest)
    fail(ExitCode::outside, "blob {} does not have its digest", digest);
  return parse_json(text, digest, static_cast<int>(ExitCode::outside));
}

bool is_index(const Json& json) {
  const bool index = json.contains("manifests");
  // Threat 19: a document that is both would mean different things to different readers.
  if (index && (json.contains("layers") || json.contains("config")))
    fail(ExitCode::outside, "a document is both an index and a manifest");
  return index;
}

Json pick_manifest(const std::string& folder, const Json& index, int depth) {
  if (depth > 4) fail(ExitCode::outside, "indexes nested too deep");
  for (const Json& descriptor : index.at("manifests")) {
    if (descriptor.contains("platform") &&
        (descriptor["platform"].value("os", "") != "linux" ||
         descriptor["platform"].value("architecture", "") != "amd64"))
      continue;
    const Json found = document(folder, descriptor);
    return is_index(found) ? pick_manifest(folder, found, depth + 1) : found;
  }
  fail(ExitCode::outside, "no image for linux/amd64 inside");
}

void verify_blob(int fd, const std::string& digest) {
  Sha256 hasher;
  std::vector<char> buffer(1 << 17);
  while (const size_t count = read_some(fd, buffer.data(), buffer.size()))
    hasher.update(buffer.data(), count);
  if ("sha256:" + hasher.finish_hex() != digest)
    fail(ExitCode::outside, "layer {} does not have its digest", digest);
  if (lseek(fd, 0, SEEK_SET) != 0) fail_errno("seek");
}

}  // namespace

cache::SnapshotId unpack_layout(engine::Engine& engine, const std::string& folder,
                                std::string& identity) {
  try {
    const auto index_text = read_file_if_exists(folder + "/index.json", document_max);
    if (!index_text) fail(ExitCode::outside, "there is no OCI layout here (index.json is missing)");
    const Json manifest = pick_manifest(
        folder, parse_json(*index_text, "index.json", static_cast<int>(ExitCode::outside)), 0);
    cache::Store& store = *engine.options().store;
    KeyBuilder key("image");
    cache::SnapshotId top = 0;
    for (const Json& layer : manifest.at("layers")) {
      const std::string digest = layer.at("digest").get<std::string>();
      const Fd blob = open_file(blob_path(folder, digest), O_RDONLY | O_NOFOLLOW);
      verify_blob(blob.get(), digest);
      cache::Snapshot snapshot;
      snapshot.id = store.allocate_snapshot(engine.lease());
      snapshot.parent = top;
      snapshot.kind = "stack";
      sandbox::UnpackOptions unpacking;
      unpacking.whiteouts = true;
      const archive::Tree tree = engine.worker().unpack(snapshot.id, blob.get(), unpacking);
      snapshot.size_bytes = tree.total_size();
      snapshot.files = tree.entries.size();
      store.commit_snapshot(snapshot);
      top = snapshot.id;
      key.add("layer", digest);
    }
    if (top == 0) fail(ExitCode::outside, "the image has no layers");
    identity = key.finish().hex();
    return top;
  } catch (Error& error) {
    throw error.add_context("reading the image in " + folder);
  } catch (const Json::exception& problem) {
    throw Error(ExitCode::outside, fmt::format("malformed image document: {}", problem.what()))
        .add_context("reading the image in " + folder);
  }
}

}  // namespace slipway::stack
