// slug_driver STORE TREE OUT: makes a slug of a folder as a build does at its end — hash the tree
// through the stat cache, compress into the store, write the file — and says what it took, as one
// line of JSON. For slug_bench.sh.
#include <sys/resource.h>

#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "cache/source_scan.h"
#include "slug/slug.h"

using namespace slipway;

namespace {

class Clock {
 public:
  double lap_ms() {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double, std::milli> passed = now - last_;
    last_ = now;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

int run(const fs::path& store_path, const std::string& tree_path, const std::string& out_path) {
  Clock clock;
  const auto store = cache::Store::open(store_path);
  cache::Lease lease = store->lease();
  const Fd root = open_file(tree_path, O_RDONLY | O_DIRECTORY);
  const cache::ScannedSource scanned = cache::scan_source(*store, tree_path, root.get(), {});
  const double scan_ms = clock.lap_ms();

  slug::SlugInput input;
  input.tree = &scanned.tree;
  input.source_time = 1'500'000'000;
  size_t opened = 0;
  input.open = [&](const std::vector<std::string>& paths) {
    opened += paths.size();
    std::vector<Fd> files;
    for (const std::string& path : paths) files.push_back(open_at(root.get(), path, O_RDONLY));
    return files;
  };
  const cache::Artifact artifact = slug::write_slug(*store, lease, input);
  const double compress_ms = clock.lap_ms();

  const Fd out = open_file(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  store->write_artifact(artifact, out.get());
  const double write_ms = clock.lap_ms();

  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const Json report = {{"files", scanned.tree.entries.size()},
                       {"opened", opened},
                       {"chunks", artifact.chunks.size()},
                       {"raw_bytes", artifact.raw_size_bytes},
                       {"size_bytes", artifact.size_bytes},
                       {"sha256", artifact.sha256},
                       {"scan_ms", scan_ms},
                       {"compress_ms", compress_ms},
                       {"write_ms", write_ms},
                       {"peak_rss_kib", usage.ru_maxrss}};
  std::printf("%s\n", dump_json(report).c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: slug_driver STORE TREE OUT\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const Error& error) {
    std::fprintf(stderr, "slug_driver: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
