// Client of the second executable, `slipway-fetch`, which alone does network, registry and git work
// and sees credentials. One process per request; JSON request on its stdin, JSON lines on stdout
// (progress, then one result or error), bytes into files it is given.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/fd.h"

namespace slipway::fetch {

struct GitRequest {
  std::string url;       ///< may carry userinfo; never printed or stored
  std::string ref;       ///< empty = HEAD
  std::string subdir;
  bool submodules = true;
  bool keep_git_dir = false;
  std::string commit;    ///< when known already: exactly this one
};
struct GitResult {
  std::string commit;       ///< 40 (or 64) hex
  int64_t commit_time = 0;  ///< seconds
  Fd tar;                   ///< the tree as an uncompressed tar, offset 0
};
struct HttpRequest {
  std::string url;
  std::string checksum;  ///< "sha256:<hex>" or empty
  uint64_t size_max_bytes = 10ULL << 30;
  int retries = 3;
};
struct HttpResult {
  std::string sha256;
  uint64_t size_bytes = 0;
  std::string final_url, etag;
  Fd body;               ///< offset 0
};

struct Fetcher {
  /// Where downloads are put until the store has them: a directory for temporary files.
  std::string temp_dir;
  Cancel* cancel = nullptr;
  std::function<void(const std::string& what, uint64_t done, uint64_t total)> on_progress;

  /// The commit a ref names now (ls-remote).
  std::string git_resolve(const std::string& url, const std::string& ref) const;
  GitResult git(const GitRequest& request) const;
  HttpResult http(const HttpRequest& request) const;
};

/// Drops user:password@ and values of known signature parameters: for messages, keys, records.
std::string public_url(const std::string& url);

/// Entry point of slipway-fetch; lives in fetch/net.
int fetch_main(int argc, char** argv);

}  // namespace slipway::fetch
