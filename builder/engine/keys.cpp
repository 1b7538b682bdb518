// Keys: what decides whether a step must run (dockerfile.md §7), and the ledgers that tell why.
#include "base/text.h"
#include "engine/state.h"
#include "sandbox/source_view.h"

namespace slipway::engine {
namespace {

using cache::LedgerItem;
using graph::NodeRef;
using Fields = std::vector<std::pair<std::string, std::string>>;

// Separates a listing's name from what makes it unique; never shown.
constexpr char label_mark = '\n';

const char* isolation_name(sandbox::Isolation isolation) {
  static constexpr const char* names[] = {"oci", "chroot", "none"};
  return names[static_cast<int>(isolation)];
}

std::string framed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += fmt::format("{}:{} ", word.size(), word);
  if (!text.empty()) text.pop_back();
  return text;
}

std::string owner_text(const graph::Owner& owner) {
  return fmt::format("{}:{}", owner.uid, owner.gid);
}

// Which part of a tree is read; beside content it does not count (K6).
std::string selector_text(const graph::FileAction& action) {
  std::string text = framed({action.source}) + " exclude=" + framed(action.exclude);
  for (const auto& [name, on] : {std::pair{"contents", action.contents},
                                 {"wildcard", action.allow_wildcard},
                                 {"empty-wildcard", action.allow_empty_wildcard},
                                 {"missing", action.allow_missing},
                                 {"follow", action.follow_links},
                                 {"parents", action.parents}})
    if (on) text += fmt::format(" {}", name);
  return text;
}

std::string action_text(const graph::FileAction& action) {
  static constexpr const char* kinds[] = {"copy", "mkdir", "mkfile", "rm", "symlink"};
  const bool copy = action.kind == graph::FileAction::Kind::copy;
  std::string owner = action.owner ? owner_text(*action.owner) : "keep";
  if (!action.owner_names.empty()) owner = framed({action.owner_names});
  std::string text = fmt::format(
      "{} {} mode={} owner={}", kinds[static_cast<int>(action.kind)],
      framed({copy ? std::string() : action.source, action.dest, action.data}),
      action.mode_text.empty() ? std::to_string(action.mode) : framed({action.mode_text}), owner);
  for (const auto& [name, on] : {std::pair{"contents", copy && action.contents},
                                 {"create", action.create_dest_path},
                                 {"wildcard", !copy && action.allow_wildcard},
                                 {"missing", !copy && action.allow_missing},
                                 {"unpack", action.unpack},
                                 {"parents", action.parents},
                                 {"replace", action.replace_existing}})
    if (on) text += fmt::format(" {}", name);
  if (action.timestamp_ns) text += fmt::format(" time={}", *action.timestamp_ns);
  return text;
}

// K3: where sources lie, ids of caches, addresses of hosts and proxies are left out.
std::string mount_text(const graph::Mount& mount) {
  static constexpr const char* names[] = {"bind", "cache", "secret", "ssh", "tmpfs", "workspace"};
  std::string text =
      fmt::format("{} {}", names[static_cast<int>(mount.type)], mount.readonly ? "ro" : "rw");
  if (mount.type == graph::MountType::workspace) text += " " + framed({mount.selector});
  if (mount.type == graph::MountType::secret || mount.type == graph::MountType::ssh)
    text +=
        fmt::format(" id={} variable={} mode={:o} owner={} required={}", framed({mount.secret_id}),
                    mount.secret_env, mount.mode, owner_text(mount.owner), mount.required);
  if (mount.type == graph::MountType::tmpfs)
    text += fmt::format(" size={}", mount.tmpfs_size_bytes);
  return text;
}

std::string mount_name(const graph::Mount& mount) {
  return "mount " + (mount.dest.empty() ? mount.secret_env : mount.dest);
}

Fields exec_fields(const graph::ExecOp& op) {
  graph::ExecOp rest = op;
  rest.mounts.clear();
  rest.remove_mount_stubs = false;
  Fields fields = graph::definition_fields(rest);
  for (const graph::Mount& mount : op.mounts)
    fields.emplace_back(mount_name(mount), mount_text(mount));
  return fields;
}

Fields key_fields(const graph::Op& op) {
  if (const auto* exec = std::get_if<graph::ExecOp>(&op)) return exec_fields(*exec);
  const auto* file = std::get_if<graph::FileOp>(&op);
  if (file == nullptr) return graph::definition_fields(op);
  Fields fields;
  if (file->on_scratch) fields.emplace_back("base", "scratch");
  for (size_t i = 0; i < file->actions.size(); ++i)
    fields.emplace_back(fmt::format("action {}", i + 1), action_text(file->actions[i]));
  return fields;
}

/// Inputs that are not only read in parts: what the node stands on.
std::vector<size_t> whole_inputs(const graph::Node& node, const std::vector<ReadPart>& parts) {
  std::vector<bool> whole(node.inputs().size(), true);
  for (const ReadPart& part : parts) whole.at(part.input) = false;
  if (const auto* file = std::get_if<graph::FileOp>(&node.op())) {
    if (!file->on_scratch && !whole.empty()) whole[0] = true;
  } else if (const auto* exec = std::get_if<graph::ExecOp>(&node.op())) {
    for (const graph::Mount& mount : exec->mounts)
      if (mount.input >= 0 && (mount.dest == "/" || mount.type == graph::MountType::workspace))
        whole.at(static_cast<size_t>(mount.input)) = true;
  }
  std::vector<size_t> inputs;
  for (size_t i = 0; i < whole.size(); ++i)
    if (whole[i]) inputs.push_back(i);
  return inputs;
}

std::string local_label(const graph::LocalOp& op) {
  const bool plain = op.name == "source" || op.name == "context";
  return plain ? "file" : op.name + " file";
}

[[noreturn]] void rethrow_placed(Error& error, const graph::Node& node, const std::string& from) {
  error.add_context(from).add_context(node_title(node));
  if (!error.pos())
    if (const auto pos = node_position(node)) error.set_pos(*pos);
  throw error;
}

}  // namespace

