// One answer being brought from a server. Private to the library's files.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "record/library.h"

namespace slipway::record {

struct Library::Job {
  Request request;
  std::string step;
  Digest key;                            ///< of what will be recorded
  Digest identity;                       ///< of requests that the same transfer answers
  std::optional<cache::Download> known;  ///< recorded before
  uint64_t newest_id = 0;                ///< of what was recorded before; others may add to it
  std::shared_ptr<Answer> answer;
};

}  // namespace slipway::record
