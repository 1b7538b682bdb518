// Members of an image archive (a tar, perhaps compressed) by name. The file is read from its start
// for each batch of large members; small ones are kept from the first pass.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/fd.h"

namespace slipway::image {

class ArchiveFiles {
 public:
  /// Reads all headers. Throws Error(outside) when it is no tar, is cut short, or has more than a
  /// million members.
  explicit ArchiveFiles(const std::string& path);

  bool has(const std::string& name) const { return members_.contains(resolve(name)); }
  /// Throws Error(outside) when it is missing or longer than `limit_bytes`.
  std::string read(const std::string& name, uint64_t limit_bytes);

  /// One pass over the archive: `take` gets pieces of those of `names` that are there, member by
  /// member in the archive's order; an empty piece ends a member.
  using Take = std::function<void(const std::string& name, std::string_view piece)>;
  void stream(const std::set<std::string>& names, const Take& take);

 private:
  struct Member {
    uint64_t size = 0;
    std::string link;  ///< of a symlink, resolved in the archive
  };
  // Follows links between members (old docker archives have them).
  std::string resolve(const std::string& name) const;

  Fd file_;
  std::map<std::string, Member> members_;
  std::map<std::string, std::string> small_;
};

}  // namespace slipway::image
