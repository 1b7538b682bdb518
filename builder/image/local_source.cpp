// Images of files: OCI layouts as folders and archives, docker-archives.
#include <sys/stat.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/text.h"
#include "image/archive_files.h"
#include "image/docker_archive.h"
#include "image/import.h"
#include "image/layout.h"
#include "image/layout_reader.h"

namespace slipway::image {
namespace {

struct KindName {
  const char* name;
  LocalSource::Kind kind;
};
constexpr KindName kind_names[] = {{"oci:", LocalSource::Kind::oci},
                                   {"oci-layout:", LocalSource::Kind::oci},
                                   {"oci-archive:", LocalSource::Kind::oci_archive},
                                   {"docker-archive:", LocalSource::Kind::docker_archive}};

Fd open_regular(const std::string& path, const std::string& what) {
  Fd file = open_at_if_exists(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!file) fail(ExitCode::outside, "there is no {}", what);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail_errno("stat {}", path);
  if (!S_ISREG(info.st_mode)) fail(ExitCode::outside, "{} is not a regular file", what);
  return file;
}

std::string read_limited(int file, const std::string& what) {
  std::string text;
  char buffer[65536];
  while (const size_t count = read_some(file, buffer, sizeof buffer)) {
    text.append(buffer, count);
    if (text.size() > oci::document_bytes_max)
      fail(ExitCode::outside, "{} is longer than {}", what, format_size(oci::document_bytes_max));
  }
  return text;
}

Imported import_layout(const ImportContext& context, const LocalSource& source,
                       const oci::Platform& platform) {
  const auto path_of = [&](const std::string& name) { return source.path + "/" + name; };
  const auto read = [&](const std::string& name) {
    return read_limited(open_regular(path_of(name), name).get(), name);
  };
  const FoundImage found = find_in_layout(read, source.tag, platform);
  return import_image(context, found.manifest, found.config, [&](const oci::Descriptor& blob) {
    return open_regular(path_of(blob_place(blob.digest)), blob_place(blob.digest));
  });
}

/// Copies blobs out of an archive into the store on a thread of its own, in the archive's order;
/// who needs one waits for it.
class ArchiveBlobs {
 public:
  ArchiveBlobs(const ImportContext& context, ArchiveFiles& files,
               const std::vector<oci::Descriptor>& blobs)
      : context_(context), files_(files) {
    for (const oci::Descriptor& blob : blobs) {
      const std::string hex = blob.digest.substr(std::string_view("sha256:").size());
      if (!context.store.has_blob(hex)) wanted_[blob_place(blob.digest)] = blob;
    }
    if (!wanted_.empty()) thread_ = std::thread([this] { copy(); });
  }
  ~ArchiveBlobs() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }
  ArchiveBlobs(const ArchiveBlobs&) = delete;
  ArchiveBlobs& operator=(const ArchiveBlobs&) = delete;

