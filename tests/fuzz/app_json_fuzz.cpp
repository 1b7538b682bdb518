// links: source
#include "source/app_json.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const source::AppJson app = source::parse_app_json(text);
    if (app.buildpacks)
      for (const source::AppBuildpack& pack : *app.buildpacks)
        demand(!pack.url.empty() && pack.pos.line > 0 && pack.pos.column > 0);
    app.for_environment("test");
  });
  return 0;
}
