// The graph's roots: images, directories, git commits and URLs become snapshots.
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"

namespace slipway::engine {
namespace {

// Beyond this, looking a name up through every layer costs more than one flat copy of links.
constexpr size_t local_chain_max = 24;

bool is_commit(const std::string& ref) {
  return (ref.size() == 40 || ref.size() == 64) &&
         ref.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string place(const std::string& prefix, const std::string& path) {
  if (prefix.empty()) return path;
  return path.empty() ? prefix : prefix + "/" + path;
}

void make_prefix(sandbox::CopyIn& copy, const std::string& prefix, const graph::Owner& owner) {
  std::string made;
  for (const std::string& part : split(prefix, '/')) {
    if (part.empty()) continue;
    made = place(made, part);
    copy.directory(made, 0755, owner, 0);
  }
}

bool same_content(const archive::TreeEntry& a, const archive::TreeEntry& b) {
  return a.type == b.type && a.mode == b.mode && a.digest == b.digest && a.link == b.link &&
         a.mtime_ns == b.mtime_ns;
}

bool below_bin(const std::string& path) {
  return starts_with(path, "bin/");
}

}  // namespace

std::shared_ptr<const SourceIdentity> Engine::State::identify(Engine& engine,
                                                              const graph::NodeRef& node) {
  auto identity = std::make_shared<SourceIdentity>();
  if (const auto* image = std::get_if<graph::ImageOp>(&node->op())) {
    identity->image = options.resolve_image(engine, *image);
    identity->text = identity->image.identity;
  } else if (const auto* local = std::get_if<graph::LocalOp>(&node->op())) {
    const auto found = options.locals.find(local->name);
    SLIPWAY_CHECK(found != options.locals.end());
    const Fd root = open_file(found->second.path, O_RDONLY | O_DIRECTORY);
    cache::ScanOptions scanning;
    scanning.ignored = found->second.ignored;
    scanning.cancel = options.cancel;
    try {
      identity->scan = cache::scan_source(*options.store, found->second.path, root.get(), scanning);
    } catch (Error& error) {
      throw error.add_context("reading " + found->second.path);
    }
    if (local->executable_bin)
      for (archive::TreeEntry& entry : identity->scan->tree.entries)
        if (entry.type == archive::EntryType::file && below_bin(entry.path)) entry.mode |= 0111;
    identity->content = archive::tree_digest(identity->scan->tree);
    identity->text = identity->content.hex();
    for (const std::string& warning : identity->scan->warnings) options.stream->warning(warning);
  } else if (const auto* git = std::get_if<graph::GitOp>(&node->op())) {
    identity->commit =
        is_commit(git->ref) ? git->ref : options.fetcher.git_resolve(git->url, git->ref);
    identity->text = identity->commit;
  } else if (const auto* http = std::get_if<graph::HttpOp>(&node->op())) {
    // Without a checksum the bytes themselves decide: they are fetched to learn the key.
    identity->text = http->checksum;
    if (identity->text.empty()) {
      fetch::HttpResult body = options.fetcher.http({http->url, {}, 10ULL << 30, 3});
      cache::BlobWriter blob = options.store->write_blob();
      std::vector<char> buffer(1 << 17);
      while (const size_t count = read_some(body.body.get(), buffer.data(), buffer.size()))
        blob.write(buffer.data(), count);
      const std::string sha256 = blob.commit(body.sha256);
      lease.protect_blob(sha256);
      identity->text = "sha256:" + sha256;
    }
  }
  return identity;
}

cache::Result Engine::State::run_image(const SourceIdentity& identity) {
  cache::Result result;
  result.snapshot = identity.image.layers.empty() ? 0 : identity.image.layers.front();
  result.extra["host"] = identity.image.host;
  result.extra["identity"] = identity.text;
  return result;
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
  make_prefix(*copy, op.prefix, op.owner);
  // A layer holds the folders of what it changes, even those that did not change themselves.
  std::set<std::string> folders;
  const auto need_folders = [&](const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const std::string folder = path.substr(0, slash);
      if (!folders.insert(folder).second) continue;
      const archive::TreeEntry* entry = tree.find(folder);
      SLIPWAY_CHECK(entry != nullptr);
      copy->directory(place(op.prefix, folder), entry->mode, op.owner, entry->mtime_ns);
    }
  };
  const auto hide = [&](const std::string& path) {
    need_folders(path);
    copy->whiteout(place(op.prefix, path));
  };
  uint64_t copied_bytes = 0, copied_files = 0;
  size_t old = 0;
  for (const archive::TreeEntry& entry : tree.entries) {
    options.cancel->check();
    for (; old < before.entries.size() && before.entries[old].path < entry.path; ++old) {
      // A removed folder's whiteout hides its children too.
      const archive::TreeEntry& gone = before.entries[old];
      hide(gone.path);
      if (gone.type == archive::EntryType::directory)
        while (old + 1 < before.entries.size() &&
               starts_with(before.entries[old + 1].path, gone.path + "/"))
          ++old;
    }
    const archive::TreeEntry* known = nullptr;
    if (old < before.entries.size() && before.entries[old].path == entry.path)
      known = &before.entries[old++];
    if (known != nullptr && same_content(*known, entry)) continue;
    const std::string path = place(op.prefix, entry.path);
    ++copied_files;
    need_folders(entry.path);
    switch (entry.type) {
      case archive::EntryType::directory:
        folders.insert(entry.path);
        copy->directory(path, entry.mode, op.owner, entry.mtime_ns);
        break;
      case archive::EntryType::symlink:
        copy->symlink(path, entry.link, op.owner, entry.mtime_ns);
        break;
      case archive::EntryType::file:
        copied_bytes += entry.size;
        copy->file(path, entry.mode, op.owner, entry.mtime_ns, entry.size,
                   cache::open_scanned(store, dir.path, root.get(), entry));
        break;
    }
    if (known != nullptr && known->type == archive::EntryType::directory &&
        entry.type != archive::EntryType::directory)
      while (old < before.entries.size() &&
             starts_with(before.entries[old].path, known->path + "/"))
        ++old;
  }
  for (; old < before.entries.size(); ++old) {
    const archive::TreeEntry& gone = before.entries[old];
    hide(gone.path);
    if (gone.type == archive::EntryType::directory)
      while (old + 1 < before.entries.size() &&
             starts_with(before.entries[old + 1].path, gone.path + "/"))
        ++old;
  }
  copy->finish();

