// A store that images are brought into, for tests.
#pragma once

#include <functional>

#include "base/error.h"
#include "image/image_fixture.h"
#include "image/import.h"

namespace slipway::image::testing {

struct Imports : Exports {
  Trees own_trees = trees();
  std::vector<std::string> warnings;

  ImportContext importing() {
    return {*store,
            *lease,
            own_trees,
            cancel,
            [this](const std::string& text) { warnings.push_back(text); },
            {}};
  }
  Imported from(const std::string& text) {
    const auto source = parse_local_source(text);
    REQUIRE(source);
    return import_local(importing(), *source, oci::Platform{});
  }
  /// A store that knows nothing yet.
  void fresh_store(const std::string& name = "fresh") {
    lease.reset();
    store.reset();
    store = cache::Store::open(dir.path() / name);
    lease = store->lease();
    unpacked = 0;
  }
  Error error_of(const std::string& text) {
    try {
      (void)from(text);
    } catch (const Error& error) {
      return error;
    }
    FAIL("nothing was thrown");
    return Error(ExitCode::bug, "");
  }
  size_t committed() const {
    size_t count = 0;
    for (cache::SnapshotId id = 1; id < 100; ++id) count += store->find_snapshot(id) ? 1 : 0;
    return count;
  }
};

inline void edit(const fs::path& file, const std::function<void(Json&)>& change) {
  Json json = Json::parse(read_file(file));
  change(json);
  write_file_atomic(file, json.dump());
}

}  // namespace slipway::image::testing
