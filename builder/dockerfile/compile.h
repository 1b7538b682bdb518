// From a parsed Dockerfile to the graph of one target and platform, and the image config that goes
// with it. Pure: what it must know of the outside (configs of base images, what named contexts are)
// is handed in; compile() says what is missing and is called again (dockerfile.md §2, §3, §6).
#pragma once

#include <cstdint>
#include <functional>
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
  /// Others that run here through emulation: an implicit base of one of them is adopted (F5).
  std::vector<oci::Platform> emulated_platforms;
  std::optional<oci::Platform> platform;  ///< --platform; absent = implicit (F5)
  /// Several platforms are built: titles begin with this one (S7).
  bool several_platforms = false;
  /// Key: the name, or "name::os/arch", which is tried first (S3).
  std::map<std::string, NamedContext> contexts;
  /// The main context: what COPY reads. A git or HTTP context is a node of its own. Null = none
  /// (the Dockerfile came from stdin): what would read it is an error.
  graph::NodeRef context;
  std::map<BaseRequest, Base> bases;  ///< known so far
  std::map<std::string, std::string> labels;
  bool no_cache = false;
  std::set<std::string> no_cache_stages;  ///< in any case
  bool allow_host_network = false, allow_insecure = false;
  graph::Network network = graph::Network::open;  ///< --network of the command line
  std::vector<std::pair<std::string, std::string>> extra_hosts;
  std::vector<graph::Ulimit> ulimits;
  uint64_t shm_size_bytes = 0;
  /// Counts as a build arg SOURCE_DATE_EPOCH that was not given.
  std::optional<int64_t> source_date_epoch;
  /// Build args whose values are hidden in history and titles: name → what is shown instead.
  std::map<std::string, std::string> hidden_args;
  /// Paths of the main context that its ignore file hides, for CopyIgnoredFile. Not set when there
  /// is no such file or when it has a "!" (§5).
  std::function<bool(const std::string& path)> ignored;
  /// A check without a build: unreachable stages are examined too (L1).
  bool all_stages = false;
};

/// One step of the target, in file order, for progress and errors.
struct Step {
  graph::NodeRef node;
  std::string title;
  Lines lines;
};

struct Compiled {
  /// Null = nothing is on top of nothing (FROM scratch and metadata alone).
  graph::NodeRef root;
  /// Steps that end in a layer, lowest first: one layer each, over the base's own.
  std::vector<graph::NodeRef> layers;
  std::optional<BaseRequest> base;  ///< the image the target stands on in the end
  /// History complete; diff_ids are the base's, those of `layers` and times are still missing (all
  /// are set with an epoch).
  oci::ImageConfig config;
  std::vector<Step> steps;  ///< all reachable, inputs first
  std::vector<Finding> findings;
  std::set<std::string> secrets, ssh_agents;  ///< ids that steps ask for
  std::set<std::string> unused_build_args;    ///< given, but nothing in the file declares them
  /// What COPY, ADD and mounts name in the main context, patterns as written from its root; "/" =
  /// everything (C23). Links may lead from them to elsewhere in the context.
  std::set<std::string> context_paths;
  /// Names of local contexts (NamedContext::value) that are read.
  std::set<std::string> local_contexts;
  std::optional<int64_t> source_date_epoch;  ///< what counts in the end (V25)
};
/// Configs of these bases are needed; without them nothing more can be said. May come again: a
/// base's ONBUILD can name others.
struct Missing {
  std::vector<BaseRequest> bases;
};

/// Throws Error(app_files) with position and excerpt; Error(usage) for an unknown target. Warnings
/// that "# check=error=true" turns into a failure are thrown when all else went well.
std::variant<Compiled, Missing> compile(const Dockerfile& file, const Options& options);

/// Names a person may pass as --target, with their comments: `--call=targets`.
struct Target {
  std::string name, description;
  bool is_default = false;
};
std::vector<Target> targets(const Dockerfile& file);

}  // namespace slipway::dockerfile
