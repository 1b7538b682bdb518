// What one build is asked for and what it gives. Filled once by the command layer from flags,
// environment and files; nothing below reads the environment.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "archive/codec.h"
#include "base/cancel.h"
#include "build/strategy.h"
#include "cache/store.h"
#include "fetch/registry.h"
#include "graph/op.h"
#include "oci/platform.h"
#include "report/event.h"
#include "sandbox/worker.h"
#include "slug/slug.h"

namespace slipway::build {

namespace fs = std::filesystem;

/// What all commands share: one store, one event stream, one way to stop.
struct Session {
  cache::Store& store;
  report::Stream& stream;
  Cancel& cancel;
  fetch::RegistrySettings registries = {};
};

/// The stack setting that means images instead of slugs.
inline constexpr const char* container_stack = "container";

/// --secret: where a step's secret comes from; read when the build starts.
struct SecretSource {
  std::string id;
  std::string value;
};

/// --cache-from, --cache-to: a cache of results elsewhere.
struct CachePlace {
  enum class Kind : uint8_t { registry, local } kind = Kind::registry;
  std::string where;           ///< reference, or an absolute folder
  std::string tag = "latest";  ///< of a folder's caches
  std::string digest;          ///< of one of them, instead of its tag; reading only
  std::string scope;           ///< must be the same for who writes and who reads
  /// Writing: the layers of all steps (mode=max), not of the image's own alone.
  bool max = false;
  bool ignore_error = false;  ///< writing: a failure is a warning
  archive::Codec codec = archive::Codec::gzip;
  /// For people, and the mark of what came from it.
  std::string name() const;
};

/// What only Dockerfile and heroku.yml builds take.
struct ContainerOptions {
  /// The first flag given that means a Dockerfile build; empty = none.
  std::string deciding_flag;
  std::string file;    ///< -f, relative to the caller; empty = Dockerfile; "-" = stdin
  std::string target;  ///< --target
  std::map<std::string, std::string> build_args;
  std::map<std::string, std::string> contexts;  ///< --build-context NAME=VALUE
  std::map<std::string, std::string> labels;
  std::vector<SecretSource> secrets;
  std::map<std::string, std::string> ssh_agents;  ///< id → socket
  std::vector<oci::Platform> platforms;           ///< empty = this machine's
  std::set<std::string> no_cache_stages;
  bool allow_host_network = false, allow_insecure = false;
  std::vector<std::pair<std::string, std::string>> extra_hosts;
  std::vector<graph::Ulimit> ulimits;
  uint64_t shm_size_bytes = 0;
  bool pull = false;            ///< ask registries again for every base
  bool literal_config = false;  ///< "$NAME" in heroku.yml's build.config stays as it is
};

/// Where images go; several may be given. None: the image stays in the store.
struct ImageOutputs {
  std::optional<fs::path> oci, oci_archive, docker_archive, dir;
  std::vector<std::string> tags;
  bool push = false, load = false;
  std::string engine_socket;  ///< of --load: a path
  std::optional<fs::path> iidfile;
  archive::Codec codec = archive::Codec::gzip_quick;
  std::map<std::string, std::string> annotations;
  bool print_id = false;  ///< -q
  bool any() const { return oci || oci_archive || docker_archive || dir || push || load; }
  /// Whether images must be made at all: layers cost more than most steps.
  bool wanted() const { return any() || !tags.empty() || iidfile || print_id; }
};

struct BuildRequest {
  std::string source = ".";        ///< folder, tarball, git URL[#ref], bare repository[#ref]
  std::optional<std::string> app;  ///< --app
  std::vector<std::string> buildpacks;
  std::map<std::string, std::string> config;  ///< config vars, secret ones included
  std::set<std::string> secret_names;
  std::string stack;             ///< empty = app.json's if we have it, else debian-12
  std::string present;           ///< STACK value; empty = the stack's own
  std::optional<fs::path> slug;  ///< "-" = stdout
  std::optional<fs::path> metadata_file;
  graph::Network network = graph::Network::open;
  sandbox::Isolation isolation = sandbox::Isolation::oci;
  sandbox::Limits limits;
  std::chrono::milliseconds timeout = std::chrono::minutes(15);  ///< PIPE-2
  uint64_t max_size_bytes = 0;                                   ///< 0 = the platform's hard limit
  bool no_cache = false;
  bool explain = false;
  /// --debug: called when a step failed, while its filesystem is still there.
  std::function<void(sandbox::Worker&, const sandbox::ExecSpec&)> on_failed_step;
  std::optional<int64_t> source_date_epoch;
  int jobs = 0;
  Strategy strategy = Strategy::automatic;
  std::vector<CachePlace> cache_from, cache_to;
  ContainerOptions container;
  ImageOutputs images;
};

struct BuildOutcome {
  std::string build_id, app, app_id;
  slug::Manifest manifest;
  cache::Artifact artifact;
  cache::SnapshotId snapshot = 0;      ///< the finished BUILD_DIR
  std::vector<std::string> image_ids;  ///< "sha256:<hex>" of each image's config
  bool cached = false;                 ///< nothing had to run
  std::chrono::milliseconds duration{0};
};

/// Builds with buildpacks. Throws; a failed build changes no cache, no output file, no app.
/// What the app's own scripts said is on the stream already (Error::reported()).
BuildOutcome build_app(const Session& session, const BuildRequest& request);

/// How an app would be built, and why; runs detect scripts when no buildpacks are configured.
struct DetectOutcome {
  std::string app, strategy, stack, reason;
  struct Row {
    std::string buildpack;
    bool detected = false;
    std::string name;    ///< what detect printed
    std::string output;  ///< of a detect that declined
  };
  std::vector<Row> rows;  ///< buildpacks
  struct Image {
    std::string name;  ///< process type; empty for a Dockerfile of its own
    std::string dockerfile, target;
  };
  std::vector<Image> images;
  std::vector<std::string> notes;
};
DetectOutcome detect_app(const Session& session, const BuildRequest& request);

/// The graph as it would be solved, with keys and whether each is cached: `slipway plan`.
Json plan_app(const Session& session, const BuildRequest& request);

/// Whose CACHE_DIR a build uses. Rung none writes it as the caller, the others as mapped ids that
/// may not even read the caller's files: each has one of its own.
std::string app_cache_id(const std::string& app_id, sandbox::Isolation isolation);

}  // namespace slipway::build
