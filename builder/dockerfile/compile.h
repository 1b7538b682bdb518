// From a parsed Dockerfile to the graph of one target and platform, and the image config that goes
// with it. Pure: what it must know of the outside (configs of base images, what named contexts are)
// is handed in; compile() says what is missing and is called again (dockerfile.md §2, §3, §6).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "dockerfile/instruction.h"
#include "graph/op.h"
#include "oci/image_config.h"

namespace slipway::dockerfile {

/// --build-context NAME=VALUE (S3).
struct NamedContext {
  enum class Kind : uint8_t { local, image, git, http, oci_layout } kind = Kind::local;
  std::string value;  ///< the local's name in the graph, reference, URL, "oci:<dir>"
};

/// A base whose config compile() needs.
struct BaseRequest {
  std::string reference;  ///< as it will stand in the ImageOp
  oci::Platform platform;
  auto operator<=>(const BaseRequest& other) const {
    return std::pair(reference, platform.to_string()) <=>
           std::pair(other.reference, other.platform.to_string());
  }
  bool operator==(const BaseRequest& other) const = default;
};
struct Base {
  /// Pinned form for the ImageOp ("debian:12@sha256:…"); a stack or layout keeps its reference.
  std::string reference;
  oci::ImageConfig config;
};

struct Options {
  std::string target;  ///< --target; empty = last stage
  std::map<std::string, std::string> build_args;
  oci::Platform build_platform;
  std::optional<oci::Platform> platform;  ///< --platform; absent = implicit (F5)
  std::map<std::string, NamedContext> contexts;
  /// The main context: what COPY reads. A git or HTTP context is a node of its own.
  graph::NodeRef context;
  std::map<BaseRequest, Base> bases;  ///< known so far
  std::map<std::string, std::string> labels;
  bool no_cache = false;
  std::set<std::string> no_cache_stages;
  bool allow_host_network = false, allow_insecure = false;
  graph::Network network = graph::Network::open;  ///< --network of the command line
  std::vector<std::pair<std::string, std::string>> extra_hosts;
  std::vector<graph::Ulimit> ulimits;
  uint64_t shm_size_bytes = 0;
  std::optional<int64_t> source_date_epoch;
  /// Build args whose values are hidden in history and titles: name → what is shown instead.
  std::map<std::string, std::string> hidden_args;
  /// Paths of the main context that its ignore file hides: for CopyIgnoredFile and errors.
  std::function<bool(const std::string& path)> ignored;
};

/// One step of the target, in file order, for progress and errors.
struct Step {
  graph::NodeRef node;
  std::string title;
  Lines lines;
};

struct Compiled {
  graph::NodeRef root;  ///< null = an image without layers (FROM scratch and metadata)
  /// Steps that end in a layer, lowest first: one layer each, over the base's own.
  std::vector<graph::NodeRef> layers;
  std::optional<BaseRequest> base;  ///< the image the target stands on in the end
  oci::ImageConfig config;          ///< history complete; diff_ids and layer times still missing
  std::vector<Step> steps;          ///< all reachable, inputs first
  std::vector<Finding> findings;
  std::set<std::string> secrets, ssh_agents;  ///< ids that steps ask for
  std::set<std::string> unused_build_args;
};
struct Missing {
  std::vector<BaseRequest> bases;
};

/// Throws Error(app_files) with position and excerpt; Error(usage) for an unknown target.
std::variant<Compiled, Missing> compile(const Dockerfile& file, const Options& options);

/// Names a person may pass as --target, with their comments: `--call=targets`.
struct Target {
  std::string name, description;
  bool is_default = false;
};
std::vector<Target> targets(const Dockerfile& file);

}  // namespace slipway::dockerfile
