// A directory of the user's: which part of it is needed, what it holds, its copy in the store.
#include <algorithm>
#include <set>
#include <unordered_set>

#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"
#include "sandbox/path_match.h"
#include "sandbox/source_view.h"

namespace slipway::engine {
namespace {

// Beyond this, looking a name up through every layer costs more than one flat copy of links.
constexpr size_t local_chain_max = 24;
// Links may lead to links; a tree of them is scanned whole in the end.
constexpr int link_rounds_max = 8;

bool covers(const std::string& folder, const std::string& path) {
  return folder.empty() || path == folder || starts_with(path, folder + "/");
}
bool covered(const Needs& needs, const std::string& path) {
  return std::any_of(needs.begin(), needs.end(),
                     [&](const std::string& need) { return covers(need, path); });
}
bool leads_to(const Needs& needs, const std::string& folder) {
  return std::any_of(needs.begin(), needs.end(),
                     [&](const std::string& need) { return covers(folder, need); });
}
void add_need(Needs& needs, const std::string& path) {
  if (covered(needs, path)) return;
  std::erase_if(needs, [&](const std::string& need) { return covers(path, need); });
  needs.insert(path);
}

bool below_bin(const std::string& path) {
  return starts_with(path, "bin/");
}

// G6: hidden folders are walked for what is not hidden in them, and kept only for that.
void drop_hidden_folders(archive::Tree& tree, const source::PathPatterns& patterns) {
  std::unordered_set<std::string> parents;
  std::vector<archive::TreeEntry> kept;
  for (auto entry = tree.entries.rbegin(); entry != tree.entries.rend(); ++entry) {
    const bool hidden = entry->type == archive::EntryType::directory &&
                        patterns.hides(entry->path) && !parents.contains(entry->path);
    if (hidden) continue;
    const size_t slash = entry->path.rfind('/');
    if (slash != std::string::npos) parents.insert(entry->path.substr(0, slash));
    kept.push_back(std::move(*entry));
  }
  std::reverse(kept.begin(), kept.end());
  tree.entries = std::move(kept);
}

std::string place(const std::string& prefix, const std::string& path) {
  if (prefix.empty()) return path;
  return path.empty() ? prefix : prefix + "/" + path;
}

bool same_content(const archive::TreeEntry& a, const archive::TreeEntry& b) {
  return a.type == b.type && a.mode == b.mode && a.digest == b.digest && a.link == b.link &&
         a.mtime_ns == b.mtime_ns;
}

/// Writes what changed since `before` into a layer over it.
class LocalCopy {
 public:
  LocalCopy(sandbox::CopyIn& copy, const graph::LocalOp& op, const archive::Tree& tree,
            std::function<Fd(const archive::TreeEntry&)> open)
      : copy_(copy), op_(op), tree_(tree), open_(std::move(open)) {}

  void run(const archive::Tree& before, Cancel& cancel) {
    size_t old = 0;
    const auto& gone = before.entries;
    for (const archive::TreeEntry& entry : tree_.entries) {
      cancel.check();
      while (old < gone.size() && gone[old].path < entry.path) hide(gone, old);
      const archive::TreeEntry* known = nullptr;
      if (old < gone.size() && gone[old].path == entry.path) known = &gone[old++];
      if (known != nullptr && same_content(*known, entry)) continue;
      write(entry);
      // What lay in a folder is hidden by what is no folder.
      if (known != nullptr && known->type == archive::EntryType::directory &&
          entry.type != archive::EntryType::directory)
        skip_below(gone, old, known->path);
    }
    while (old < gone.size()) hide(gone, old);
  }
  uint64_t files() const { return files_; }
  uint64_t bytes() const { return bytes_; }

 private:
  static void skip_below(const std::vector<archive::TreeEntry>& gone, size_t& old,
                         const std::string& folder) {
    while (old < gone.size() && starts_with(gone[old].path, folder + "/")) ++old;
  }

  void hide(const std::vector<archive::TreeEntry>& gone, size_t& old) {
    const archive::TreeEntry& entry = gone[old++];
    need_folders(entry.path);
    copy_.whiteout(place(op_.prefix, entry.path));
    // A removed folder's whiteout hides its children too.
    if (entry.type == archive::EntryType::directory) skip_below(gone, old, entry.path);
  }

  // A layer holds the folders of what it changes, even those that did not change themselves.
  void need_folders(const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string folder = path.substr(0, slash);
      if (!folders_.insert(folder).second) continue;
      const archive::TreeEntry* entry = tree_.find(folder);
      SLIPWAY_CHECK(entry != nullptr);
      copy_.directory(place(op_.prefix, folder), entry->mode, op_.owner, entry->mtime_ns);
    }
  }

