// links: record
#include "record/message.h"

#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string url = "https://host/" + std::string(text);
  // What is kept leads to the same answer, and keeping is idempotent.
  const std::string kept = record::kept_location(url);
  demand(record::key_url(kept) == record::key_url(url));
  demand(record::kept_location(kept) == kept);
  (void)record::shown_url(url);
  record::Request request;
  request.method = "GET";
  request.headers = {{"range", std::string(text)},
                     {"if-none-match", std::string(text)},
                     {"if-modified-since", std::string(text)},
                     {"accept-encoding", std::string(text)}};
  const auto range = record::asked_range({}, request, 1000);
  if (range && range->satisfiable) demand(range->size > 0 && range->first + range->size <= 1000);
  (void)record::is_not_modified({{"etag", "\"x\""}}, request);
  (void)record::variant_text(std::string(text), request);
  return 0;
}
