// Writing foreign entries below a directory descriptor (threat 8). A path's parents are walked one
// component at a time with descriptors: a link on the way is resolved as if the root were "/", so
// that merged-/usr layouts work and nothing leaves the root. The last component is never followed:
// what stands there is replaced. Nobody else may write below the root meanwhile.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/tree.h"
#include "base/fd.h"

namespace slipway::archive {

/// A checked name of an archive: components without "", "." and "..".
using NameParts = std::vector<std::string>;

/// Cuts an archive's name into parts; absolute names become relative, as GNU tar does. Throws
/// Error(outside) for "..", and for names over 4000 bytes.
NameParts split_name(std::string_view name);

/// The layers below the one that is written, as one tree. Foreign too: nothing in it is followed.
class LowerTree {
 public:
  struct Found {
    enum class Kind : uint8_t { absent, directory, link, file, other } kind = Kind::absent;
    std::string link;  ///< its text
    Fd fd;             ///< of a directory or file, for reading
  };
  virtual ~LowerTree() = default;
  /// By a real path: one whose folders are no links.
  virtual Found find(const std::string& path) = 0;
};

/// Hides what lies below a folder of an overlay's layer.
void make_opaque(int dir, const std::string& path);

class Placer {
 public:
  using Owner = std::pair<uint32_t, uint32_t>;
  /// `root` stays open while the Placer lives. `owner` is given to directories no entry describes.
  /// With `lower` such a directory is what it is there: a link that is followed, a folder with the
  /// same mode, owner and time.
  explicit Placer(int root, std::optional<Owner> owner = {}, LowerTree* lower = nullptr)
      : root_(root), owner_(owner), lower_(lower) {}

  /// One name and what the listing will say about it. Keyed by the real path, sorted bytewise.
  struct Item {
    TreeEntry entry;
    bool listed = true;        ///< false: whiteouts, devices
    bool given_owner = false;  ///< entry.uid and gid are to be applied
  };
  using Items = std::map<std::string, Item>;

  /// Where an entry goes: an open parent and a name in it. `dir` is valid until the next call.
  struct Place {
    int dir = -1;
    std::string name;
    std::string path;  ///< real path below the root
  };
  /// Resolves and creates the parents of `parts` (not empty).
  Place locate(const NameParts& parts);

  /// What the layers below show under the name; absent without them, and below what is opaque here.
  LowerTree::Found look_below(const Place& place);

  /// Makes room for a new entry that is no directory: what stands there goes.
  void clear(const Place& place);
  /// Creates (over anything that stands there) and opens an empty file, 0600.
  Fd create_file(const Place& place);
  /// Creates the directory unless there is one already; 0700 until finish(). Returns true when it
  /// stands in place of an overlay whiteout, and so must become opaque.
  bool create_directory(const Place& place);
  void create_link(const Place& place, const std::string& text);
  /// Where nothing stands: hides what lies below.
  static void create_whiteout(const Place& place);
  /// A further name of `existing`, a real path that was placed here.
  void create_hard_link(const Place& place, const std::string& existing);

  /// Moves all below `folder` (one top-level name) to the root; everything else there is removed.
  void descend_into(const std::string& folder);
  /// Gives directories their owner, mode and time, deepest first.
  void finish_directories();

  Items& items() { return items_; }
  int root() const { return root_; }
  /// Opens something placed here, by its real path; never through a link.
  Fd open(const std::string& path, int flags) const;

 private:
  struct Walk;
  void forget_below(const std::string& path);
  void note_implied_directory(const std::string& path, const Fd& below = {});
  Fd make_parent(const Walk& walk, const std::string& name, const Fd& below, bool opaque);
  LowerTree::Found look_below(const Walk& walk, const std::string& name);
  void forget_links_below();

  int root_;
  std::optional<Owner> owner_;
  LowerTree* lower_;
  Items items_;
  // The parent used last: archives list a directory's files one after the other.
  NameParts cached_parts_;
  std::string cached_path_;
  Fd cached_dir_;
  bool cached_through_below_ = false;  ///< by a link that this layer may still replace
};

/// Gives an open file or directory its owner (if `give_owner`), mode and time.
void apply_metadata(int fd, const TreeEntry& entry, bool give_owner);
/// Time of what no archive names: fixed, so that listings do not depend on the day.
inline constexpr int64_t implied_mtime_ns = 315532801LL * 1'000'000'000;  // 1980-01-01T00:00:01Z

}  // namespace slipway::archive
