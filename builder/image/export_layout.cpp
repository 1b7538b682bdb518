// An OCI layout as a folder.
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "base/error.h"
#include "base/files.h"
#include "image/blobs.h"
#include "image/cache_folder.h"
#include "image/export.h"
#include "image/layout.h"

namespace slipway::image {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY;

// Makes or opens a folder of the layout; never through a link.
Fd open_folder(int parent, const char* name) {
  if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) fail_errno("create {}", name);
  return open_at(parent, name, folder_flags | O_NOFOLLOW);
}

// What was written by now is taken back unless all went well.
class NewBlobs {
 public:
  explicit NewBlobs(int folder) : folder_(folder) {}
  NewBlobs(const NewBlobs&) = delete;
  NewBlobs& operator=(const NewBlobs&) = delete;
  ~NewBlobs() {
    for (const std::string& name : names_) (void)unlinkat(folder_, name.c_str(), 0);
  }
  void keep() { names_.clear(); }

  void write(const ExportContext& context, const std::string& hex, const BlobSource& blob) {
    const auto there = stat_at(folder_, hex);
    if (there && S_ISREG(there->st_mode) &&
        static_cast<uint64_t>(there->st_size) == blob.size_bytes)
      return;
    const std::string temporary = fmt::format(".{}.{}", hex, to_hex(random_bytes(6)));
    const Fd file = open_at(folder_, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    try {
      write_blob(context.store, context.lease, blob, file.get());
      if (fdatasync(file.get()) != 0) fail_errno("write blob {}", hex);
      if (renameat(folder_, temporary.c_str(), folder_, hex.c_str()) != 0)
        fail_errno("rename blob {}", hex);
    } catch (...) {
      (void)unlinkat(folder_, temporary.c_str(), 0);
      throw;
    }
    if (!there) names_.push_back(hex);
  }

 private:
  int folder_;
  std::vector<std::string> names_;
};

// Empty = a new layout; else the text of its index.json.
std::string existing_index(int layout) {
  if (list_directory(layout).empty()) return {};
  const Fd mark = open_at_if_exists(layout, layout_file, O_RDONLY | O_NOFOLLOW);
  const Fd index = open_at_if_exists(layout, index_file, O_RDONLY | O_NOFOLLOW);
  if (!mark || !index)
    throw Error(ExitCode::machine, "the folder holds something else than an OCI layout")
        .set_hint("name a folder that is absent, empty or an OCI layout");
  return read_all(index.get(), oci::document_bytes_max);
}

/// index.json of a layout, made of the one before (empty = none).
using MakeIndex = std::function<std::string(std::string_view existing)>;
using Blobs = std::map<std::string, BlobSource>;

void write_into(const ExportContext& context, const fs::path& dir, int layout,
                const MakeIndex& make_index, const Blobs& sources) {
  // One writer at a time: index.json is read and replaced.
  while (flock(layout, LOCK_EX) != 0)
    if (errno != EINTR) fail_errno("lock {}", dir.string());
  const std::string existing = existing_index(layout);
  const std::string index = make_index(existing);
  const Fd all_blobs = open_folder(layout, "blobs");
  const Fd folder = open_folder(all_blobs.get(), "sha256");
  NewBlobs blobs(folder.get());
  for (const auto& [digest, blob] : sources) {
    context.cancel.check();
    blobs.write(context, digest.substr(std::string_view("sha256:").size()), blob);
  }
  if (existing.empty()) write_file_atomic(dir / layout_file, layout_text);
  // Last: who reads it finds all that it names.
  write_file_atomic(dir / index_file, index);
  blobs.keep();
}

void write_layout(const ExportContext& context, const fs::path& dir, const MakeIndex& make_index,
                  const Blobs& blobs) {
  const Fd existing = open_at_if_exists(AT_FDCWD, dir.string(), folder_flags);
  if (existing) return write_into(context, dir, existing.get(), make_index, blobs);
  const fs::path target = fs::absolute(dir).lexically_normal();
  const fs::path named = target.filename().empty() ? target.parent_path() : target;
  make_directories(named.parent_path());
  const fs::path fresh = named.parent_path() /
                         fmt::format(".{}.{}", named.filename().string(), to_hex(random_bytes(6)));
  if (mkdir(fresh.c_str(), 0755) != 0) fail_errno("create {}", fresh.string());
  try {
    const Fd layout = open_file(fresh.string(), folder_flags);
    write_into(context, fresh, layout.get(), make_index, blobs);
    if (rename(fresh.c_str(), named.c_str()) != 0) fail_errno("rename {}", fresh.string());
  } catch (...) {
    remove_tree(fresh);
    throw;
  }
}

}  // namespace

std::vector<Published> export_oci_layout(const ExportContext& context, const fs::path& dir,
                                         const std::vector<Named>& images) {
  std::vector<Assembled> outputs;
  for (const Named& named : images) outputs.push_back(assemble(named));
  try {
    write_layout(
        context, dir,
        [&](std::string_view existing) { return layout_index(images, outputs, existing); },
        blobs_of(outputs));
  } catch (Error& error) {
    error.add_context("writing the OCI layout " + dir.string());
    throw;
  }
  std::vector<Published> published;
  for (Assembled& output : outputs) published.push_back(std::move(output.published));
  return published;
}

void write_cache_folder(const ExportContext& context, const fs::path& dir, const std::string& tag,
                        const CacheBundle& bundle) {
  Blobs blobs;
  for (const Layer& layer : bundle.layers)
    blobs[layer.blob.digest] = {&layer, nullptr, layer.blob.size_bytes};
  for (const Document* document : {&bundle.config, &bundle.manifest})
    blobs[document->descriptor.digest] = {nullptr, document, document->bytes.size()};
  write_layout(
      context, dir,
      [&](std::string_view existing) { return layout_index(bundle.manifest, tag, existing); },
      blobs);
}

}  // namespace slipway::image
