// The classic buildpack contract (heroku.md §3, §4) as a graph: detect, compile, release and report
// of ordered packs in one workspace. Pure: nothing here reads a file.
//
// Where things lie in a step: BUILD_DIR /tmp/build_<8 hex of the app's name>, CACHE_DIR
// /tmp/codon/tmp/cache, the packs' private copies /tmp/codon/tmp/buildpacks/<NN-name>, ENV_DIR
// /tmp/codon/tmp/env (a mount that never touches the disk), HOME /app (empty, writable).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "graph/op.h"

namespace slipway::buildpack {

/// One pack of the list, in order.
struct Unit {
  std::string folder;                  ///< "01-elixir": see unit_folder()
  std::string display;                 ///< as the transcript names it
  graph::NodeRef source;               ///< its tree, placed by unit_prefix()
  std::vector<graph::NodeRef> extras;  ///< further layers of it (built-in packs' shared lib)
};

struct PipelineSpec {
  graph::NodeRef root;    ///< build variant of the stack
  graph::NodeRef source;  ///< the app, placed at build_prefix()
  std::vector<Unit> units;
  std::string build_hex;
  std::string stack;           ///< STACK
  std::string source_version;  ///< SOURCE_VERSION
  std::string request_id;      ///< REQUEST_ID
  std::vector<std::string> config_names;
  std::string cache_id;
  graph::Owner owner{1000, 1000};
  graph::Network network = graph::Network::open;
  std::optional<std::chrono::milliseconds> timeout;
  bool ignore_cache = false;
};

struct Pipeline {
  struct Steps {
    graph::NodeRef detect, compile;
  };
  graph::NodeRef workspace;
  std::vector<Steps> steps;
  graph::NodeRef release;  ///< of the last pack
  graph::NodeRef seal;     ///< BUILD_DIR as it is after release
};

/// CACHE_DIR inside a workspace.
inline constexpr const char* cache_folder = "tmp/codon/tmp/cache";
std::string build_prefix(const std::string& build_hex);  ///< "tmp/build_<hex>"
/// "01-elixir": order and a name reduced to what scripts may hold unquoted (CMP-1).
std::string unit_folder(size_t index, const std::string& display);
std::string unit_prefix(const std::string& folder);

Pipeline make_pipeline(const PipelineSpec& spec);

/// The workspace alone with one detect per unit, for auto-detection: nothing is compiled.
Pipeline make_detection(const PipelineSpec& spec);

/// bin/report of one unit, to be run beside the graph on `workspace` (REP-1).
graph::ExecOp report_command(const PipelineSpec& spec, size_t unit);

/// The bash text a compile runs under: sources the earlier packs' export files at top level
/// (EXP-3), changes into the pack (CMP-3) and becomes its bin/compile.
std::string compile_script(const PipelineSpec& spec, size_t unit);

}  // namespace slipway::buildpack
