// Listing a directory the way a scan would, and archives made by other programs.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "archive/compress.h"
#include "archive/tree.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/process.h"

namespace slipway::archive {

/// Lists `root` with digests; times as found.
inline Tree list_on_disk(const fs::path& root) {
  Tree tree;
  for (const auto& at : fs::recursive_directory_iterator(root)) {
    struct stat info {};
    REQUIRE(lstat(at.path().c_str(), &info) == 0);
    TreeEntry entry;
    entry.path = at.path().lexically_relative(root).string();
    entry.mode = info.st_mode & 07777;
    entry.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (S_ISDIR(info.st_mode)) {
      entry.type = EntryType::directory;
    } else if (S_ISLNK(info.st_mode)) {
      entry.type = EntryType::symlink;
      entry.link = fs::read_symlink(at.path()).string();
    } else {
      entry.size = static_cast<uint64_t>(info.st_size);
      entry.digest = hash_fd(open_file(at.path().string(), O_RDONLY).get());
    }
    tree.entries.push_back(std::move(entry));
  }
  tree.sort();
  return tree;
}

/// A source whose members are the tree's entries under their own names.
inline TarSource tar_source(const fs::path& root, const Tree& tree) {
  TarSource source;
  source.members = tree.entries;
  for (const TreeEntry& entry : tree.entries) source.open_paths.push_back(entry.path);
  source.open = [root](const std::vector<std::string>& paths) {
    REQUIRE(paths.size() <= 64);
    std::vector<Fd> files;
    for (const std::string& path : paths)
      files.push_back(open_file((root / path).string(), O_RDONLY));
    return files;
  };
  return source;
}

inline std::string compress(const TarSource& source, CompressOptions options = {}) {
  std::string out;
  options.on_chunk = [&](Chunk&& chunk) { out += chunk.compressed; };
  compress_tar(source, options);
  return out;
}

/// Runs a shell line with `$1`… = arguments; the test fails unless it ends with 0.
inline std::string shell(const std::string& script,
                         const std::vector<std::string>& arguments = {}) {
  RunOptions options;
  options.argv = {"bash", "-ec", script, "bash"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  return run_ok(options).out;
}

}  // namespace slipway::archive
