// Slugs: ./app/-rooted tar.gz (heroku.md §9), their manifest, and looking into any slug.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "archive/compress.h"
#include "archive/tree.h"
#include "base/json.h"
#include "cache/store.h"

namespace slipway::slug {

/// Which pack wrote a path last; index into Manifest::buildpacks, -1 = the app's source.
using WriterOf = std::map<std::string, int>;

struct BuildpackInfo {
  std::string name;      ///< as configured: "elixir", "heroku/nodejs", a URL
  std::string detected;  ///< detect's words
  std::string url, commit, digest;
};

/// Fits the Platform API's slug record (SLUG-6) and says more.
struct Manifest {
  std::string app, stack, commit, commit_description;
  std::string buildpack_provided_description;
  std::map<std::string, std::string> process_types;
  std::vector<BuildpackInfo> buildpacks;
  std::string checksum;  ///< "SHA256:<hex>" of the tgz
  uint64_t size_bytes = 0;
  uint64_t raw_size_bytes = 0;
  std::string compressor;
  std::string isolation;    ///< the rung reached
  int64_t source_time = 0;  ///< the one time source and build output carry, seconds
  Json to_json() const;
  static Manifest from_json(const Json& value);
};

struct SlugInput {
  const archive::Tree* tree = nullptr;  ///< BUILD_DIR, paths relative
  std::function<std::vector<Fd>(const std::vector<std::string>&)> open;
  int64_t source_time = 0;  ///< seconds; source and build output
  std::function<void(uint64_t raw_done, uint64_t raw_total)> on_progress;
  Cancel* cancel = nullptr;
};

/// Whether the path (relative to BUILD_DIR) is in a folder that holds runtimes and dependencies and
/// none of the app's own source: at the top .heroku, .platform_tools, .apt, .bundle, .jdk, .local,
/// .m2, deps, bower_components, vendor; node_modules anywhere.
bool is_dependency(std::string_view path);

/// Dependencies' folders (`.heroku`, `node_modules`, `vendor`, `deps`, …) get the fixed time
/// 1980-01-01T00:00:01Z, the rest source_time; never 0 (SLUG-4).
int64_t mtime_in_slug(const std::string& path, int64_t source_time);

/// Compresses into the store and returns the artifact. Hard links become copies, root owns all,
/// unusual files were left out by the scan already.
/// An unchanged slug is found by its listing: nothing is opened or compressed then. The id covers
/// all that decides the bytes (entries, times in the slug, compressor).
cache::Artifact write_slug(cache::Store& store, cache::Lease& lease, const SlugInput& input);

/// Size limits of heroku.md OUT-6 / SLUG-5.
inline constexpr uint64_t soft_limit_bytes = 300ULL << 20;
inline constexpr uint64_t hard_limit_bytes = 500ULL << 20;

/// What fills a slug; `slipway slug inspect`. Rows are sorted, the largest compressed first. A
/// member's compressed size is its share of the compressed stream by position, headers included, so
/// that folders add up to the whole (less the end marker).
struct Inspection {
  struct Row {
    std::string name;
    uint64_t raw_bytes = 0, compressed_bytes = 0, files = 0;
  };
  uint64_t raw_bytes = 0, compressed_bytes = 0, files = 0;
  std::vector<Row> folders;     ///< by first folder; .heroku, .platform_tools, vendor by the second
  std::vector<Row> packages;    ///< "npm lodash 4.17.21", "gem …", "wheel …", "hex …"
  std::vector<Row> buildpacks;  ///< empty without manifest and writers
  std::vector<Row> largest;     ///< the ten largest files
  std::vector<Row>
      duplicates;  ///< name = first copy, files = copies, bytes = those beyond the first
  std::map<std::string, std::string> process_types;  ///< from a Procfile inside, else manifest
  Json to_json() const;
};
/// Reads any slug (ours or not) from a file. Throws Error(app_files) when it is none.
/// `manifest` may be null; `writers` come from the store's record of the build, if known.
Inspection inspect_slug(int slug, const Manifest* manifest, const WriterOf* writers);

}  // namespace slipway::slug