  cache::Snapshot snapshot;
  snapshot.id = target;
  snapshot.parent = parent;
  snapshot.kind = "source";
  snapshot.size_bytes = copied_bytes;
  snapshot.files = copied_files;
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

namespace {

cache::Result unpacked(Engine::State& state, Engine& engine, int tar, const std::string& prefix,
                       const graph::Owner& owner, bool executable_bin, bool strip_wrapper) {
  cache::Store& store = *state.options.store;
  cache::Snapshot snapshot;
  snapshot.id = store.allocate_snapshot(state.lease);
  sandbox::UnpackOptions unpacking;
  unpacking.prefix = prefix;
  unpacking.owner = owner;
  unpacking.bin_executable = executable_bin;
  unpacking.strip_wrapper = strip_wrapper;
  const archive::Tree tree = engine.worker().unpack(snapshot.id, tar, unpacking);
  snapshot.kind = "source";
  snapshot.size_bytes = tree.total_size();
  snapshot.files = tree.entries.size();
  snapshot.tree = store.put_tree(tree);
  snapshot.content = archive::tree_digest(tree);
  store.commit_snapshot(snapshot);
  cache::Result result;
  result.snapshot = snapshot.id;
  result.content = snapshot.content;
  result.trees = {snapshot.tree};
  result.extra["path"] = prefix;
  return result;
}

}  // namespace

cache::Result Engine::State::run_git(Engine& engine, const graph::GitOp& op,
                                     const SourceIdentity& identity) {
  fetch::GitRequest request;
  request.url = op.url;
  request.ref = op.ref;
  request.commit = identity.commit;
  request.subdir = op.subdir;
  request.keep_git_dir = op.keep_git_dir;
  request.submodules = op.submodules;
  const fetch::GitResult got = options.fetcher.git(request);
  cache::Result result =
      unpacked(*this, engine, got.tar.get(), op.prefix, op.owner, op.executable_bin, false);
  result.extra["commit"] = got.commit;
  result.extra["commit_time"] = got.commit_time;
  return result;
}

cache::Result Engine::State::run_http(Engine& engine, const graph::HttpOp& op) {
  const std::string checksum = op.checksum;
  Fd body;
  std::string sha256;
  if (checksum.empty()) {
    // identify() put the bytes in the store to learn their digest.
    const auto node = graph::Node::make(op);
    sha256 = identity(engine, node)->text.substr(std::string_view("sha256:").size());
    body = options.store->open_blob(sha256);
  } else {
    fetch::HttpResult got = options.fetcher.http({op.url, checksum, 10ULL << 30, 3});
    sha256 = got.sha256;
    body = std::move(got.body);
  }
  cache::Result result;
  if (op.unpack) {
    result = unpacked(*this, engine, body.get(), op.prefix, op.owner, op.executable_bin,
                      op.strip_wrapper);
  } else {
    cache::Store& store = *options.store;
    cache::Snapshot snapshot;
    snapshot.id = store.allocate_snapshot(lease);
    const auto copy = engine.worker().copy_in(snapshot.id);
    make_prefix(*copy, op.prefix, op.owner);
    archive::TreeEntry entry;
    entry.path = op.filename;
    entry.mode = 0600;
    entry.digest = hash_fd(body.get(), &entry.size);
    if (lseek(body.get(), 0, SEEK_SET) != 0) fail_errno("seek");
    copy->file(place(op.prefix, op.filename), entry.mode, op.owner, 0, entry.size, std::move(body));
    copy->finish();
    archive::Tree tree;
    tree.entries.push_back(entry);
    snapshot.kind = "source";
    snapshot.size_bytes = entry.size;
    snapshot.files = 1;
    snapshot.tree = store.put_tree(tree);
    snapshot.content = archive::tree_digest(tree);
    store.commit_snapshot(snapshot);
    result.snapshot = snapshot.id;
    result.content = snapshot.content;
    result.trees = {snapshot.tree};
    result.extra["path"] = op.prefix;
  }
  result.extra["sha256"] = sha256;
  return result;
}

}  // namespace slipway::engine
