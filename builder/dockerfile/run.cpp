// RUN: command, mounts, network, security (dockerfile.md §3.2, §9 B5, B6, §10 X9).
#include "base/text.h"
#include "dockerfile/heredoc.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"
#include "dockerfile/stage_compiler.h"

namespace slipway::dockerfile {
namespace {

// Every step keeps its whole environment: this bounds what a hostile file makes us keep.
constexpr size_t environments_bytes_max = 256 << 20;

// The index of a node among the inputs, added when it is not there.
int input_index(std::vector<graph::NodeRef>& inputs, const graph::NodeRef& node) {
  const auto found = std::find(inputs.begin(), inputs.end(), node);
  if (found != inputs.end()) return static_cast<int>(found - inputs.begin());
  inputs.push_back(node);
  return static_cast<int>(inputs.size()) - 1;
}

std::string base_name(const std::string& path) {
  const std::string clean = clean_path(path);
  return clean.substr(clean.rfind('/') + 1);
}

// The target as written, without what means nothing in it (R6).
std::string default_cache_id(const std::string& target) {
  if (target.starts_with('/')) return clean_path(target);
  const std::string clean = clean_path(target).substr(1);
  return clean.empty() ? "." : clean;
}

// The body's first line, for titles.
std::string first_line(const std::string& body) {
  const std::string text(trim(body));
  const size_t end = text.find('\n');
  return end == std::string::npos ? text : std::string(trim(text.substr(0, end))) + "...";
}

}  // namespace

void StageCompiler::run(const StageItem& item, const Run& run) {
  graph::ExecOp op;
  std::vector<graph::NodeRef> inputs;
  graph::Mount root;
  root.dest = "/";
  root.input = state_.root ? input_index(inputs, state_.root) : -1;
  root.output = 0;
  op.mounts.push_back(root);
  op.argv = run_argv(item, run, op, inputs);
  op.env = state_.scope.environment();
  op.cwd = working_dir();
  if (!state_.config.config.user.empty()) op.user = state_.config.config.user;
  run_options(item, run, op);
  add_mounts(item, run, op, inputs);
  for (const auto& [name, value] : op.env) build_.environments_bytes += name.size() + value.size();
  if (build_.environments_bytes > environments_bytes_max)
    throw item.site.error(fmt::format("the environments of all steps are larger than {} together",
                                      format_size(environments_bytes_max)),
                          "large values belong into files");

  std::string text = item.instruction->text;
  if (run.sole_heredoc) text += " (" + first_line(run.heredocs.at(0).content) + ")";
  // A secret in a variable wins over the variable's own value (V26).
  std::optional<Scope> masked;
  for (const graph::Mount& mount : op.mounts) {
    if (mount.secret_env.empty()) continue;
    if (!masked) masked = state_.scope;
    masked->set(mount.secret_env, Text("****"));
  }
  std::vector<std::string> argv = op.argv;
  add_layer(item,
            graph::Node::make(std::move(op), std::move(inputs),
                              describe(item, title(item, text, masked ? *masked : state_.scope))));
  commit(item, run_text(argv, state_.args, state_.scope), true);
}

std::vector<std::string> StageCompiler::run_argv(const StageItem& item, const Run& run,
                                                 graph::ExecOp& op,
                                                 std::vector<graph::NodeRef>& inputs) {
  if (run.command.exec_form) return run.command.words;
  std::string script = run.command.words.at(0);
  if (!run.sole_heredoc) {
    // The shell itself reads the heredocs (H9).
    for (const Heredoc& heredoc : run.heredocs) script += "\n" + heredoc.content + heredoc.name;
    return with_shell(script);
  }
  const Heredoc& heredoc = run.heredocs.at(0);
  const std::string body = heredoc.chomp ? without_tabs(heredoc.content) : heredoc.content;
  // H8: a body without a first line #! is the shell's argument.
  if (!body.starts_with("#!") || state_.platform.os == "windows") return with_shell(body);
  // H7: else it is a program, and the shell starts it.
  check_file_name(item, heredoc);
  graph::FileAction program;
  program.kind = graph::FileAction::Kind::mkfile;
  program.dest = "/" + heredoc.name;
  program.data = body;
  program.mode = 0755;
  program.timestamp_ns = epoch_ns();
  graph::Mount mount;
  mount.input =
      input_index(inputs, graph::Node::make(graph::FileOp{{program}, true}, {},
                                            {.title = "heredoc " + printable(heredoc.name)}));
  mount.dest = "/dev/pipes";
  mount.readonly = true;
  op.mounts.push_back(std::move(mount));
  return with_shell("/dev/pipes/" + shell_quote(heredoc.name));
}

void StageCompiler::run_options(const StageItem& item, const Run& run, graph::ExecOp& op) {
  const Options& options = job_.options;
  op.network = options.network;
  if (run.network == "none") op.network = graph::Network::none;
  if (run.network == "host") {
    if (!options.allow_host_network)
      throw item.site.error("RUN --network=host was not granted",
                            "who starts the build grants it with --allow network.host");
    op.network = graph::Network::host;
  }
  if (run.security == "insecure") {
    if (!options.allow_insecure)
      throw item.site.error("RUN --security=insecure was not granted",
                            "who starts the build grants it with --allow security.insecure");
    op.security = graph::Security::insecure;
  }
  for (const std::string& device : run.devices) {
    const std::vector<std::string> parts = split(device, ',');
    if (std::find(parts.begin() + 1, parts.end(), "required") != parts.end())
      throw item.site.error(fmt::format(
          "the device '{}' is required, and devices are not supported", printable(parts[0])));
    job_.find(
        item.site, "UnsupportedDevice",
        fmt::format("devices are not supported: the step runs without '{}'", printable(parts[0])));
  }
  if (const std::optional<Text> name = job_.args.find("BUILDKIT_SANDBOX_HOSTNAME"))
    op.hostname = name->value;
  op.proxy_env = proxy_variables(job_.args);
  op.extra_hosts = options.extra_hosts;
  op.ulimits = options.ulimits;
  op.shm_size_bytes = options.shm_size_bytes;
  op.remove_mount_stubs = true;
}

void StageCompiler::add_mounts(const StageItem& item, const Run& run, graph::ExecOp& op,
                               std::vector<graph::NodeRef>& inputs) {
  std::vector<graph::Mount> secrets, agents;
  for (size_t i = 0; i < run.mounts.size(); ++i) {
    const Word& word = run.mounts[i].spec;
    MountSpec spec;
    try {
      std::set<std::string> unset;
      spec = parse_mount(word.text, [&](const std::string& value) {
        Expanded expanded = expand(value, job_.escape(), state_.scope);
        unset.merge(expanded.unset);
        return std::move(expanded.text.value);
      });
      note_unset(item, unset);
    } catch (const Error& problem) {
      throw item.site.placed(problem, word);
    }
    for (const std::string& key : spec.ignored_keys)
      job_.find(item.site, "UnusedMountKey",
                fmt::format("'{}' means nothing for this type of mount", key));
    if (spec.type == graph::MountType::secret)
      secrets.push_back(secret_mount(spec));
    else if (spec.type == graph::MountType::ssh)
      agents.push_back(ssh_mount(spec, agents.size()));
    else
      op.mounts.push_back(tree_mount(item, word, spec, item.origins.at(i), inputs));
  }
  // Parents before what lies in them; of equal ones the order written counts (R10, B6).
  std::stable_sort(op.mounts.begin(), op.mounts.end(),
                   [](const graph::Mount& a, const graph::Mount& b) { return a.dest < b.dest; });
  if (!agents.empty() && state_.scope.find("SSH_AUTH_SOCK") == nullptr)
    op.env.emplace_back("SSH_AUTH_SOCK", agents.front().dest);
  op.mounts.insert(op.mounts.end(), secrets.begin(), secrets.end());
  op.mounts.insert(op.mounts.end(), agents.begin(), agents.end());
}

graph::Mount StageCompiler::tree_mount(const StageItem& item, const Word& word,
                                       const MountSpec& spec, const Origin& origin,
                                       std::vector<graph::NodeRef>& inputs) {
  graph::Mount mount;
  mount.type = spec.type;
  mount.readonly = spec.readonly;
  mount.dest =
      clean_path(spec.target.starts_with('/') ? spec.target : working_dir() + "/" + spec.target);
  if (mount.dest == "/")
    throw item.site.error(word, "a mount cannot replace the root", "name a folder: target=/src");
  if (spec.type == graph::MountType::tmpfs) {
    mount.tmpfs_size_bytes = spec.size_bytes;
    return mount;
  }
  const std::string source = clean_path(spec.source);
  if (source != "/") mount.selector = source;
  const bool cache = spec.type == graph::MountType::cache;
  if (origin.kind != Origin::Kind::context)
    mount.input = input_index(inputs, source_tree(item, origin));
  else if (!cache)
    mount.input = input_index(inputs, context_tree(item, source));
  if (!cache) return mount;
  const std::optional<Text> ns = job_.args.find("BUILDKIT_CACHE_MOUNT_NS");
  mount.cache_id =
      (ns ? ns->value : "") + "/" + (spec.id.empty() ? default_cache_id(spec.target) : spec.id);
  mount.sharing = spec.sharing;
  mount.mode = 0755;
  // A folder of the seed has an owner and a mode of its own (R6).
  if (!mount.selector.empty()) return mount;
  mount.mode = spec.mode.value_or(0755);
  mount.owner = {spec.uid.value_or(0), spec.gid.value_or(0)};
  return mount;
}

graph::Mount StageCompiler::secret_mount(const MountSpec& spec) {
  graph::Mount mount;
  mount.type = graph::MountType::secret;
  mount.secret_id = spec.source.empty() ? spec.id : spec.source;
  if (mount.secret_id.empty()) mount.secret_id = base_name(spec.target);
  if (spec.env) mount.secret_env = spec.env->empty() ? mount.secret_id : *spec.env;
  if (!spec.target.empty())
    mount.dest =
        clean_path(spec.target.starts_with('/') ? spec.target : working_dir() + "/" + spec.target);
  else if (!spec.env)
    mount.dest = "/run/secrets/" + base_name(mount.secret_id);
  mount.readonly = true;
  mount.required = spec.required;
  mount.mode = spec.mode.value_or(0400);
  mount.owner = {spec.uid.value_or(0), spec.gid.value_or(0)};
  build_.result.secrets.insert(mount.secret_id);
  return mount;
}

graph::Mount StageCompiler::ssh_mount(const MountSpec& spec, size_t number) {
  graph::Mount mount;
  mount.type = graph::MountType::ssh;
  mount.secret_id = spec.id.empty() ? "default" : spec.id;
  mount.dest = spec.target.empty()
                   ? fmt::format("/run/buildkit/ssh_agent.{}", number)
                   : clean_path(spec.target.starts_with('/') ? spec.target
                                                             : working_dir() + "/" + spec.target);
  mount.required = spec.required;
  mount.mode = spec.mode.value_or(0600);
  mount.owner = {spec.uid.value_or(0), spec.gid.value_or(0)};
  build_.result.ssh_agents.insert(mount.secret_id);
  return mount;
}

}  // namespace slipway::dockerfile