  Fd open(const oci::Descriptor& blob) {
    const std::string hex = blob.digest.substr(std::string_view("sha256:").size());
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || stored_.contains(blob.digest); });
    if (!stored_.contains(blob.digest)) {
      if (failure_) std::rethrow_exception(failure_);
      fail(ExitCode::outside, "the archive has no {}", blob_place(blob.digest));
    }
    lock.unlock();
    return context_.store.open_blob(hex);
  }

 private:
  void copy() {
    try {
      std::set<std::string> names;
      for (const auto& [name, blob] : wanted_) names.insert(name);
      std::optional<cache::BlobWriter> writer;
      uint64_t size = 0;
      files_.stream(names, [&](const std::string& name, std::string_view piece) {
        {
          const std::lock_guard lock(mutex_);
          if (stopping_) throw Interrupted();
        }
        context_.cancel.check();
        const oci::Descriptor& blob = wanted_.at(name);
        if (!writer) {
          writer.emplace(context_.store.write_blob());
          size = 0;
        }
        if (!piece.empty()) {
          size += piece.size();
          if (size > blob.size_bytes)
            fail(ExitCode::outside, "{} has more than the {} bytes that the manifest says",
                 blob.digest, blob.size_bytes);
          writer->write(piece.data(), piece.size());
          return;
        }
        if (size != blob.size_bytes)
          fail(ExitCode::outside, "{} has {} bytes, the manifest says {}", blob.digest, size,
               blob.size_bytes);
        (void)writer->commit(blob.digest.substr(std::string_view("sha256:").size()));
        writer.reset();
        const std::lock_guard lock(mutex_);
        stored_.insert(blob.digest);
        changed_.notify_all();
      });
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  const ImportContext& context_;
  ArchiveFiles& files_;
  std::map<std::string, oci::Descriptor> wanted_;  // by name in the archive
  std::mutex mutex_;                               // guards what follows
  std::condition_variable changed_;
  std::set<std::string> stored_;
  bool ended_ = false, stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

Imported import_archive(const ImportContext& context, const LocalSource& source,
                        const oci::Platform& platform) {
  ArchiveFiles files(source.path);
  const FoundImage found = find_in_layout(
      [&](const std::string& name) { return files.read(name, oci::document_bytes_max); },
      source.tag, platform);
  const oci::Document document = oci::parse_document(found.manifest);
  SLIPWAY_CHECK(document.manifest.has_value());
  ArchiveBlobs blobs(context, files, document.manifest->layers);
  return import_image(context, found.manifest, found.config,
                      [&](const oci::Descriptor& blob) { return blobs.open(blob); });
}

}  // namespace

std::string LocalSource::to_string() const {
  const char* word = kind == Kind::oci           ? "oci:"
                     : kind == Kind::oci_archive ? "oci-archive:"
                                                 : "docker-archive:";
  if (tag.empty()) return word + path;
  return fmt::format("{}{}{}{}", word, path, oci::is_digest(tag) ? "@" : ":", tag);
}

std::optional<LocalSource> parse_local_source(const std::string& text) {
  for (const auto& [name, kind] : kind_names) {
    if (!starts_with(text, name)) continue;
    std::string_view rest = std::string_view(text).substr(std::string_view(name).size());
    // "oci-layout://<dir>", as other builders write it.
    if (starts_with(rest, "//")) rest.remove_prefix(2);
    LocalSource source;
    source.kind = kind;
    size_t end = rest.find("@sha256:");
    size_t skip = 1;
    if (end == std::string_view::npos || kind == LocalSource::Kind::docker_archive)
      end = rest.find(':');
    if (end == std::string_view::npos) {
      end = rest.size();
      skip = 0;
    }
    source.path = rest.substr(0, end);
    source.tag = rest.substr(end + skip);
    if (source.path.empty())
      throw Error(ExitCode::usage, fmt::format("'{}' names no path", printable(text)))
          .set_hint(fmt::format("{}<path>[:<tag>]", name));
    if (rest.substr(end, skip) == "@" && !oci::is_digest(source.tag))
      throw Error(ExitCode::usage, fmt::format("'{}' is not a digest", printable(source.tag)))
          .set_hint("a digest is sha256: and 64 lower-case hex digits");
    return source;
  }
  return std::nullopt;
}

Imported import_local(const ImportContext& context, const LocalSource& source,
                      const oci::Platform& platform) {
  try {
    switch (source.kind) {
      case LocalSource::Kind::oci:
        return import_layout(context, source, platform);
      case LocalSource::Kind::oci_archive:
        return import_archive(context, source, platform);
      case LocalSource::Kind::docker_archive:
        return import_docker_archive(context, source.path, source.tag);
    }
    throw std::logic_error("unknown kind of image source");
  } catch (Error& error) {
    error.add_context("reading the image " + source.to_string());
    throw;
  }
}

}  // namespace slipway::image
