#include "build/cache_file.h"

#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "build/image_trees.h"
#include "build/pipeline_results.h"
#include "cache/inventory.h"
#include "engine/engine.h"
#include "image/cache_archive.h"
#include "sandbox/ids.h"

namespace slipway::build {
namespace {

using Folder = image::CacheDocument::Folder;

constexpr const char* mount_area = "cache-mount";
constexpr const char* mount_folder = "cache";  // of a mount's content in its layer

/// Engine, worker and trees without a build.
class Work {
 public:
  explicit Work(const Session& session) : session_(session), engine_(options(session)) {}
  ~Work() {
    try {
      if (engine_.worker_started()) engine_.sweep();
    } catch (const std::exception&) {
      return;
    }
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  engine::Engine& engine() { return engine_; }
  cache::Lease& lease() { return engine_.lease(); }
  image::Trees trees() { return image_trees(session_.store, engine_); }

  // By the machine's own cp, in the sandbox: the files may belong to mapped ids.
  void copy(sandbox::ExecSpec spec, const std::string& from, const std::string& to) {
    spec.root.host = true;
    spec.argv = {"/bin/cp", "-a", from + "/.", to + "/"};
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    std::string said;
    sandbox::ExecIo io;
    io.one_stream = true;
    io.on_stdout = [&said](std::string_view text) { said += text; };
    const sandbox::ExecResult result = engine_.worker().exec(spec, io, session_.cancel);
    if (!result.status.ok())
      fail(ExitCode::machine, "copying a cache mount failed ({}): {}", result.status.to_string(),
           printable(std::string(trim(said))));
  }

 private:
  static engine::Options options(const Session& session) {
    engine::Options made;
    made.store = &session.store;
    made.stream = &session.stream;
    made.cancel = &session.cancel;
    made.app_id = "cache";
    return made;
  }
  const Session& session_;
  engine::Engine engine_;
};

/// A cache mount's content as a snapshot; empty when another build uses it now.
std::optional<cache::SnapshotId> snapshot_of_mount(const Session& session, Work& work,
                                                   const std::string& name) {
  const auto lock = session.store.try_lock("cache-" + name);
  if (!lock) return std::nullopt;
  const cache::SnapshotId written = session.store.allocate_snapshot(work.lease());
  work.engine().worker().create(written, {{mount_folder, 0755, {}}});
  sandbox::ExecSpec spec;
  spec.workspace = sandbox::Workspace{written, {}};
  sandbox::StepMount from, to;
  from.kind = sandbox::StepMount::Kind::cache;
  from.name = name;
  from.dest = "/mnt/cache";
  to.kind = sandbox::StepMount::Kind::workspace;
  to.source = mount_folder;
  to.dest = "/mnt/to";
  spec.mounts = {from, to};
  work.copy(std::move(spec), from.dest, to.dest);
  cache::Snapshot kept;
  kept.id = session.store.allocate_snapshot(work.lease());
  kept.kind = "cache mount";
  work.engine().worker().move(written, mount_folder, kept.id, mount_folder);
  session.store.commit_snapshot(kept);
  return kept.id;
}

void add_folders(const Session& session, Work& work, std::vector<image::CacheItem>& items) {
  for (const auto& [id, snapshot] : cache::list_app_caches(session.store)) {
    work.lease().protect_snapshot(snapshot);
    if (!session.store.find_snapshot(snapshot)) continue;
    image::CacheItem item;
    item.top = snapshot;
    item.folder = Folder{Folder::Kind::app, id, {}, -1};
    items.push_back(std::move(item));
  }
  for (const auto& [name, value] : session.store.list_values(mount_area)) {
    // A further copy of a private cache is nobody's but the step's that made it.
    if (name.find('-') != std::string::npos) continue;
    if (!fs::exists(session.store.caches_dir() / name)) continue;
    const auto top = snapshot_of_mount(session, work, name);
    if (!top) {
      session.stream.warning("a cache mount that is in use now was left out");
      continue;
    }
    image::CacheItem item;
    item.top = *top;
    item.folder = Folder{Folder::Kind::mount, name, value.value("id", std::string()), -1};
    items.push_back(std::move(item));
  }
}

void add_results(const Session& session, Work& work, std::vector<image::CacheItem>& items) {
  for (const cache::StoredResult& result : cache::list_results(session.store)) {
    const Json& extra = result.extra;
    // Only what the engine made; sources are found again by whoever has them.
    if (!extra.contains("key") || extra.contains("origin") || extra.contains("identity")) continue;
    if (result.keys.empty()) continue;
    const auto known = session.store.find_result(result.keys.front(), work.lease());
    if (!known) continue;
    const auto pipeline = pipeline_facts(session.store, work.engine(), result.keys, *known);
    if ((extra.contains("path") || result.content) && !pipeline) continue;
    image::CacheItem item;
    item.first = Digest::from_hex(extra.at("key").get<std::string>());
    item.created = extra.value("created", int64_t{0});
    item.top = result.snapshot;
    if (pipeline) item.facts = *pipeline;
    for (const Digest& key : result.keys) {
      item.key = key;
      items.push_back(item);
    }
  }
}

class Import {
 public:
  Import(const Session& session, Work& work, const image::CacheArchive& archive)
      : session_(session), work_(work), listing_(archive.listing()), trees_(work.trees()) {}

