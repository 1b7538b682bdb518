// Commits: finding the one a ref names, bringing its objects here, and writing its tree.
//
// A named ref is fetched shallow; a full commit id too where the server allows it, else (and for a
// short id) the history is fetched and the commit looked up in it. A full id is always taken as
// one: a branch that bears such a name cannot stand in for the commit. Submodules are fetched by
// ourselves under the same rules; what .gitmodules says besides path and url is ignored.
#pragma once

#include <cstdint>
#include <string>

#include "fetch/fetcher.h"
#include "netfetch/http.h"

namespace slipway::netfetch {

struct FetchedCommit {
  std::string commit;
  int64_t commit_time = 0;
};

/// `scratch` is an empty folder; what stays in it is the caller's to remove.
FetchedCommit fetch_git(const fetch::GitRequest& request, const std::string& scratch, int output,
                        const OnProgress& on_progress);
std::string resolve_git(const std::string& url, const std::string& ref, const std::string& scratch);

}  // namespace slipway::netfetch
