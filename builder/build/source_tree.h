// Bringing the app's source here: a folder is used where it is; everything else (tarball, git URL
// with ref, bare repository) becomes a private folder first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/files.h"
#include "cache/store.h"
#include "fetch/fetcher.h"
#include "report/event.h"

namespace slipway::build {

constexpr const char* stdin_source = "-";

struct SourceTree {
  fs::path folder;       ///< absolute
  std::string identity;  ///< stable name of where it came from: path or URL without credentials
  std::string naming;    ///< what the app's name is taken from
  std::string commit;    ///< SOURCE_VERSION; empty for a plain folder
  std::optional<int64_t> commit_time;  ///< seconds
  std::optional<TempDir> temporary;
  /// The source is a Dockerfile that came on stdin, and the folder is empty.
  std::optional<std::string> dockerfile;
};

/// A folder, an archive, a git URL with #ref, or "-": what stands on stdin, an archive or (as with
/// `docker build -`) a Dockerfile without a context. Throws Error(usage) when there is no such
/// source, Error(outside) when it cannot be fetched.
SourceTree bring_source(const std::string& source, const fetch::Fetcher& fetcher,
                        report::Stream& stream);

/// The one time that source and build output carry in slugs and images, seconds: asked for, else
/// the commit's, else one derived from the content's digest: the same for the same content, another
/// for another, because web servers make ETags from size and time; between 2001 and 2017.
int64_t source_time(std::optional<int64_t> asked_for, const SourceTree& source,
                    const Digest& content);

/// Reads one of the app's own files at the top of its folder. Links that leave the folder are an
/// error (threat 9); a missing file is empty; anything but a file is an error.
std::optional<std::string> read_app_file(const fs::path& folder, const std::string& name,
                                         size_t size_max_bytes = 1 << 20);

}  // namespace slipway::build
