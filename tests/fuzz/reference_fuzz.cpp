// links: oci
#include "oci/reference.h"
#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::usage, [](std::string_view text) {
    const oci::Reference reference = oci::parse_reference(text);
    // What was accepted can stand in a URL and as a path, and means itself in all its forms.
    demand(oci::is_domain(reference.domain) && oci::is_repository(reference.path));
    demand(reference.tag.empty() ? oci::is_digest(reference.digest) : oci::is_tag(reference.tag));
    demand(reference.digest.empty() || oci::is_digest(reference.digest));
    demand(oci::parse_reference(reference.canonical()) == reference);
    demand(oci::parse_reference(reference.familiar()) == reference);
  });
  return 0;
}
