// links: source
// The first line is a path, the rest the file: so that patterns meet names they nearly match.
#include "source/dockerignore.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string path(text.substr(0, end));
    const auto rules =
        source::PathPatterns::parse(text.substr(std::min(end + 1, text.size())), ".dockerignore");
    const bool hidden = rules.hides(path);
    demand(!rules.hides(""));
    demand(!rules.empty() || !hidden);
    for (const char* below : {"/a", "/b/c"}) {
      if (path.empty()) continue;
      const bool child = rules.hides(path + below);
      if (hidden && !rules.has_exceptions()) demand(child);
      if (rules.may_skip_directory(path)) demand(hidden && child);
    }
  });
  return 0;
}