std::vector<ReadPart> read_parts(const graph::Node& node) {
  std::vector<ReadPart> parts;
  if (const auto* file = std::get_if<graph::FileOp>(&node.op())) {
    for (size_t i = 0; i < file->actions.size(); ++i) {
      const graph::FileAction& action = file->actions[i];
      if (action.kind != graph::FileAction::Kind::copy) continue;
      parts.push_back(
          {static_cast<size_t>(action.source_input), i, fmt::format("action {}", i + 1), action});
    }
  } else if (const auto* exec = std::get_if<graph::ExecOp>(&node.op())) {
    for (size_t i = 0; i < exec->mounts.size(); ++i) {
      const graph::Mount& mount = exec->mounts[i];
      const bool bind = mount.type == graph::MountType::bind && mount.dest != "/";
      const bool seed = mount.type == graph::MountType::cache;
      if ((!bind && !seed) || mount.input < 0) continue;
      graph::FileAction action;
      action.source = bind ? mount.selector : std::string();
      action.allow_wildcard = false;
      parts.push_back({static_cast<size_t>(mount.input), i, mount_name(mount), action});
    }
  }
  return parts;
}

std::shared_ptr<const NodeKey> Engine::State::key(Engine& engine, const NodeRef& root) {
  {
    const std::lock_guard lock(memo_mutex);
    const auto found = keys.find(root->digest());
    if (found != keys.end()) return found->second;
  }
  const std::vector<NodeRef> order = graph::topological_order(root);
  resolve_sources(engine, order);
  for (const NodeRef& node : order) {
    {
      const std::lock_guard lock(memo_mutex);
      if (keys.contains(node->digest())) continue;
    }
    (void)is_fresh(node);
    auto made = std::make_shared<const NodeKey>(make_key(engine, node, nullptr));
    const std::lock_guard lock(memo_mutex);
    keys.emplace(node->digest(), std::move(made));
  }
  const std::lock_guard lock(memo_mutex);
  return keys.at(root->digest());
}

std::shared_ptr<const NodeKey> Engine::State::content_key(Engine& engine, const NodeRef& node,
                                                          const std::vector<Solved>& inputs) {
  return std::make_shared<const NodeKey>(make_key(engine, node, &inputs));
}

