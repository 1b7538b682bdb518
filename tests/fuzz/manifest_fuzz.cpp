// links: oci
#include "oci/manifest.h"
#include "oci/reference.h"
#include "target.h"

using namespace slipway;

namespace {

void check(const oci::Descriptor& descriptor) {
  demand(oci::is_digest(descriptor.digest) && !descriptor.media_type.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::outside, [](std::string_view text) {
    const oci::Document document = oci::parse_document(text);
    demand(document.manifest.has_value() != document.index.has_value());
    if (document.manifest) {
      check(document.manifest->config);
      for (const oci::Descriptor& layer : document.manifest->layers) check(layer);
      const std::string again = oci::serialize_manifest(*document.manifest);
      demand(oci::serialize_manifest(*oci::parse_document(again).manifest) == again);
    } else {
      for (const oci::Descriptor& entry : document.index->manifests) check(entry);
      const std::string again = oci::serialize_index(*document.index);
      demand(oci::serialize_index(*oci::parse_document(again).index) == again);
    }
  });
  return 0;
}
