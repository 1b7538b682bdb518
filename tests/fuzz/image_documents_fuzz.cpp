// links: image
// Documents that come with an image: docker-archive's manifest.json, a layout's index.json (with
// the other documents in the input as blobs), kept listings and digest states. The first byte
// chooses.
#include "archive/layer_listing.h"
#include "base/error.h"
#include "base/json.h"
#include "image/docker_archive.h"
#include "image/hash_states.h"
#include "image/layout.h"
#include "image/layout_reader.h"
#include "target.h"

using namespace slipway;

namespace {

void read_layout(std::string_view text) {
  const auto read = [&](const std::string& name) -> std::string {
    if (name == image::index_file) return std::string(text);
    // Blobs hold the same text again: an index in itself must come to an end.
    demand(name.size() == std::string_view(image::blobs_folder).size() + 65);
    return std::string(text);
  };
  (void)image::find_in_layout(read, "", oci::Platform{});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t kind = data[0];
  const auto* text = data + 1;
  switch (kind) {
    case 'd':
      expect_answer(text, size - 1, ExitCode::outside, [](std::string_view json) {
        for (const image::DockerEntry& entry : image::parse_docker_manifest(json))
          demand(entry.layers.size() <= 10'000);
      });
      break;
    case 'l':
      expect_answer(text, size - 1, ExitCode::outside,
                    [](std::string_view json) { read_layout(json); });
      break;
    case 'i':
      // What an existing layout says is kept; what comes out is an index again.
      expect_answer(text, size - 1, ExitCode::machine, [](std::string_view json) {
        if (json.empty()) return;
        demand(oci::parse_document(image::layout_index(std::vector<image::Named>(), {}, json))
                   .index.has_value());
      });
      break;
    case 'h':
      expect_answer(text, size - 1, ExitCode::machine, [](std::string_view json) {
        (void)image::states_from_json(
            parse_json(json, "states", static_cast<int>(ExitCode::machine)));
      });
      break;
    default:
      expect_answer(data, size, ExitCode::machine, [](std::string_view bytes) {
        const archive::LayerListing listing = archive::parse_listing(bytes);
        demand(archive::parse_listing(archive::serialize_listing(listing)).entries ==
               listing.entries);
      });
  }
  return 0;
}
