// ADD's sources that are no files: URLs and git repositories (dockerfile.md C20, C21).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "graph/op.h"

namespace slipway::dockerfile {

struct GitSource {
  graph::GitOp op;
  std::optional<bool> keep_git_dir;  ///< when the URL says so
};

/// user@host:path, ssh:// and git:// URLs, and http(s) URLs whose path ends in ".git"; with
/// "#ref:subdir" or the query keys ref, tag, branch, commit, checksum, subdir, keep-git-dir,
/// submodules, mtime, fetch-by-commit. Empty optional = no git repository. Throws Error(app_files)
/// without a position for keys that are unknown, conflict or have odd values, and for refs and
/// folders that git could take for something else (threat 13).
std::optional<GitSource> parse_git_source(std::string_view text);

/// http:// or https://, and no git repository.
bool is_http_source(std::string_view text);
/// The last part of the URL's path, or "__unnamed__".
std::string http_filename(std::string_view url);

/// What history and titles say: no credentials (threat 15).
std::string shown_url(std::string_view url);

/// Hexadecimal digits, at most 64: a commit or the beginning of one.
bool is_commit_prefix(std::string_view text);

}  // namespace slipway::dockerfile
