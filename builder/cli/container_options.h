// The flags of `docker build` and `docker buildx build`: those that mean the same here, and those
// that are refused by name with what to use instead.
#pragma once

#include "build/request.h"
#include "cli/command.h"

namespace slipway::cli {

struct ContainerFlags {
  std::string file, target;
  std::vector<std::string> build_args, contexts, labels, annotations, secrets, ssh, platforms;
  std::vector<std::string> no_cache_filter, allow, add_hosts, ulimits, outputs, tags;
  std::string shm_size, compression = "gzip";
  bool pull = false, push = false, load = false, quiet = false, literal_config = false;
  bool rebuild_on_secret_change = false;
  bool host_ca = false;
  std::string oci, oci_archive, docker_archive, dir, iidfile;

  void declare(CLI::App& command);
  /// Fills the container part of the request. Secrets are read here: from files and the
  /// environment of the caller. Throws Error(usage).
  void apply(build::BuildRequest& request) const;
};

}  // namespace slipway::cli
