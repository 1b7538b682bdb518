// links: source
#include "source/env_file.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    for (const source::EnvEntry& entry : source::parse_env_file(text, "env").entries) {
      demand(source::is_config_key(entry.key) && entry.pos.line > 0);
      if (entry.value) demand(entry.value->find('\n') == std::string::npos);
    }
  });
  expect_answer(data, size, ExitCode::usage,
                [](std::string_view text) { source::parse_env_flag(text); });
  return 0;
}
