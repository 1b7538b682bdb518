// The graph's roots: images, directories, git commits and URLs become snapshots.
#include "base/files.h"
#include "base/text.h"
#include "engine/state.h"

namespace slipway::engine {
namespace {

constexpr int64_t second_ns = 1'000'000'000;

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

}  // namespace

std::shared_ptr<const SourceIdentity> Engine::State::identify(Engine& engine,
                                                              const graph::NodeRef& node) {
  auto identity = std::make_shared<SourceIdentity>();
  if (const auto* image = std::get_if<graph::ImageOp>(&node->op())) {
    identity->image = options.resolve_image(engine, *image);
    const ResolvedImage& resolved = identity->image;
    identity->text = resolved.chain.empty() ? resolved.identity : resolved.chain;
  } else if (const auto* local = std::get_if<graph::LocalOp>(&node->op())) {
    Needs wanted;
    {
      const std::lock_guard lock(memo_mutex);
      wanted = needs[node->digest()];
    }
    scan_local(*local, wanted.empty() ? Needs{""} : std::move(wanted), *identity);
  } else if (const auto* git = std::get_if<graph::GitOp>(&node->op())) {
    identity->commit =
        is_commit(git->ref) ? git->ref : options.fetcher.git_resolve(git->url, git->ref);
    // ADD --checksum: a prefix is enough (dockerfile.md C21).
    if (!git->checksum.empty() && !starts_with(identity->commit, git->checksum))
      fail(ExitCode::outside, "{}: {} leads to the commit {}, not to {}",
           fetch::public_url(git->url), git->ref.empty() ? "HEAD" : git->ref, identity->commit,
           git->checksum);
    identity->text = identity->commit;
  } else if (const auto* http = std::get_if<graph::HttpOp>(&node->op())) {
    identify_http(*http, *identity);
  }
  return identity;
}

// Without a checksum the bytes themselves decide: they are fetched to learn the key, unless the
// server says that they are those of the last time (C20).
void Engine::State::identify_http(const graph::HttpOp& op, SourceIdentity& identity) {
  identity.text = op.checksum;
  if (!op.checksum.empty()) return;
  cache::Store& store = *options.store;
  // The whole URL, credentials and all, as a keyed digest: a record must not give them away.
  const std::string memory = keyed_digest(store.secret_key(), op.url).hex();
  fetch::HttpRequest request;
  request.url = op.url;
  const auto before = store.find_value("http", memory);
  if (before) {
    identity.sha256 = before->value("sha256", std::string());
    lease.protect_blob(identity.sha256);
    if (store.has_blob(identity.sha256)) request.known_etag = before->value("etag", std::string());
  }
  const fetch::HttpResult got = options.fetcher.http(request);
  if (got.not_modified) {
    identity.mtime_ns = before->value("last_modified", int64_t{0}) * second_ns;
  } else {
    cache::BlobWriter blob = store.write_blob();
    std::vector<char> buffer(1 << 17);
    while (const size_t count = read_some(got.body.get(), buffer.data(), buffer.size()))
      blob.write(buffer.data(), count);
    identity.sha256 = blob.commit(got.sha256);
    lease.protect_blob(identity.sha256);
    identity.mtime_ns = got.last_modified * second_ns;
    store.put_value(
        "http", memory,
        {{"sha256", identity.sha256}, {"etag", got.etag}, {"last_modified", got.last_modified}});
  }
  identity.text = "sha256:" + identity.sha256;
  if (op.last_modified) identity.text += fmt::format(" {}", identity.mtime_ns / second_ns);
}

cache::Result Engine::State::run_image(Engine& engine, const SourceIdentity& identity) {
  cache::Result result;
  const ResolvedImage& image = identity.image;
  const std::vector<cache::SnapshotId> layers =
      image.layers.empty() && image.unpack ? image.unpack(engine) : image.layers;
  result.snapshot = layers.empty() ? 0 : layers.front();
  result.extra["host"] = image.host;
  result.extra["identity"] = image.identity;
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

cache::Result Engine::State::run_http(Engine& engine, const graph::HttpOp& op,
                                      const SourceIdentity& identity) {
  Fd body;
  std::string sha256 = identity.sha256;
  int64_t mtime_ns = identity.mtime_ns;
  if (op.checksum.empty()) {
    body = options.store->open_blob(sha256);
  } else {
    fetch::HttpRequest request;
    request.url = op.url;
    request.checksum = op.checksum;
    fetch::HttpResult got = options.fetcher.http(request);
    sha256 = got.sha256;
    mtime_ns = got.last_modified * second_ns;
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
    entry.mode = op.mode;
    entry.mtime_ns = op.last_modified ? mtime_ns : 0;
    entry.digest = hash_fd(body.get(), &entry.size);
    if (lseek(body.get(), 0, SEEK_SET) != 0) fail_errno("seek");
    copy->file(place(op.prefix, op.filename), entry.mode, op.owner, entry.mtime_ns, entry.size,
               std::move(body));
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
