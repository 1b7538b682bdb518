// Writes trees of git objects into one tar, without a checkout: no filters, no attributes
// (export-ignore does not apply), no files of ours under names a repository chose.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "netfetch/git_program.h"

namespace slipway::netfetch {

/// What `git ls-tree -r` says of one path.
struct GitEntry {
  enum class Kind { file, executable, symlink, submodule } kind = Kind::file;
  std::string object;  ///< hex
  std::string path;
};

/// All entries of a commit, in git's order. Throws Error(outside) for what no sound tree holds:
/// ".git", "." or ".." as a name, a path twice or below a file, more than entries_max entries.
std::vector<GitEntry> list_tree(const GitProgram& git, const std::string& commit);

/// A GNU tar written to a descriptor. Every entry has the same time, owner 0:0 and mode 0755 or
/// 0644; folders come before what they hold.
class GitTar {
 public:
  GitTar(int output, int64_t mtime);
  ~GitTar();

  /// Adds the entries (no submodules) whose path begins with `keep` ("" = all), read from git, with
  /// `keep` cut off and `prefix` put before. Both end with '/' or are empty. `scratch` is a
  /// folder for a temporary file.
  void add_blobs(const GitProgram& git, const std::vector<GitEntry>& entries,
                 const std::string& keep, const std::string& prefix, const std::string& scratch);
  void add_folder(const std::string& path);
  /// A folder of this machine's own making (a repository), all it holds below `path`.
  void add_local(int dir, const std::string& path);
  void finish();

 private:
  struct State;
  void header(const std::string& path, GitEntry::Kind kind, uint64_t size, const std::string& link);
  void data(const char* bytes, size_t size);
  void add_parents(const std::string& path);
  std::unique_ptr<State> state_;
};

}  // namespace slipway::netfetch
