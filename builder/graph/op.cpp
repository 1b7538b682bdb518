#include "graph/op.h"

#include <fmt/format.h>

#include <unordered_set>

#include "base/url.h"

namespace slipway::graph {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string text(const Owner& owner) {
  return fmt::format("{}:{}", owner.uid, owner.gid);
}
std::string text(bool value) {
  return value ? "yes" : "no";
}

// Values that may hold any byte are joined with their lengths, so that ["a b"] is not ["a","b"].
std::string framed(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += fmt::format("{}:{} ", word.size(), word);
  if (!joined.empty()) joined.pop_back();
  return joined;
}

void add_placement(Fields& fields, const std::string& prefix, const Owner& owner,
                   bool executable_bin) {
  if (!prefix.empty()) fields.emplace_back("prefix", prefix);
  if (owner != Owner{}) fields.emplace_back("owner", text(owner));
  if (executable_bin) fields.emplace_back("bin", "executable");
}

std::string mount_text(const Mount& mount) {
  static constexpr const char* names[] = {"bind", "cache", "secret", "ssh", "tmpfs", "workspace"};
  std::string value =
      fmt::format("{} input={} from={} {} output={}", names[static_cast<int>(mount.type)],
                  mount.input, mount.selector, mount.readonly ? "ro" : "rw", mount.output);
  // Ids of caches and secrets select what is mounted; their contents are no part of a key (K3,
  // K11).
  if (mount.type == MountType::cache)
    value += fmt::format(" id={} sharing={} mode={:o} owner={}", mount.cache_id,
                         static_cast<int>(mount.sharing), mount.mode, text(mount.owner));
  if (mount.type == MountType::secret || mount.type == MountType::ssh)
    value += fmt::format(" id={} variable={} mode={:o} owner={} required={}", mount.secret_id,
                         mount.secret_env, mount.mode, text(mount.owner), text(mount.required));
  if (mount.type == MountType::tmpfs) value += fmt::format(" size={}", mount.tmpfs_size_bytes);
  return value;
}

Fields exec_fields(const ExecOp& op) {
  static constexpr const char* networks[] = {"none", "open", "host", "recorded"};
  static constexpr const char* securities[] = {"sandbox", "no-new-privileges", "insecure"};
  Fields fields{{"command", framed(op.argv)}};
  for (const auto& [key, value] : op.env) fields.emplace_back("env " + key, value);
  fields.emplace_back("directory", op.cwd);
  fields.emplace_back("user", op.user);
  fields.emplace_back("hostname", op.hostname);
  fields.emplace_back("network", networks[static_cast<int>(op.network)]);
  fields.emplace_back("security", securities[static_cast<int>(op.security)]);
  for (const Mount& mount : op.mounts)
    fields.emplace_back("mount " + (mount.dest.empty() ? mount.secret_env : mount.dest),
                        mount_text(mount));
  // Where a name leads, and proxies, are no part of a key (K3).
  for (const auto& [name, address] : op.extra_hosts) fields.emplace_back("host " + name, "");
  for (const Ulimit& limit : op.ulimits)
    fields.emplace_back("ulimit " + limit.name, fmt::format("{}:{}", limit.soft, limit.hard));
  if (op.shm_size_bytes != 0)
    fields.emplace_back("shared memory", std::to_string(op.shm_size_bytes));
  if (op.remove_mount_stubs) fields.emplace_back("mount stubs", "removed");
  if (op.capture_stdout)
    fields.emplace_back("stdout", op.capture_stdout_only ? "captured" : "captured and shown");
  if (!op.valid_exit_codes.empty()) {
    std::string codes;
    for (const int code : op.valid_exit_codes) codes += fmt::format("{} ", code);
    fields.emplace_back("valid exit codes", codes);
  }
  if (!op.config_dir.empty()) {
    fields.emplace_back("config directory", op.config_dir);
    fields.emplace_back("config vars", framed(op.config_names));
  }
  return fields;
}

Fields file_fields(const FileOp& op) {
  static constexpr const char* kinds[] = {"copy", "mkdir", "mkfile", "rm", "symlink"};
  Fields fields;
  if (op.on_scratch) fields.emplace_back("base", "scratch");
  int number = 0;
  for (const FileAction& action : op.actions) {
    std::string owner = action.owner ? text(*action.owner) : "keep";
    if (!action.owner_names.empty()) owner = framed({action.owner_names});
    std::string value = fmt::format(
        "{} input={} {} mode={} owner={}", kinds[static_cast<int>(action.kind)],
        action.source_input, framed({action.source, action.dest, action.data}),
        action.mode_text.empty() ? std::to_string(action.mode) : framed({action.mode_text}), owner);
    for (const auto& [name, on] : {std::pair{"contents", action.contents},
                                   {"create", action.create_dest_path},
                                   {"wildcard", action.allow_wildcard},
                                   {"empty-wildcard", action.allow_empty_wildcard},
                                   {"missing", action.allow_missing},
                                   {"follow", action.follow_links},
                                   {"unpack", action.unpack},
                                   {"parents", action.parents},
                                   {"replace", action.replace_existing}})
      if (on) value += fmt::format(" {}", name);
    if (!action.exclude.empty()) value += " exclude=" + framed(action.exclude);
    if (action.timestamp_ns) value += fmt::format(" time={}", *action.timestamp_ns);
    fields.emplace_back(fmt::format("action {}", ++number), std::move(value));
  }
  return fields;
}

Fields workspace_fields(const WorkspaceOp& op) {
  Fields fields;
  for (const WorkspaceOp::Dir& dir : op.dirs)
    fields.emplace_back("directory " + dir.path, fmt::format("{:o} {}", dir.mode, text(dir.owner)));
  // Which cache is restored, and what it holds, is no part of the key (DESIGN, "The graph").
  fields.emplace_back("cache path", op.cache_path);
  fields.emplace_back("watched path", op.watched_path);
  return fields;
}

}  // namespace