  void write(const archive::TreeEntry& entry) {
    const std::string path = place(op_.prefix, entry.path);
    ++files_;
    need_folders(entry.path);
    switch (entry.type) {
      case archive::EntryType::directory:
        folders_.insert(entry.path);
        copy_.directory(path, entry.mode, op_.owner, entry.mtime_ns);
        return;
      case archive::EntryType::symlink:
        copy_.symlink(path, entry.link, op_.owner, entry.mtime_ns);
        return;
      case archive::EntryType::file:
        bytes_ += entry.size;
        copy_.file(path, entry.mode, op_.owner, entry.mtime_ns, entry.size, open_(entry));
    }
  }

  sandbox::CopyIn& copy_;
  const graph::LocalOp& op_;
  const archive::Tree& tree_;
  std::function<Fd(const archive::TreeEntry&)> open_;
  std::set<std::string> folders_;
  uint64_t files_ = 0, bytes_ = 0;
};

}  // namespace

// C23: a directory is read as far as the steps of this solve ask for it.
void Engine::State::collect_needs(const graph::NodeRef& root) {
  std::map<Digest, Needs> wanted;
  const auto all_of = [&](const graph::NodeRef& node) {
    if (is_local(*node)) wanted[node->digest()].insert("");
  };
  // A directory that is asked for itself is read whole, unless steps told before what they want.
  const bool asked_before = is_local(*root) && [&] {
    const std::lock_guard lock(memo_mutex);
    return needs.contains(root->digest());
  }();
  if (asked_before) return;
  all_of(root);
  for (const graph::NodeRef& node : graph::topological_order(root)) {
    std::vector<bool> in_parts(node->inputs().size(), false);
    for (const ReadPart& part : read_parts(*node)) {
      const graph::NodeRef& input = node->inputs().at(part.input);
      in_parts[part.input] = true;
      if (is_local(*input)) add_need(wanted[input->digest()], sandbox::needed_path(part.action));
    }
    for (size_t i = 0; i < in_parts.size(); ++i)
      if (!in_parts[i]) all_of(node->inputs()[i]);
  }
  const std::lock_guard lock(memo_mutex);
  for (const auto& [digest, paths] : wanted) {
    Needs& known = needs[digest];
    const size_t before = known.size();
    bool grown = before == 0;
    for (const std::string& path : paths) {
      if (!known.empty() && covered(known, path)) continue;
      add_need(known, path);
      grown = true;
    }
    if (!grown) continue;
    // What was found of a smaller part does not do any more.
    identities.erase(digest);
    solved.erase(digest);
    keys.erase(digest);
  }
}

bool Engine::State::read_whole(const graph::NodeRef& local) {
  const std::lock_guard lock(memo_mutex);
  return needs[local->digest()].contains("");
}

void Engine::State::scan_local(const graph::LocalOp& op, Needs wanted, SourceIdentity& identity) {
  const auto found = options.locals.find(op.name);
  SLIPWAY_CHECK(found != options.locals.end());
  const LocalDir& dir = found->second;
  const Fd root = open_file(dir.path, O_RDONLY | O_DIRECTORY);
  cache::ScanOptions scanning;
  scanning.cancel = options.cancel;
  scanning.normalise_modes = !dir.context;
  scanning.sockets_as_files = dir.context;
  scanning.ignored = [&](const std::string& path, bool is_directory) {
    // What leads to something may be a link.
    if (!covered(wanted, path) && !leads_to(wanted, path)) return true;
    if (dir.ignored && dir.ignored(path, is_directory)) return true;
    return !dir.patterns.empty() && dir.patterns.hides(path) &&
           (!is_directory || dir.patterns.may_skip_directory(path));
  };
  for (int round = 0;; ++round) {
    // Every part of a directory that is asked for has its own stat cache: it holds what it scanned.
    identity.scan_name = dir.path;
    if (!wanted.contains(""))
      identity.scan_name += "\n" + join({wanted.begin(), wanted.end()}, "\n");
    try {
      identity.scan = cache::scan_source(*options.store, identity.scan_name, root.get(), scanning);
    } catch (Error& error) {
      throw error.add_context("reading " + dir.path);
    }
    if (wanted.contains("")) break;
    // A link may lead to what was not asked for by name.
    sandbox::ListView view(identity.scan->tree);
    Needs more = wanted;
    for (const archive::TreeEntry& entry : identity.scan->tree.entries)
      if (entry.type == archive::EntryType::symlink)
        add_need(more, sandbox::resolve_in_root(view, entry.path, true).path);
    if (more == wanted) break;
    wanted = round < link_rounds_max ? more : Needs{""};
  }
  archive::Tree& tree = identity.scan->tree;
  if (!dir.patterns.empty()) drop_hidden_folders(tree, dir.patterns);
  if (op.executable_bin)
    for (archive::TreeEntry& entry : tree.entries)
      if (entry.type == archive::EntryType::file && below_bin(entry.path)) entry.mode |= 0111;
  identity.content = archive::tree_digest(tree);
  identity.text = identity.content.hex();
  for (const std::string& warning : identity.scan->warnings) options.stream->warning(warning);
}

