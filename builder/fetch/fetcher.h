// Client of the second executable, `slipway-fetch`, which alone does network, registry and git work
// and sees credentials. One process per request; JSON request on its stdin, JSON lines on stdout
// (progress and notes, then one result or error), bytes into files it is given; registry requests
// pass descriptors over a socket (wire.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/fd.h"
#include "fetch/registry.h"

namespace slipway::fetch {

struct GitRequest {
  std::string url;  ///< may carry userinfo; never printed or stored
  std::string ref;  ///< empty = HEAD
  std::string subdir;
  bool submodules = true;
  bool keep_git_dir = false;
  std::string commit;  ///< when known already: exactly this one
};
struct GitResult {
  std::string commit;       ///< 40 (or 64) hex
  int64_t commit_time = 0;  ///< seconds
  Fd tar;                   ///< the tree as an uncompressed tar, offset 0
};
struct HttpRequest {
  std::string url;       ///< http, https, or file (a regular file of this machine)
  std::string checksum;  ///< "sha256:<hex>" or empty
  uint64_t size_max_bytes = 10ULL << 30;
  int retries = 3;  ///< further attempts after network errors, 408, 429 and 5xx
  std::chrono::milliseconds retry_delay{500};  ///< before the first retry; doubles each time
  std::chrono::seconds stall_limit{60};        ///< give up on a connection that sends nothing
  /// ETag of what the caller has already: the server may answer that it is still the same.
  std::string known_etag;
};
struct HttpResult {
  std::string sha256;
  uint64_t size_bytes = 0;
  std::string final_url, etag;  ///< final_url as public_url() gives it
  int64_t last_modified = 0;    ///< seconds since 1970; 0 = the server does not say
  bool not_modified = false;    ///< what has known_etag is still current; there is no body
  Fd body;                      ///< offset 0
};

/// All calls throw Error(outside) with the public URL, what failed and what to do; Interrupted on
/// cancel, after the program and all it started are gone.
struct Fetcher {
  /// Where downloads are put until the store has them: a directory for temporary files. Nothing
  /// stays in it: results are files without a name.
  std::string temp_dir;
  Cancel* cancel = nullptr;
  /// Bytes; total 0 = unknown. Called from the calling thread.
  std::function<void(const std::string& what, uint64_t done, uint64_t total)> on_progress;
  /// What the user should know although the work goes on: a mirror that does not answer, a helper
  /// that fails. Called from the calling thread.
  std::function<void(const std::string& text)> on_note;
  /// Path of slipway-fetch; empty = beside our own executable.
  std::string program;
  RegistrySettings registry;

  /// The commit a ref names now (ls-remote). A short commit id costs a fetch of the history.
  std::string git_resolve(const std::string& url, const std::string& ref) const;
  /// The tree of a commit as a tar: git's modes 644/755 and links, submodules in place, LFS
  /// pointers left as they are, every mtime the commit's time. `.git` is left out unless
  /// keep_git_dir (and subdir is empty); then it is a repository with HEAD detached at the commit
  /// and an index, shallow where the server allows it, remote `origin` without credentials.
  GitResult git(const GitRequest& request) const;
  HttpResult http(const HttpRequest& request) const;

  /// An image by name. Throws Error(outside) when there is none, when the registry refuses (the
  /// hint says how to log in), when no entry of an index fits (the cause lists what there is), or
  /// when what came is not what its digest or media type says (threats 19, 20).
  ResolveResult resolve(const ResolveRequest& request) const;
  /// All or an error; progress is told by digest.
  void pull(const PullRequest& request, const OnBlob& on_blob) const;
  /// All or an error: the tag moves last. Uploads that were begun are given up on an error.
  PushResult push(const PushRequest& request) const;
  /// Asks the registry whether it takes the credentials, then keeps them where docker would;
  /// returns where. Nothing is kept when the registry does not take them (Error(outside)).
  std::string login(const LoginRequest& request) const;
  /// Whether there was something to forget.
  bool logout(const std::string& domain) const;
};

/// Drops user:password@ and values of known signature parameters: for messages, keys, records.
/// The user of an ssh URL stays: it is no secret and part of the address.
std::string public_url(const std::string& url);

/// Entry point of slipway-fetch; lives in fetch/net.
int fetch_main(int argc, char** argv);

}  // namespace slipway::fetch
