// One repository we read: a local one as it lies, or a bare one of our own that is filled from a
// remote.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "netfetch/git_program.h"
#include "netfetch/git_url.h"
#include "netfetch/http.h"

namespace slipway::netfetch {

class GitRepository {
 public:
  /// `folder` does not exist yet; it is made when objects have to be fetched.
  GitRepository(GitAddress address, std::string folder, const OnProgress& on_progress);

  const GitAddress& address() const { return address_; }
  const GitProgram& git() const { return git_; }
  const std::string& folder() const { return folder_; }

  /// The commit a ref ("" = HEAD) names, without fetching where that suffices.
  std::string resolve(const std::string& ref);
  /// Brings the commit here: `commit` when not empty, else what `ref` names. Returns its full id.
  /// With own_copy a local repository is copied too, so that folder() holds it.
  std::string fetch(const std::string& ref, const std::string& commit, bool own_copy);
  int64_t commit_time(const std::string& commit) const;

 private:
  using Refs = std::vector<std::pair<std::string, std::string>>;  ///< name → commit (tags peeled)

  void open_local();
  Refs list_local() const;
  Refs list_remote();
  std::string fetch_remote(const std::string& ref, const std::string& wanted);
  void create_own(size_t id_size);
  GitOutput ask_remote(const std::vector<std::string>& arguments) const;
  [[noreturn]] void fail_remote(const GitOutput& output) const;
  /// Fetches a ref or commit shallowly (else whole where the server cannot); false when the
  /// server does not hand it out.
  bool fetch_one(const std::string& source);
  void fetch_history(bool commits_only);
  /// Full id of the commit a revision names here; empty when it names none.
  std::string find_commit(const std::string& revision) const;
  [[noreturn]] void unknown_ref(const std::string& ref, const Refs& refs) const;

  GitAddress address_;
  std::string folder_;
  GitProgram git_;
};

}  // namespace slipway::netfetch
