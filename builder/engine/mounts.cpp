// A step made ready: its root, mounts, secrets, caches and environment (dockerfile.md R5 to R9,
// X9).
#include <algorithm>

#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"
#include "sandbox/host_trust.h"

namespace slipway::engine {
namespace {

constexpr size_t secret_max = 1 << 20;
constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string joined(const std::string& left, const std::string& right) {
  if (left.empty()) return right;
  return right.empty() ? left : left + "/" + right;
}

using Environment = std::vector<std::pair<std::string, std::string>>;

bool has(const Environment& env, const std::string& name) {
  return std::any_of(env.begin(), env.end(), [&](const auto& one) { return one.first == name; });
}
void set(Environment& env, const std::string& name, const std::string& value) {
  std::erase_if(env, [&](const auto& one) { return one.first == name; });
  env.emplace_back(name, value);
}
void set_default(Environment& env, const std::string& name, const std::string& value) {
  if (!has(env, name)) env.emplace_back(name, value);
}

// V21: both spellings, whichever was given.
void add_proxies(Environment& env, const Environment& proxies) {
  const auto convert = [](std::string name, int (*letter)(int)) {
    for (char& c : name) c = static_cast<char>(letter(static_cast<unsigned char>(c)));
    return name;
  };
  for (const auto& [name, value] : proxies) set_default(env, name, value);
  for (const auto& [name, value] : proxies) {
    set_default(env, convert(name, std::toupper), value);
    set_default(env, convert(name, std::tolower), value);
  }
}

sandbox::StepMount bound(sandbox::StepMount::Kind kind, const graph::Mount& mount) {
  sandbox::StepMount target;
  target.kind = kind;
  target.dest = mount.dest;
  target.readonly = mount.readonly;
  target.mode = mount.mode;
  target.owner = mount.owner;
  return target;
}

}  // namespace

std::optional<std::string> Engine::State::secret_value(const std::string& id) {
  {
    const std::lock_guard lock(memo_mutex);
    const auto known = secret_values.find(id);
    if (known != secret_values.end()) return known->second;
  }
  const auto found = options.secrets.find(id);
  if (found == options.secrets.end()) return std::nullopt;
  const Secret& secret = found->second;
  std::string value;
  if (secret.value) {
    value = *secret.value;
  } else {
    try {
      value = read_file(secret.file, secret_max);
    } catch (Error& error) {
      throw error.add_context(fmt::format("reading the secret '{}'", id));
    }
  }
  (void)options.stream->mask(value);
  (void)options.stream->mask(std::string(trim(value)));
  const std::lock_guard lock(memo_mutex);
  return secret_values[id] = value;
}

void Engine::State::add_mount(Engine& engine, const graph::Mount& mount,
                              const std::vector<graph::NodeRef>& inputs,
                              const std::vector<Solved>& solved_inputs, Step& step) {
  using Kind = sandbox::StepMount::Kind;
  sandbox::ExecSpec& spec = step.spec;
  const auto index = static_cast<size_t>(mount.input);
  switch (mount.type) {
    case graph::MountType::workspace: {
      spec.workspace = live_workspace(engine, workspace_root(inputs.at(index))).mount;
      sandbox::StepMount target = bound(Kind::workspace, mount);
      target.source = mount.selector;
      spec.mounts.push_back(std::move(target));
      return;
    }
    case graph::MountType::bind: {
      if (mount.dest == "/") {
        spec.root.readonly = mount.readonly;
        if (mount.input < 0) return;
        const cache::Result& root = solved_inputs.at(index).result;
        spec.root.host = root.extra.value("host", false);
        spec.root.layers = layers_of(*options.store, root);
        return;
      }
      const cache::Result& tree = solved_inputs.at(index).result;
      sandbox::StepMount target = bound(Kind::layers, mount);
      target.layers = layers_of(*options.store, tree);
      target.source = joined(tree_path(tree), mount.selector);
      spec.mounts.push_back(std::move(target));
      return;
    }
    case graph::MountType::tmpfs: {
      sandbox::StepMount target = bound(Kind::tmpfs, mount);
      target.mode = 01777;
      target.owner = {};
      target.size_bytes = mount.tmpfs_size_bytes;
      spec.mounts.push_back(std::move(target));
      return;
    }
    case graph::MountType::secret: {
      const auto value = secret_value(mount.secret_id);
      if (!value && mount.required)
        throw Error(ExitCode::usage, fmt::format("the secret '{}' was not given", mount.secret_id))
            .set_hint(fmt::format("give it with --secret id={},src=FILE", mount.secret_id));
      if (mount.dest.empty() || !value) return;
      sandbox::StepMount target = bound(Kind::secret, mount);
      target.data = *value;
      spec.mounts.push_back(std::move(target));
      return;
    }
    case graph::MountType::ssh: {
      const auto agent = options.ssh_agents.find(mount.secret_id);
      if (agent == options.ssh_agents.end()) {
        if (mount.required)
          throw Error(ExitCode::usage,
                      fmt::format("the ssh agent '{}' was not given", mount.secret_id))
              .set_hint(fmt::format("give it with --ssh {}", mount.secret_id));
        // A variable that names its socket would lead nowhere.
        std::erase_if(spec.env, [&](const auto& one) {
          return one.first == "SSH_AUTH_SOCK" && one.second == mount.dest;
        });
        return;
      }
      sandbox::StepMount target = bound(Kind::agent, mount);
      target.source = agent->second;
      set_default(spec.env, "SSH_AUTH_SOCK", mount.dest);
      spec.mounts.push_back(std::move(target));
      return;
    }
    case graph::MountType::cache:
      return;  // add_caches()
  }
}

// K11. Locks are taken in the order of their names, and before a slot to run in, so that steps
// cannot wait for one another in a circle.
void Engine::State::add_caches(Engine& engine, const graph::NodeRef& node,
                               const std::vector<graph::NodeRef>& inputs,
                               const std::vector<Solved>& solved_inputs, Step& step) {
  const auto& op = std::get<graph::ExecOp>(node->op());
  struct Wanted {
    const graph::Mount* mount;
    std::string name;
  };
  std::vector<Wanted> wanted;
  for (const graph::Mount& mount : op.mounts) {
    if (mount.type != graph::MountType::cache) continue;
    KeyBuilder key("cache mount 1");
    key.add("id", mount.cache_id);
    if (owners != sandbox::Owners::mapped) key.add("ids", sandbox::owners_name(owners));
    // Another seed or owner is another cache.
    if (mount.input >= 0)
      key.add("seed", input_key(engine, inputs.at(static_cast<size_t>(mount.input))));
    if (mount.mode != 0755 || mount.owner != graph::Owner{})
      key.add("made", fmt::format("{:o} {}:{}", mount.mode, mount.owner.uid, mount.owner.gid));
    wanted.push_back({&mount, key.finish().hex()});
  }
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const Wanted& a, const Wanted& b) { return a.name < b.name; });
  std::map<std::string, std::string> taken;  // two mounts of one step share what it locked
  for (const auto& [mount, name] : wanted) {
    std::string chosen = name;
    if (const auto known = taken.find(name); known != taken.end()) {
      chosen = known->second;
    } else if (mount->sharing == graph::CacheSharing::locked) {
      step.locks.push_back(options.store->lock("cache-" + name, options.cancel, [&] {
        say_once(
            fmt::format("waiting for the cache '{}', which another step uses", mount->cache_id));
      }));
    } else if (mount->sharing == graph::CacheSharing::private_) {
      for (int number = 0;; ++number) {
        chosen = number == 0 ? name : fmt::format("{}-{}", name, number);
        auto lock = options.store->try_lock("cache-" + chosen);
        if (!lock) continue;
        step.locks.push_back(std::move(*lock));
        break;
      }
    }
    taken.emplace(name, chosen);
    sandbox::StepMount target = bound(sandbox::StepMount::Kind::cache, *mount);
    target.name = chosen;
    target.source = mount->selector;
    if (mount->input >= 0) {
      const cache::Result& seed = solved_inputs.at(static_cast<size_t>(mount->input)).result;
      target.layers = layers_of(*options.store, seed);
      target.seed_path = tree_path(seed);
    }
    // S5: once a build and cache.
    if (is_renewed(*node)) {
      const std::lock_guard lock(memo_mutex);
      target.fresh = renewed_caches.insert(chosen).second;
    }
    // Tells a person which directory of caches/ is which.
    if (!options.store->find_value("cache-mount", chosen))
      options.store->put_value("cache-mount", chosen, {{"id", mount->cache_id}});
    step.spec.mounts.push_back(std::move(target));
  }
}

