// links: record
#include "record/dns.h"

#include "target.h"

using namespace slipway;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view query(reinterpret_cast<const char*>(data), size);
  const auto reply = record::answer_dns(query);
  if (!reply) return 0;
  // An answer to this query, no longer than what was asked and one record.
  demand(size >= 12 && reply->size() >= 12 && reply->size() <= size + 16);
  demand(reply->substr(0, 2) == query.substr(0, 2));
  demand((static_cast<uint8_t>((*reply)[2]) & 0x80) != 0);
  return 0;
}
