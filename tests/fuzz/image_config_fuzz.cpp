// links: oci
#include "oci/image_config.h"
#include "target.h"

using namespace slipway;

// What can be read can be written, and reads back as the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::outside, [](std::string_view text) {
    oci::ImageConfig config = oci::parse_image_config(text);
    oci::repair_history(config);
    size_t layers = 0;
    for (const oci::History& entry : config.history) layers += entry.empty_layer ? 0 : 1;
    demand(layers == config.diff_ids.size());
    const std::string written = oci::serialize_image_config(config);
    demand(oci::serialize_image_config(oci::parse_image_config(written)) == written);
  });
  return 0;
}
