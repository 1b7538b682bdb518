// links: source
#include "source/heroku_yml.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const source::HerokuYml yml = source::parse_heroku_yml(text);
    demand(!yml.images.empty() && yml.processes.size() >= 1);
    for (const source::HerokuImage& image : yml.images)
      demand(!image.dockerfile.empty() && image.dockerfile[0] != '/' &&
             !image.dockerfile.starts_with("../") && image.pos.line > 0);
    for (const source::HerokuCommand& process : yml.processes) demand(!process.image.empty());
    if (yml.release) demand(!yml.release->image.empty() && !yml.release->command.empty());
  });
  return 0;
}
