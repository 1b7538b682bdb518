#include "cache/inventory.h"

#include <map>

#include "cache/state.h"

namespace slipway::cache {

std::vector<StoredResult> list_results(const Store& store) {
  const Session index(store.state());
  std::map<uint64_t, size_t> places;
  std::vector<StoredResult> results;
  {
    Query row = index->query(
        "SELECT id, snapshot, content, extra FROM results ORDER BY last_use DESC, id DESC");
    while (row.next()) {
      places[row.number(0)] = results.size();
      results.push_back({{}, row.number(1), row.digest(2), row.json(3)});
    }
  }
  Query row = index->query("SELECT key, result FROM result_keys");
  while (row.next())
    if (const auto place = places.find(row.number(1)); place != places.end())
      results[place->second].keys.push_back(row.digest(0));
  return results;
}

std::vector<std::pair<std::string, SnapshotId>> list_app_caches(const Store& store) {
  const Session index(store.state());
  std::vector<std::pair<std::string, SnapshotId>> caches;
  Query row = index->query("SELECT id, snapshot FROM app_caches ORDER BY id");
  while (row.next()) caches.emplace_back(row.text(0), row.number(1));
  return caches;
}

}  // namespace slipway::cache