// Only parts of a directory were read; what else is in it is looked up when a part is missing.
std::string Engine::State::missing_hint(const graph::LocalOp& op, const std::string& path) {
  const LocalDir& dir = options.locals.at(op.name);
  Fd folder = open_file(dir.path, O_RDONLY | O_DIRECTORY);
  std::string there;
  for (const std::string& part : sandbox::clean_components(path)) {
    const std::string name = place(there, part);
    const auto info = stat_at(folder.get(), part);
    if (!info) {
      std::vector<std::string> names = list_directory(folder.get());
      std::erase_if(names, [&](const std::string& near) {
        return dir.ignored && dir.ignored(place(there, near), false);
      });
      const auto near = closest(part, names);
      return near ? fmt::format("did you mean '/{}'?", printable(place(there, *near))) : "";
    }
    if (dir.ignored && dir.ignored(name, S_ISDIR(info->st_mode)))
      return fmt::format("'{}' is there, but an ignore file leaves it out", printable(name));
    if (!S_ISDIR(info->st_mode)) return "";
    folder = open_at(folder.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    there = name;
  }
  return "";
}

cache::Result Engine::State::run_local(Engine& engine, const graph::LocalOp& op,
                                       const SourceIdentity& identity) {
  const LocalDir& dir = options.locals.at(op.name);
  const archive::Tree& tree = identity.scan->tree;
  cache::Store& store = *options.store;

  // The snapshot is stacked on the directory's previous one: only what changed is copied.
  const std::string memory =
      KeyBuilder("local")
          .add("directory", dir.identity.empty()
                                ? fs::absolute(dir.path).lexically_normal().string()
                                : dir.identity)
          .add("prefix", op.prefix)
          .add("owner", fmt::format("{}:{}", op.owner.uid, op.owner.gid))
          .add("bin", op.executable_bin ? 1 : 0)
          .finish()
          .hex();
  const cache::Lock lock = store.lock("local-" + memory, options.cancel);
  archive::Tree before;
  cache::SnapshotId parent = 0;
  if (const auto previous = store.find_value("local", memory)) {
    const auto snapshot = store.find_snapshot(previous->value("snapshot", uint64_t{0}));
    if (snapshot && snapshot->tree) {
      try {
        before = store.read_tree(snapshot->tree);
        parent = snapshot->id;
        lease.protect_snapshot(parent);
      } catch (const Error&) {
        before = {};
      }
    }
  }

  sandbox::Worker& sandbox_worker = engine.worker();
  const cache::SnapshotId target = store.allocate_snapshot(lease);
  const std::unique_ptr<sandbox::CopyIn> copy = sandbox_worker.copy_in(target);
  const Fd root = open_file(dir.path, O_RDONLY | O_DIRECTORY);
  std::string made;
  for (const std::string& part : split(op.prefix, '/')) {
    if (part.empty()) continue;
    made = place(made, part);
    copy->directory(made, 0755, op.owner, 0);
  }
  LocalCopy copying(*copy, op, tree, [&](const archive::TreeEntry& entry) {
    // Nothing is read of an empty file, which may be a socket's name.
    if (entry.size == 0) return open_file("/dev/null", O_RDONLY);
    return cache::open_scanned(store, identity.scan_name, root.get(), entry);
  });
  copying.run(before, *options.cancel);
  copy->finish();

  cache::Snapshot snapshot;
  snapshot.id = target;
  snapshot.parent = parent;
  snapshot.kind = "source";
  snapshot.size_bytes = copying.bytes();
  snapshot.files = copying.files();
  snapshot.tree = store.put_tree(tree);
  snapshot.content = identity.content;
  if (parent != 0 && store.chain(parent).size() >= local_chain_max) {
    std::vector<cache::SnapshotId> layers = store.chain(parent);
    layers.insert(layers.begin(), target);
    snapshot.id = store.allocate_snapshot(lease);
    sandbox_worker.flatten(layers, snapshot.id);
    snapshot.parent = 0;
    snapshot.size_bytes = tree.total_size();
    snapshot.files = tree.entries.size();
  }
  store.commit_snapshot(snapshot);
  store.put_value("local", memory, {{"snapshot", snapshot.id}});

  cache::Result result;
  result.snapshot = snapshot.id;
  result.content = identity.content;
  result.trees = {snapshot.tree};
  result.extra["path"] = op.prefix;
  return result;
}

}  // namespace slipway::engine
