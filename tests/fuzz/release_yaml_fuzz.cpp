// links: source
#include "source/release_yaml.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::build_failed, [](std::string_view text) {
    for (const auto& [name, command] : source::parse_release_yaml(text, "x").default_process_types)
      demand(source::is_process_type_name(name));
  });
  return 0;
}
