#include "buildpack/pipeline.h"

#include <fmt/format.h>

#include <numeric>

#include "base/text.h"

namespace slipway::buildpack {
namespace {

constexpr const char* packs_dir = "tmp/codon/tmp/buildpacks";
constexpr const char* env_dir = "/tmp/codon/tmp/env";
constexpr const char* log_file = "/tmp/codon/tmp/buildpack.log";
// heroku.md §0, normal push.
constexpr const char* base_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string build_dir(const PipelineSpec& spec) {
  return "/" + build_prefix(spec.build_hex);
}
std::string unit_dir(const PipelineSpec& spec, size_t unit) {
  return "/" + unit_prefix(spec.units.at(unit).folder);
}

std::vector<int> any_exit_code() {
  std::vector<int> codes(256);
  std::iota(codes.begin(), codes.end(), 0);
  return codes;
}

// FS-1: these and what bash adds itself (PWD, OLDPWD, SHLVL, _), nothing else.
std::vector<std::pair<std::string, std::string>> script_environment(const PipelineSpec& spec) {
  return {{"PATH", base_path},
          {"HOME", "/app"},
          {"STACK", spec.stack},
          {"SOURCE_VERSION", spec.source_version},
          {"REQUEST_ID", spec.request_id},
          {"DYNO", "build.1"},
          {"BUILDPACK_LOG_FILE", log_file}};
}

// Every script of a pack: input 0 is the root, input 1 the workspace's state.
graph::ExecOp script_step(const PipelineSpec& spec, const std::string& script,
                          std::vector<std::string> arguments) {
  graph::ExecOp op;
  // "$@" keeps the arguments apart from the text, whatever they hold (threat 23).
  op.argv = {"/bin/bash", "-c", script, "bash"};
  op.argv.insert(op.argv.end(), arguments.begin(), arguments.end());
  op.env = script_environment(spec);
  op.cwd = "/tmp";
  op.user = fmt::format("{}:{}", spec.owner.uid, spec.owner.gid);
  op.hostname = "build";
  op.network = spec.network;
  op.security = graph::Security::no_new_privileges;
  graph::Mount root;
  root.input = 0;
  root.dest = "/";
  root.readonly = true;
  op.mounts.push_back(root);
  for (const char* place : {"app", "tmp"}) {
    graph::Mount mount;
    mount.type = graph::MountType::workspace;
    mount.input = 1;
    mount.selector = place;
    mount.dest = std::string("/") + place;
    op.mounts.push_back(mount);
  }
  return op;
}

// cwd first, by absolute path (CMP-3). Not with `exec`: the first process of a pid namespace cannot
// kill itself and ignores signals it does not handle, and a script must die of `kill -9 $$`
// (CMP-4). The shell above the script would tell of such a death on stderr, which is the
// transcript.
std::string enter_and_run(const std::string& dir, const std::string& script) {
  return fmt::format("cd {} && exec 9>&2 2>/dev/null && {}/bin/{} \"$@\" 2>&9 9>&-; exit $?",
                     shell_quote(dir), shell_quote(dir), script);
}

graph::NodeRef detect_step(const PipelineSpec& spec, size_t unit, const graph::NodeRef& before) {
  graph::ExecOp op =
      script_step(spec, enter_and_run(unit_dir(spec, unit), "detect"), {build_dir(spec)});
  op.capture_stdout = op.capture_stdout_only = true;
  op.valid_exit_codes = any_exit_code();
  graph::Description description;
  description.title = "detect " + spec.units[unit].display;
  description.timeout = spec.timeout;
  description.ignore_cache = spec.ignore_cache;
  return graph::Node::make(op, {spec.root, before}, description);
}

graph::NodeRef compile_step(const PipelineSpec& spec, size_t unit, const graph::NodeRef& before) {
  graph::ExecOp op = script_step(spec, compile_script(spec, unit),
                                 {build_dir(spec), std::string("/") + cache_folder, env_dir});
  op.config_dir = env_dir;
  op.config_names = spec.config_names;
  graph::Description description;
  description.title = "compile " + spec.units[unit].display;
  description.timeout = spec.timeout;
  description.ignore_cache = spec.ignore_cache;
  return graph::Node::make(op, {spec.root, before}, description);
}

// REL-5: same directory and environment, no exports sourced (EXP-4); a missing script is empty
// output (REL-2).
graph::NodeRef release_step(const PipelineSpec& spec, size_t unit, const graph::NodeRef& before) {
  const std::string dir = unit_dir(spec, unit);
  graph::ExecOp op =
      script_step(spec,
                  fmt::format("if [ ! -e {0}/bin/release ]; then exit 0; fi; ", shell_quote(dir)) +
                      enter_and_run(dir, "release"),
                  {build_dir(spec)});
  op.capture_stdout = op.capture_stdout_only = true;
  op.valid_exit_codes = any_exit_code();
  graph::Description description;
  description.title = "release " + spec.units[unit].display;
  description.timeout = spec.timeout;
  description.ignore_cache = spec.ignore_cache;
  return graph::Node::make(op, {spec.root, before}, description);
}

graph::NodeRef make_workspace(const PipelineSpec& spec) {
  graph::WorkspaceOp op;
  const graph::Owner root{};
  op.dirs = {{"app", 0755, spec.owner},
             {"tmp", 01777, root},
             {build_prefix(spec.build_hex), 0755, spec.owner},
             {"tmp/codon", 0755, spec.owner},
             {"tmp/codon/tmp", 0755, spec.owner},
             {packs_dir, 0755, spec.owner},
             {cache_folder, 0755, spec.owner},
             {std::string(env_dir).substr(1), 0700, spec.owner}};
  for (const Unit& unit : spec.units)
    op.dirs.push_back({unit_prefix(unit.folder), 0755, spec.owner});
  op.cache_id = spec.cache_id;
  op.cache_path = spec.cache_id.empty() ? "" : cache_folder;
  op.watched_path = build_prefix(spec.build_hex);
  std::vector<graph::NodeRef> inputs;
  for (const Unit& unit : spec.units) {
    inputs.insert(inputs.end(), unit.extras.begin(), unit.extras.end());
    inputs.push_back(unit.source);
  }
  inputs.push_back(spec.source);
  return graph::Node::make(op, inputs, {.title = "workspace"});
}

}  // namespace

std::string build_prefix(const std::string& build_hex) {
  return "tmp/build_" + build_hex;
}

std::string unit_folder(size_t index, const std::string& display) {
  // The last part of a name or URL is what people recognise.
  std::string name = display.substr(0, display.find('#'));
  while (ends_with(name, "/")) name.pop_back();
  const size_t slash = name.find_last_of("/:");
  if (slash != std::string::npos) name = name.substr(slash + 1);
  if (ends_with(name, ".git")) name.resize(name.size() - 4);
  std::string safe;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    safe += plain ? c : '_';
  }
  return fmt::format("{:02}-{}", index + 1, safe.empty() ? "pack" : safe.substr(0, 60));
}

