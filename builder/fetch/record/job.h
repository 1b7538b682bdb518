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
  std::string key_text;
  Digest key;                            ///< of what will be recorded
  Digest identity;                       ///< of requests that the same transfer answers
  std::optional<cache::Download> known;  ///< recorded before
  uint64_t newest_id = 0;                ///< of what was recorded before; others may add to it
  int64_t started_s = 0;
  bool waited = false;  ///< for another process that had it
  std::shared_ptr<Answer> answer;

  /// Whether the answer was recorded, or found to be the same, since we began.
  bool is_new(const cache::Download& download) const {
    return download.id > newest_id ||
           std::max(download.recorded_s, download.checked_s) >= started_s;
  }
};

}  // namespace slipway::record