Fields definition_fields(const Op& op) {
  return std::visit(
      Overloaded{
          [](const ImageOp& image) {
            return Fields{{"reference", image.reference}, {"platform", image.platform}};
          },
          [](const LocalOp& local) {
            Fields fields{{"directory", local.name}};
            add_placement(fields, local.prefix, local.owner, local.executable_bin);
            return fields;
          },
          [](const GitOp& git) {
            Fields fields{{"url", url_without_credentials(git.url)},
                          {"ref", git.ref},
                          {"subdir", git.subdir},
                          {"keep .git", text(git.keep_git_dir)},
                          {"submodules", text(git.submodules)}};
            if (!git.checksum.empty()) fields.emplace_back("checksum", git.checksum);
            add_placement(fields, git.prefix, git.owner, git.executable_bin);
            return fields;
          },
          [](const HttpOp& http) {
            Fields fields{{"url", url_without_credentials(http.url)},
                          {"checksum", http.checksum},
                          {"filename", http.filename},
                          {"mode", fmt::format("{:o}", http.mode)},
                          {"last modified", text(http.last_modified)},
                          {"unpack", text(http.unpack)},
                          {"strip wrapper", text(http.strip_wrapper)}};
            add_placement(fields, http.prefix, http.owner, http.executable_bin);
            return fields;
          },
          [](const ExecOp& exec) { return exec_fields(exec); },
          [](const FileOp& file) { return file_fields(file); },
          [](const MergeOp&) { return Fields{}; },
          [](const DiffOp&) { return Fields{}; },
          [](const WorkspaceOp& workspace) { return workspace_fields(workspace); },
          [](const SealOp& seal) {
            return Fields{{"path", seal.path}};
          },
      },
      op);
}

Node::Node(Op op, std::vector<NodeRef> inputs, Description description)
    : op_(std::move(op)), inputs_(std::move(inputs)), description_(std::move(description)) {
  KeyBuilder key(kind());
  for (const auto& [name, value] : definition_fields(op_)) key.add(name, value);
  for (const NodeRef& input : inputs_) key.add("input", input->digest());
  digest_ = key.finish();
}

NodeRef Node::make(Op op, std::vector<NodeRef> inputs, Description description) {
  return NodeRef(new Node(std::move(op), std::move(inputs), std::move(description)));
}

std::string_view Node::kind() const {
  static constexpr std::string_view names[] = {"image", "local", "git",  "http",      "exec",
                                               "file",  "merge", "diff", "workspace", "seal"};
  static_assert(std::size(names) == std::variant_size_v<Op>);
  return names[op_.index()];
}

std::vector<NodeRef> topological_order(const NodeRef& root) {
  std::vector<NodeRef> order;
  std::unordered_set<const Node*> seen;
  // An explicit stack: a Dockerfile of thousands of steps must not exhaust the thread's.
  std::vector<std::pair<NodeRef, size_t>> stack{{root, 0}};
  seen.insert(root.get());
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < node->inputs().size()) {
      const NodeRef input = node->inputs()[next++];
      if (seen.insert(input.get()).second) stack.emplace_back(input, 0);
    } else {
      order.push_back(node);
      stack.pop_back();
    }
  }
  return order;
}

}  // namespace slipway::graph
