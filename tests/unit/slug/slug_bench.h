// A store, a folder that plays BUILD_DIR, and slugs made of it.
#pragma once

#include <map>

#include "archive/tree_on_disk.h"
#include "base/text.h"
#include "slug/slug.h"

namespace slipway::slug {

struct SlugBench {
  TempDir dir = TempDir::create("slug-test");
  std::unique_ptr<cache::Store> store = cache::Store::open(dir.path() / "store");
  cache::Lease lease = store->lease();
  size_t opened = 0;

  fs::path app() const { return dir.path() / "build"; }
  void put(const std::string& path, std::string_view content, mode_t mode = 0644) {
    make_directories((app() / path).parent_path());
    write_file_atomic(app() / path, content, mode);
  }
  cache::Artifact write(int64_t source_time = 1'500'000'000) {
    const archive::Tree tree = archive::list_on_disk(app());
    return write_tree(tree, source_time);
  }
  cache::Artifact write_tree(const archive::Tree& tree, int64_t source_time = 1'500'000'000) {
    SlugInput input;
    input.tree = &tree;
    input.source_time = source_time;
    input.open = [this](const std::vector<std::string>& paths) {
      opened += paths.size();
      std::vector<Fd> files;
      for (const std::string& path : paths)
        files.push_back(open_file((app() / path).string(), O_RDONLY));
      return files;
    };
    return write_slug(*store, lease, input);
  }
  /// The slug as a file.
  fs::path file(const cache::Artifact& artifact, const std::string& name = "slug.tgz") const {
    const fs::path path = dir.path() / name;
    const Fd out = open_file(path.string(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    store->write_artifact(artifact, out.get());
    return path;
  }
  std::string run(const std::string& script) const {
    return archive::shell(script, {dir.path().string()});
  }
};

}  // namespace slipway::slug