  CacheFileCounts run() {
    for (const Folder& folder : listing_.document.folders)
      folder.kind == Folder::Kind::app ? add_app(folder) : add_mount(folder);
    for (const image::CacheDocument::Result& result : listing_.document.results)
      if (result.chain) add_result(result);
    session_.store.sync();
    return counts_;
  }

 private:
  cache::SnapshotId bring(int64_t chain) {
    if (chain < 0) return 0;
    const image::ImportContext context{
        session_.store,
        work_.lease(),
        trees_,
        session_.cancel,
        [this](const std::string& text) { session_.stream.warning(text); },
        {}};
    // The blobs are in the store: nobody is asked for one.
    return image::import_chain(context, listing_, chain,
                               [](const oci::Descriptor& blob) -> Fd {
                                 fail(ExitCode::outside, "the blob {} is missing", blob.digest);
                               })
        .snapshot;
  }

  void add_app(const Folder& folder) {
    if (session_.store.app_cache(folder.name) != 0) {
      ++counts_.left_out;
      return;
    }
    session_.store.set_app_cache(folder.name, bring(folder.chain));
    ++counts_.apps;
  }

  void add_mount(const Folder& folder) {
    const auto lock = session_.store.try_lock("cache-" + folder.name);
    if (!lock || fs::exists(session_.store.caches_dir() / folder.name)) {
      ++counts_.left_out;
      return;
    }
    sandbox::ExecSpec spec;
    sandbox::StepMount from, to;
    from.kind = sandbox::StepMount::Kind::layers;
    from.layers = session_.store.chain(bring(folder.chain));
    from.source = mount_folder;
    from.dest = "/mnt/from";
    from.readonly = true;
    to.kind = sandbox::StepMount::Kind::cache;
    to.name = folder.name;
    to.dest = "/mnt/cache";
    spec.mounts = {from, to};
    work_.copy(std::move(spec), from.dest, to.dest);
    session_.store.put_value(mount_area, folder.name, {{"id", folder.id}});
    ++counts_.mounts;
  }

  void add_result(const image::CacheDocument::Result& row) {
    if (session_.store.peek_result(row.key)) {
      ++counts_.left_out;
      return;
    }
    const cache::SnapshotId top = bring(*row.chain);
    cache::Result result;
    if (row.facts.is_object())
      result = take_pipeline(session_.store, work_.engine(), row.key, top, row.facts);
    result.snapshot = top;
    result.extra["key"] = row.first.hex();
    result.extra["created"] = row.created;
    session_.store.put_result({row.key}, result, "imported", {});
    ++counts_.results;
  }

  const Session& session_;
  Work& work_;
  const image::CacheListing& listing_;
  const image::Trees trees_;
  CacheFileCounts counts_;
};

}  // namespace

CacheFileCounts export_cache(const Session& session, const fs::path& file,
                             uint64_t size_max_bytes) {
  Work work(session);
  std::vector<image::CacheItem> items;
  add_folders(session, work, items);
  add_results(session, work, items);
  image::LayerOptions options;
  options.cancel = &session.cancel;
  options.on_warning = [&session](const std::string& text) { session.stream.warning(text); };
  const image::CacheBundle bundle =
      image::bundle_cache(session.store, work.lease(), work.trees(), items, {},
                          archive::Codec::gzip, options, {size_max_bytes});
  try {
    image::write_cache_archive({session.store, work.lease(), session.cancel}, file, bundle);
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    throw error.add_context("writing " + file.string());
  }
  CacheFileCounts counts;
  for (const image::CacheDocument::Result& result : bundle.document.results)
    counts.results += result.chain ? 1 : 0;
  for (const Folder& folder : bundle.document.folders)
    ++(folder.kind == Folder::Kind::app ? counts.apps : counts.mounts);
  for (const image::Layer& layer : bundle.layers) counts.size_bytes += layer.blob.size_bytes;
  counts.left_out = bundle.left_out;
  return counts;
}

CacheFileCounts import_cache(const Session& session, const fs::path& file) {
  if (!fs::exists(file)) fail(ExitCode::usage, "there is no file {}", printable(file.string()));
  try {
    image::CacheArchive archive(file, session.cancel);
    Work work(session);
    const std::string& ids = archive.listing().document.ids;
    if (ids != work.trees().ids)
      throw Error(ExitCode::machine,
                  fmt::format("owners are kept another way in it ({} ids, here {})", printable(ids),
                              work.trees().ids))
          .set_hint("export it where subordinate ids are as they are here");
    archive.bring_blobs(session.store, work.lease(), session.cancel);
    return Import(session, work, archive).run();
  } catch (const Interrupted&) {
    throw;
  } catch (Error& error) {
    throw error.add_context("importing " + file.string());
  }
}

}  // namespace slipway::build
