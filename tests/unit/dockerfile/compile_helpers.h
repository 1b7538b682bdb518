// What the tests of the compiler share: a compilation whose bases are there, and views of what came
// out of it.
#pragma once

#include <functional>

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/compile.h"
#include "source/public_names.h"

namespace compiling {

using namespace slipway;
using namespace slipway::dockerfile;

/// "debian:12" as it is asked for.
inline std::string hub(const std::string& rest) {
  const auto& images = source::public_names().images;
  return images.domain + "/" + images.ns + "/" + rest;
}

inline oci::ImageConfig base_config() {
  oci::ImageConfig config;
  config.platform = {"linux", "amd64", "", ""};
  config.created = "2020-01-01T00:00:00Z";
  config.config.env = {{"PATH", "/base/bin"}};
  config.diff_ids = {"sha256:" + std::string(64, 'a')};
  config.history = {{"2020-01-01T00:00:00Z", "ADD rootfs", "", "", false}};
  return config;
}

/// Options with a context and configs for the images that are asked for; `images` by canonical
/// reference, all others have base_config().
struct Given {
  Options options;
  std::map<std::string, oci::ImageConfig> images;
  std::vector<std::string> asked;  ///< "reference platform", in order

  Given() {
    options.build_platform = {"linux", "amd64", "", ""};
    options.context = graph::Node::make(graph::LocalOp{.name = "context"});
  }
  Compiled compile(const std::string& text) {
    const Dockerfile file = parse(text, "Dockerfile");
    for (int round = 0; round < 10; ++round) {
      auto result = dockerfile::compile(file, options);
      if (Compiled* compiled = std::get_if<Compiled>(&result)) return std::move(*compiled);
      for (const BaseRequest& request : std::get<Missing>(result).bases) {
        asked.push_back(request.reference + " " + request.platform.to_string());
        const auto known = images.find(request.reference);
        oci::ImageConfig config = known == images.end() ? base_config() : known->second;
        if (known == images.end()) config.platform = request.platform;
        options.bases[request] = {request.reference + "@sha256:" + std::string(64, 'd'), config};
      }
    }
    throw std::logic_error("bases are missing for ever");
  }
};

inline Compiled compiled(const std::string& text) {
  return Given().compile(text);
}

/// "code | file:line:column: cause | hint without the excerpt".
inline std::string refusal(const std::string& text, Given given = {}) {
  try {
    given.compile(text);
  } catch (const Error& error) {
    std::string result = fmt::format("{} | {}", static_cast<int>(error.code()), error.what());
    // The excerpt starts on a line of its own; without a suggestion a line number stands for it.
    const std::string hint = error.hint().substr(0, error.hint().find('\n'));
    const bool said = !hint.empty() && !(hint.starts_with("line ") && hint.ends_with(" is this:"));
    return said ? result + " | " + hint : result;
  }
  return "no error";
}

inline std::vector<std::string> history(const Compiled& compiled) {
  std::vector<std::string> texts;
  for (const oci::History& entry : compiled.config.history) texts.push_back(entry.created_by);
  return texts;
}

inline const graph::ExecOp& exec(const graph::NodeRef& node) {
  REQUIRE(node);
  REQUIRE(std::holds_alternative<graph::ExecOp>(node->op()));
  return std::get<graph::ExecOp>(node->op());
}
inline const graph::FileOp& files(const graph::NodeRef& node) {
  REQUIRE(node);
  REQUIRE(std::holds_alternative<graph::FileOp>(node->op()));
  return std::get<graph::FileOp>(node->op());
}
inline const graph::FileAction& action(const graph::NodeRef& node, size_t index = 0) {
  REQUIRE(files(node).actions.size() > index);
  return files(node).actions[index];
}

inline std::string env(const graph::ExecOp& op) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : op.env) parts.push_back(name + "=" + value);
  return join(parts, " ");
}

/// "Rule@line: text" of each finding.
inline std::vector<std::string> findings(const Compiled& compiled) {
  std::vector<std::string> told;
  for (const Finding& finding : compiled.findings)
    told.push_back(fmt::format("{}@{}: {}", finding.rule, finding.lines.first, finding.text));
  return told;
}

inline std::vector<std::string> titles(const Compiled& compiled) {
  std::vector<std::string> told;
  for (const Step& step : compiled.steps) told.push_back(step.title);
  return told;
}

using Texts = std::vector<std::string>;

}  // namespace compiling