void Engine::State::add_environment(const graph::ExecOp& op, Step& step) {
  Environment& env = step.spec.env;
  add_proxies(env, op.proxy_env);
  set_default(env, "PATH", default_path);
  if (options.host_ca && op.network != graph::Network::none) {
    step.spec.host_ca = sandbox::HostCa::beside;
    for (const char* name : sandbox::trust_variables) set_default(env, name, sandbox::host_ca_path);
  }
  for (const graph::Mount& mount : op.mounts)
    if (mount.type == graph::MountType::secret && !mount.secret_env.empty())
      set(env, mount.secret_env, secret_value(mount.secret_id).value_or(std::string()));
}

Engine::State::Step Engine::State::make_step(Engine& engine, const graph::NodeRef& node,
                                             const graph::ExecOp& op,
                                             const std::vector<graph::NodeRef>& inputs,
                                             const std::vector<Solved>& solved_inputs) {
  if (op.security == graph::Security::insecure && !options.allow_insecure)
    throw Error(ExitCode::usage, "security=insecure was not granted")
        .set_hint("who starts the build grants it with --allow security.insecure");
  if (op.network == graph::Network::host && !options.allow_host_network)
    throw Error(ExitCode::usage, "the host's network was not granted")
        .set_hint("who starts the build grants it with --allow network.host");
  Step step;
  sandbox::ExecSpec& spec = step.spec;
  spec.argv = op.argv;
  spec.env = op.env;
  spec.cwd = op.cwd;
  spec.user = op.user;
  if (!op.hostname.empty()) spec.hostname = op.hostname;
  spec.network = op.network;
  spec.security = op.security;
  spec.ulimits = op.ulimits;
  spec.shm_size_bytes = op.shm_size_bytes;
  for (const auto& [name, address] : op.extra_hosts)
    spec.extra_hosts.push_back(name + ":" + address);
  spec.timeout = node->description().timeout;
  if (deadline) {
    // One limit for all steps: what is left of it.
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        *deadline - std::chrono::steady_clock::now());
    const auto bounded = std::max(left, std::chrono::milliseconds(1));
    spec.timeout = spec.timeout ? std::min(*spec.timeout, bounded) : bounded;
  }
  for (const graph::Mount& mount : op.mounts) add_mount(engine, mount, inputs, solved_inputs, step);
  // A buildpack finds the host's authorities where its tools look; an image's own files stay as
  // they are.
  if (op.security != graph::Security::no_new_privileges) {
    spec.host_ca = sandbox::HostCa::none;
    add_environment(op, step);
  }
  if (!op.config_dir.empty()) {
    sandbox::StepMount target;
    target.kind = sandbox::StepMount::Kind::files;
    target.dest = op.config_dir;
    target.mode = 0700;
    const std::vector<std::string> ids = split(op.user, ':');
    target.owner = {static_cast<uint32_t>(std::stoul(ids.at(0))),
                    static_cast<uint32_t>(std::stoul(ids.at(1)))};
    for (const std::string& name : op.config_names) target.files[name] = options.config.at(name);
    spec.mounts.push_back(std::move(target));
  }
  add_caches(engine, node, inputs, solved_inputs, step);
  // Mounts that lie inside others come after them.
  std::stable_sort(spec.mounts.begin(), spec.mounts.end(),
                   [](const auto& a, const auto& b) { return a.dest < b.dest; });
  return step;
}

}  // namespace slipway::engine
