// links: source
// The first line is a path, the rest the file: so that patterns meet names they nearly match.
#include "source/slugignore.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    const size_t end = text.find('\n');
    const std::string_view path = text.substr(0, end);
    const source::SlugIgnore rules(end == text.npos ? "" : text.substr(end + 1));
    const bool entry = rules.matches_entry(path, false);
    demand(!entry || rules.matches(path, false));
    demand(!rules.matches("", true));
    demand(rules.matches(std::string(path) + "/.git", true));
  });
  return 0;
}
