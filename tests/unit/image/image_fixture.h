// Images out of hand-made layers, and the tools that read what is written.
#pragma once

#include "base/process.h"
#include "image/blobs.h"
#include "image/export.h"
#include "image/trees_fixture.h"

namespace slipway::image::testing {

struct Exports : Images {
  ExportContext context() { return {*store, *lease, cancel}; }

  Image image(const std::vector<cache::SnapshotId>& snapshots_of_layers,
              archive::Codec codec = archive::Codec::gzip) {
    Image made;
    made.config.created = "2024-05-06T07:08:09Z";
    made.config.config.cmd = {{"/hello"}};
    for (const cache::SnapshotId id : snapshots_of_layers) {
      made.layers.push_back(write(id, codec));
      made.config.diff_ids.push_back(made.layers.back().diff_id);
      made.config.history.push_back(
          {.created = made.config.created, .created_by = fmt::format("COPY {}", id)});
    }
    return made;
  }
  static Named named(const Image& image, const std::vector<std::string>& names) {
    Named one;
    one.platforms = {image};
    one.names = names;
    return one;
  }
  fs::path out(const std::string& name) const { return dir.path() / name; }
};

/// The full name that a short one stands for.
inline std::string full(const std::string& name) {
  return oci::parse_reference(name).canonical();
}

/// Runs a tool that may be missing; empty = it is.
inline std::optional<std::string> tool(const std::vector<std::string>& argv) {
  if (find_program(argv.front()).empty()) {
    WARN("skipped: " << argv.front() << " is not installed");
    return std::nullopt;
  }
  RunOptions options;
  options.argv = argv;
  return run_ok(options).out;
}

inline std::vector<std::string> files_below(const fs::path& dir) {
  std::vector<std::string> list;
  for (const auto& at : fs::recursive_directory_iterator(dir))
    list.push_back(at.path().lexically_relative(dir).string());
  std::sort(list.begin(), list.end());
  return list;
}

}  // namespace slipway::image::testing