std::string unit_prefix(const std::string& folder) {
  return fmt::format("{}/{}", packs_dir, folder);
}

std::string compile_script(const PipelineSpec& spec, size_t unit) {
  std::string script;
  for (size_t earlier = 0; earlier < unit; ++earlier) {
    const std::string file = shell_quote(unit_dir(spec, earlier) + "/export");
    script += fmt::format("if [ -f {0} ]; then . {0}; fi\n", file);
  }
  return script + enter_and_run(unit_dir(spec, unit), "compile");
}

Pipeline make_pipeline(const PipelineSpec& spec) {
  Pipeline pipeline;
  pipeline.workspace = make_workspace(spec);
  graph::NodeRef state = pipeline.workspace;
  for (size_t unit = 0; unit < spec.units.size(); ++unit) {
    Pipeline::Steps steps;
    steps.detect = detect_step(spec, unit, state);
    steps.compile = compile_step(spec, unit, steps.detect);
    state = steps.compile;
    pipeline.steps.push_back(std::move(steps));
  }
  // REL-3: the last pack decides.
  pipeline.release = release_step(spec, spec.units.size() - 1, state);
  pipeline.seal = graph::Node::make(graph::SealOp{build_prefix(spec.build_hex)}, {pipeline.release},
                                    {.title = "keep the result"});
  return pipeline;
}

Pipeline make_detection(const PipelineSpec& spec) {
  Pipeline pipeline;
  PipelineSpec without_cache = spec;
  without_cache.cache_id.clear();
  pipeline.workspace = make_workspace(without_cache);
  graph::NodeRef state = pipeline.workspace;
  for (size_t unit = 0; unit < spec.units.size(); ++unit) {
    state = detect_step(spec, unit, state);
    pipeline.steps.push_back({state, nullptr});
  }
  return pipeline;
}

graph::ExecOp report_command(const PipelineSpec& spec, size_t unit) {
  const std::string dir = unit_dir(spec, unit);
  graph::ExecOp op =
      script_step(spec,
                  fmt::format("if [ ! -e {0}/bin/report ]; then exit 0; fi; ", shell_quote(dir)) +
                      enter_and_run(dir, "report"),
                  {build_dir(spec), std::string("/") + cache_folder, env_dir});
  op.capture_stdout = op.capture_stdout_only = true;
  op.network = graph::Network::none;
  op.config_dir = env_dir;
  op.config_names = spec.config_names;
  op.valid_exit_codes = any_exit_code();
  return op;
}

}  // namespace slipway::buildpack
