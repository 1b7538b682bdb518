// links: netfetch
#include "netfetch/challenge.h"

#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::outside, [](std::string_view text) {
    size_t values = 0;
    for (const netfetch::Challenge& challenge : netfetch::parse_challenges(text)) {
      demand(!challenge.scheme.empty());
      for (const auto& [name, value] : challenge.values) {
        demand(!name.empty());
        values += name.size() + value.size();
      }
    }
    demand(values <= text.size());
  });
  return 0;
}
