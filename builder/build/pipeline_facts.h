// What a buildpack pipeline leaves besides its sealed result.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "source/procfile.h"

namespace slipway::build {

/// What the seal does not hold but slug, image and transcript need; kept beside it.
struct PipelineFacts {
  std::vector<std::string> detected;  ///< detect's words, by unit
  std::vector<Json> resolved;         ///< {"commit", "digest"} by unit
  source::ProcessTypes defaults;
  std::string procfile;
  std::map<std::string, std::string> writers;  ///< path → unit's display
  Json reports = Json::object();

  Json to_json() const {
    return {{"detected", detected}, {"resolved", resolved}, {"defaults", defaults},
            {"procfile", procfile}, {"writers", writers},   {"reports", reports}};
  }
  static PipelineFacts from_json(const Json& value) {
    PipelineFacts facts;
    facts.detected = value.at("detected").get<std::vector<std::string>>();
    facts.resolved = value.at("resolved").get<std::vector<Json>>();
    facts.defaults = value.at("defaults").get<source::ProcessTypes>();
    facts.procfile = value.at("procfile").get<std::string>();
    facts.writers = value.at("writers").get<std::map<std::string, std::string>>();
    facts.reports = value.at("reports");
    return facts;
  }
};

}  // namespace slipway::build
