// links: source
#include "source/buildpack_ref.h"
#include "source/buildpacks_file.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files,
                [](std::string_view text) { source::parse_buildpacks_file(text); });
  expect_answer(data, size, ExitCode::usage, [](std::string_view text) {
    using Kind = source::BuildpackRef::Kind;
    const source::BuildpackRef ref = source::parse_buildpack_ref(text, {"nodejs"});
    demand(!ref.display().empty());
    demand(ref.url.find('\n') == ref.url.npos);
    if (ref.kind == Kind::git) demand(!ref.url.starts_with('-') && !ref.ref.starts_with('-'));
    if (ref.kind == Kind::git || ref.kind == Kind::tarball || ref.kind == Kind::registry)
      demand(!ref.url.empty());
  });
  return 0;
}
