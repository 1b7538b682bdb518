// Paths as Dockerfiles mean them, always of a Unix file system, and a few plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace slipway::dockerfile {

/// An absolute path without ".", ".." and doubled slashes; ".." stops at the root. A path that is
/// not absolute counts from the root.
std::string clean_path(std::string_view path);
/// `path` when it is absolute (as it is written), else joined to `parent` and cleaned; empty =
/// parent.
std::string join_path(std::string_view parent, std::string_view path);
/// The destination of COPY and ADD: below `parent`, cleaned, a final "/" or "/." kept; empty and
/// "." mean the parent as a directory (C3, C4).
std::string destination_path(std::string_view parent, std::string_view path);
/// Holds "*", "?" or "[" that is not escaped.
bool has_wildcard(std::string_view path);

/// 1, t, T, true, TRUE, True and their opposites, as Go reads them.
std::optional<bool> parse_bool(std::string_view text);

}  // namespace slipway::dockerfile
