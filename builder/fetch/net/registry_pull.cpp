// resolve and pull.
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "fetch/wire.h"
#include "netfetch/registry.h"
#include "netfetch/registry_source.h"

namespace slipway::netfetch {
namespace {

// An index of indexes of indexes is somebody's joke.
constexpr int nesting_max = 4;

void hand_over(int channel, const char* kind, const Document& document) {
  const Fd memory(memfd_create("slipway-document", MFD_CLOEXEC));
  if (!memory) fail_errno("memfd_create");
  write_all(memory.get(), document.bytes);
  if (lseek(memory.get(), 0, SEEK_SET) != 0) fail_errno("rewind a document");
  send_message(channel,
               dump_json({{"document", kind}, {"descriptor", fetch::to_wire(document.descriptor)}}),
               {memory.get()});
}

oci::Platform platform_from_wire(const Json& json) {
  return {json.at("os"), json.at("architecture"), json.at("variant"), json.at("os_version")};
}

/// From what the reference names to the platform's manifest and its config.
void descend(Source& source, Connection& connection, Document document, const oci::Platform& wanted,
             int channel) {
  oci::Document parsed = oci::parse_document(document.bytes, document.descriptor.media_type);
  for (int depth = 0; parsed.index; ++depth) {
    if (depth == nesting_max)
      fail(ExitCode::outside, "its indexes are nested deeper than {} levels", nesting_max);
    if (depth == 0) hand_over(channel, "index", document);
    const oci::Descriptor* entry = oci::pick_platform(*parsed.index, wanted);
    if (entry == nullptr) {
      const std::string offered = oci::platforms_text(*parsed.index);
      throw Error(ExitCode::outside,
                  fmt::format("there is no image for {} inside (there is {})", wanted.to_string(),
                              offered.empty() ? "none" : offered))
          .set_hint("--platform takes another one");
    }
    const oci::Descriptor chosen = *entry;
    document = source.document(connection, chosen.digest, &chosen);
    parsed = oci::parse_document(document.bytes, document.descriptor.media_type);
  }
  const oci::Descriptor& config = parsed.manifest->config;
  if (!oci::is_image_config_type(config.media_type))
    fail(ExitCode::outside, "it is no container image: its config is of the type '{}'",
         printable(config.media_type));
  hand_over(channel, "manifest", document);
  hand_over(channel, "config", source.small_blob(connection, config, fetch::config_bytes_max));
}

}  // namespace

Json resolve_image(Work& work, const Json& request, int channel) {
  const oci::Reference reference = fetch::reference_from_wire(request.at("reference"));
  const auto known = request.at("known").get<std::set<std::string>>();
  const std::string name = reference.digest.empty() ? reference.tag : reference.digest;
  Connection connection(&work.stopped());
  Source source(work, reference);
  if (!known.empty()) {
    const auto top = source.look_up(connection, name);
    if (top && known.contains(top->digest))
      return {{"top", fetch::to_wire(*top)}, {"unchanged", true}};
  }
  Document document = source.document(connection, name);
  const Json result = {{"top", fetch::to_wire(document.descriptor)}, {"unchanged", false}};
  if (!request.at("platform").is_null()) {
    descend(source, connection, std::move(document), platform_from_wire(request.at("platform")),
            channel);
  } else {
    const bool index = oci::is_index_type(document.descriptor.media_type);
    hand_over(channel, index ? "index" : "manifest", document);
  }
  return result;
}

Json pull_blobs(Work& work, const Json& request, int channel) {
  Source source(work, fetch::reference_from_wire(request.at("reference")));
  const std::string folder = request.at("folder");
  std::vector<oci::Descriptor> blobs;
  for (const Json& blob : request.at("blobs")) blobs.push_back(fetch::descriptor_from_wire(blob));
  for (const oci::Descriptor& blob : blobs)
    if (!oci::is_digest(blob.digest))
      fail(ExitCode::machine, "'{}' is not a digest", printable(blob.digest));
  std::mutex sending;
  run_parallel(work, blobs.size(), [&](size_t index, Connection& connection) {
    const Fd file = fetch::nameless_file(folder);
    source.blob(connection, blobs[index], file.get());
    if (lseek(file.get(), 0, SEEK_SET) != 0) fail_errno("rewind a download");
    const std::lock_guard lock(sending);
    send_message(channel, dump_json({{"blob", index}}), {file.get()});
  });
  return Json::object();
}

}  // namespace slipway::netfetch