// Inputs were asked first: the order of key() sees to it, so this does not recurse deeply.
bool Engine::State::is_fresh(const NodeRef& node) {
  {
    const std::lock_guard lock(memo_mutex);
    const auto known = fresh.find(node->digest());
    if (known != fresh.end()) return known->second;
  }
  bool result = node->description().ignore_cache || (options.no_cache && !is_source(*node));
  for (const NodeRef& input : node->inputs()) result = is_fresh(input) || result;
  const std::lock_guard lock(memo_mutex);
  return fresh[node->digest()] = result;
}

Digest Engine::State::input_key(const NodeRef& input) {
  Digest own;
  {
    const std::lock_guard lock(memo_mutex);
    const auto found = found_by.find(input->digest());
    if (found != found_by.end()) return found->second;
    own = keys.at(input->digest())->key;
  }
  if (is_source(*input) || is_fresh(input) || workspace_root(input)) return own;
  // Once found by its content, it goes by the key it was first stored under.
  const auto facts = options.store->peek_result(own);
  std::optional<Digest> first;
  if (facts && facts->contains("key") && may_use(*facts))
    first = Digest::from_hex(facts->at("key").get<std::string>());
  else if (options.remote.first_key)
    first = options.remote.first_key(own);
  if (!first) return own;
  const std::lock_guard lock(memo_mutex);
  return found_by[input->digest()] = *first;
}

NodeKey Engine::State::make_key(Engine& engine, const NodeRef& node,
                                const std::vector<Solved>* inputs) {
  NodeKey made;
  KeyBuilder builder("op 2");
  builder.add("op", node->kind()).add("by", inputs != nullptr ? "content" : "definition");
  const auto add = [&](std::string name, std::string value) {
    builder.add(name, value);
    const bool hidden =
        starts_with(name, "env ") && options.hidden_variables.contains(name.substr(4));
    if (hidden) value = keyed_digest(options.store->secret_key(), value).hex();
    made.fields.push_back({std::move(name), std::move(value)});
  };
  for (auto& [name, value] : key_fields(node->op())) add(std::move(name), std::move(value));
  if (is_source(*node)) add(node_title(*node), identity(engine, node)->text);

  const std::vector<ReadPart> parts = read_parts(*node);
  const auto add_selection = [&](const ReadPart& part, const std::string& label,
                                 sandbox::Selection selection) {
    add(part.what + " content", selection.digest.hex());
    const std::string unique = fmt::format("{}{}{} {}", label, label_mark, scope(node), part.what);
    made.trees.push_back({unique, std::make_shared<ReadTree>(std::move(selection.tree)), part.index,
                          is_local(*node->inputs()[part.input])});
  };
  for (size_t i = 0; i < node->inputs().size(); ++i) {
    const NodeRef& input = node->inputs()[i];
    std::vector<const ReadPart*> of_input;
    for (const ReadPart& part : parts)
      if (part.input == i) of_input.push_back(&part);
    if (of_input.empty()) continue;
    const auto* local = std::get_if<graph::LocalOp>(&input->op());
    const ReadPart* reading = nullptr;
    try {
      if (local != nullptr) {
        const auto known = identity(engine, input);
        sandbox::ListView view(known->scan->tree);
        if (local->owner != graph::Owner{}) add("owner", owner_text(local->owner));
        for (const ReadPart* part : of_input) {
          reading = part;
          add_selection(*part, local_label(*local), sandbox::select_content(view, part->action));
        }
      } else if (inputs != nullptr) {
        sandbox::SelectRequest request;
        request.layers = layers_of(*options.store, inputs->at(i).result);
        request.path = tree_path(inputs->at(i).result);
        for (const ReadPart* part : of_input) request.actions.push_back(part->action);
        std::vector<sandbox::Selection> selections = engine.worker().select(request);
        const std::string label = fmt::format("result of {}: file", node_title(*input));
        for (size_t n = 0; n < of_input.size(); ++n)
          add_selection(*of_input[n], label, std::move(selections.at(n)));
      } else {
        made.has_content = true;
        for (const ReadPart* part : of_input) {
          builder.add("selector", selector_text(part->action));
          add(fmt::format("{} from {}", part->what, node_title(*input)), input_key(input).hex());
        }
      }
    } catch (Error& error) {
      if (reading != nullptr)
        error.set_hint(missing_hint(*local, sandbox::needed_path(reading->action)));
      rethrow_placed(error, *node, "reading " + node_title(*input));
    }
  }
  for (const size_t i : whole_inputs(*node, parts)) {
    const NodeRef& input = node->inputs()[i];
    add((is_source(*input) ? "" : "result of ") + node_title(*input), input_key(input).hex());
  }

  if (const auto* exec = std::get_if<graph::ExecOp>(&node->op())) {
    add("isolation", isolation_name(options.isolation));
    for (const std::string& name : exec->config_names)
      add("config var " + name,
          keyed_digest(options.store->secret_key(), options.config.at(name)).hex());
    if (options.secrets_in_keys)
      for (const auto& [id, hash] : secret_hashes(*node)) add("secret " + id, hash);
  }
  // Owners cannot be kept with one id: what is built then is not what others build.
  if (single_id) add("ids", "single");
  made.key = builder.finish();
  return made;
}

