// links: image
// The config of a remote cache: whatever is accepted leads to layers that are there, and comes out
// again as it went in. The first byte is how many layers the manifest has.
#include "base/error.h"
#include "image/cache_document.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t layers = data[0] % 8;
  expect_answer(data + 1, size - 1, ExitCode::outside, [&](std::string_view text) {
    const image::CacheDocument document = image::parse_cache_document(text, layers);
    for (const image::CacheDocument::Result& result : document.results)
      if (result.chain)
        for (const size_t layer : document.layers_of(*result.chain)) demand(layer < layers);
    demand(image::parse_cache_document(image::serialize_cache_document(document), layers) ==
           document);
  });
  return 0;
}
