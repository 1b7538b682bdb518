// What a remote cache says of itself: which keys lead to which layers. It is the config of an OCI
// artifact whose manifest lists the layers, so that any registry keeps it and any tool copies it.
//
//   {"slipway.cache": 1, "scope": "main", "ids": "mapped",
//    "layers":  ["sha256:<diff id>", …]            in the order of the manifest's layers
//    "chains":  [[<layer>, <chain below or -1>], …] a chain names only those before it
//    "results": [{"key": "<hex>", "first": "<hex>", "created": <seconds>, "chain": <chain>,
//                 "facts": {…}}, …],
//    "folders": [{"kind": "app", "name": "<cache id>", "id": "", "chain": <chain>}, …]}
//
// A result without "chain" tells only what its key was first stored under (Engine: keys); chain -1
// is an empty filesystem. Nothing of a step's environment, output or secrets is in it. "facts" is
// for who wrote it: what a pipeline's result needs besides. Folders are kept caches: "app" an app's
// CACHE_DIR, "mount" what a cache mount holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/json.h"

namespace slipway::image {

namespace cache_type {
inline constexpr const char* config = "application/vnd.slipway.cache.config.v1+json";
inline constexpr const char* artifact = "application/vnd.slipway.cache.v1";
}  // namespace cache_type

/// Bytes of the document; a longer one is neither read nor written (threat 21).
inline constexpr uint64_t cache_document_bytes_max = 16 << 20;
/// Layers of a cache: a manifest has room for no more.
inline constexpr size_t cache_layers_max = 1000;

struct CacheDocument {
  struct Chain {
    size_t layer = 0;
    int64_t below = -1;  ///< -1 = nothing
    bool operator==(const Chain&) const = default;
  };
  struct Result {
    Digest key;
    Digest first;         ///< the key it was first stored under; may be `key` itself
    int64_t created = 0;  ///< seconds since 1970
    std::optional<int64_t> chain;
    Json facts;  ///< an object, or null
    bool operator==(const Result&) const = default;
  };
  struct Folder {
    enum class Kind : uint8_t { app, mount } kind = Kind::app;
    std::string name;  ///< what it is found by
    std::string id;    ///< of a mount, for people
    int64_t chain = -1;
    bool operator==(const Folder&) const = default;
  };
  std::string scope;                ///< who wrote it, as --cache-to's scope= says; may be empty
  std::string ids;                  ///< image::Trees::ids of the layers' owners
  std::vector<std::string> layers;  ///< diff ids
  std::vector<Chain> chains;
  std::vector<Result> results;
  std::vector<Folder> folders;
  bool operator==(const CacheDocument&) const = default;

  /// The layers of a chain, lowest first.
  std::vector<size_t> layers_of(int64_t chain) const;
};

/// Foreign bytes: every number is checked, chains cannot lead in a circle. `layers` is how many the
/// manifest has. Throws Error(outside).
CacheDocument parse_cache_document(std::string_view text, size_t layers);
std::string serialize_cache_document(const CacheDocument& document);

}  // namespace slipway::image