// --- secrets ---

Digest Engine::State::secret_hash(const std::string& id) {
  const auto value = secret_value(id);
  return value ? keyed_digest(options.store->secret_key(), *value) : Digest();
}

// K3: outside the key, but a changed value can be told.
std::map<std::string, std::string> Engine::State::secret_hashes(const graph::Node& node) {
  std::map<std::string, std::string> hashes;
  if (const auto* exec = std::get_if<graph::ExecOp>(&node.op()))
    for (const graph::Mount& mount : exec->mounts)
      if (mount.type == graph::MountType::secret)
        if (const Digest hash = secret_hash(mount.secret_id)) hashes[mount.secret_id] = hash.hex();
  return hashes;
}

std::string Engine::State::changed_secret(const graph::Node& node, const cache::Result& result) {
  const auto known = result.extra.find("secrets");
  if (known == result.extra.end()) return {};
  const auto before = known->get<std::map<std::string, std::string>>();
  const auto now = secret_hashes(node);
  for (const auto& [id, hash] : now)
    if (!before.contains(id) || before.at(id) != hash) return id;
  for (const auto& [id, hash] : before)
    if (!now.contains(id)) return id;
  return {};
}

// --- ledgers ---

// Numbers of steps change when one is added elsewhere; what a step does stays its name.
std::string Engine::State::scope(const NodeRef& node) const {
  std::string title = node_title(*node);
  const size_t close = title.find(']'), slash = title.rfind('/', close);
  if (title.starts_with('[') && close != std::string::npos && slash != std::string::npos) {
    const size_t space = title.rfind(' ', slash);
    const size_t start = space == std::string::npos ? 1 : space;
    title.erase(start, close - start);
  }
  const std::string& place = node->description().file;
  const std::string file = place.substr(0, place.rfind(':'));
  return fmt::format("{}/{}/{}/{}", options.app_id, file, node->kind(), title);
}

cache::Ledger Engine::State::ledger(Engine& engine, const NodeRef& node, const NodeKey& own) {
  cache::Ledger ledger;
  const auto add_tree = [&](const std::string& label, ReadTree& read) {
    const std::lock_guard lock(read.mutex);
    if (!read.stored) read.stored = options.store->put_tree(read.tree);
    ledger.trees.emplace_back(label, read.stored);
  };
  // The files that a step's result goes back to say more than the names of the steps between.
  for (const NodeRef& below : graph::topological_order(node)) {
    const auto known = below == node ? nullptr : key(engine, below);
    for (const NodeKey::Read& read : (known ? *known : own).trees)
      if (below == node || read.local) add_tree(read.label, *read.tree);
    const auto* local = std::get_if<graph::LocalOp>(&below->op());
    if (local == nullptr || !read_whole(below)) continue;
    const auto scanned = identity(engine, below);
    ledger.trees.emplace_back(local_label(*local) + label_mark,
                              options.store->put_tree(scanned->scan->tree));
  }
  ledger.items = own.fields;
  for (const auto& [id, hash] : secret_hashes(*node))
    ledger.items.push_back({"secret " + id, hash});
  return ledger;
}

}  // namespace slipway::engine
