// Copies one thing that a copy's source names, with all it holds, into a target (dockerfile.md C10
// to C17). Inside the store a copy is a hard link wherever owner, mode and time agree, so that
// copying 20,000 files costs 20,000 links.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "sandbox/layer_target.h"
#include "sandbox/mode_text.h"
#include "sandbox/worker.h"
#include "source/dockerignore.h"

namespace slipway::sandbox {

/// What an action makes of owners, modes and times.
struct CopyRules {
  std::optional<graph::Owner> owner;
  std::optional<uint32_t> mode;         ///< octal
  std::optional<ModeChange> mode_text;  ///< symbolic; wins
  std::optional<int64_t> timestamp_ns;
  bool replace_existing = false;
  bool may_link = true;       ///< hard links to the source's files instead of copies
  bool keep_origins = false;  ///< record which file of the source each file came from

  uint32_t mode_of(uint32_t mode, bool folder) const;
  FileAttributes attributes_of(const struct stat& source) const;
  /// Of folders on the way to a destination: root's unless an owner is asked for, 0755 or the
  /// octal mode (X6).
  FileAttributes new_folder() const;
};

/// What the copies of one request share.
struct CopyState {
  struct Origin {
    size_t action = 0, layer = 0;
    bool operator==(const Origin&) const = default;
  };
  /// Inodes that were linked. Two copies of one file must not become two names of one in the
  /// result: that is kept only within one source, of names that one layer has.
  std::unordered_map<ino_t, Origin> linked;
  /// Copies of files with several names: (action, layer, inode) → path in the target and inode.
  std::map<std::tuple<size_t, size_t, ino_t>, std::pair<std::string, ino_t>> copied;
  /// What is known of the files written, by path in the target.
  std::map<std::string, FileResult::Known> known;
  uint64_t files = 0, bytes = 0;
};

class TreeCopy {
 public:
  using FolderRef = LayerTarget::FolderRef;
  /// `action` tells the actions of a request apart. `merge`: folders that exist keep their owner
  /// (--parents). All must outlive the object.
  TreeCopy(StackView& source, LayerTarget& target, const CopyRules& rules, CopyState& state,
           size_t action, bool merge)
      : source_(source),
        target_(target),
        rules_(rules),
        state_(state),
        action_(action),
        merge_(merge) {}

  /// Anything but a folder to parent/name. Throws Error(app_files) where a folder stands.
  void file(const std::string& from, const FolderRef& parent, const std::string& name);
  /// What a folder holds into one that exists. Patterns are relative to `from`.
  void contents(const std::string& from, const FolderRef& to, const source::PathPatterns& excluded);
  /// A folder itself to parent/name.
  void folder(const std::string& from, const FolderRef& parent, const std::string& name,
              const source::PathPatterns& excluded);
  /// Only the folder, made like the source's.
  FolderRef parent_folder(const std::string& from, const FolderRef& parent,
                          const std::string& name);
  /// The destination's top folder takes over the source's time when it was written to (C11).
  void stamp(const std::string& from, const FolderRef& to);

 private:
  struct Frame;
  void walk(const StackDir& from, Frame& frame, const source::PathPatterns& excluded);
  const FolderRef& ready(Frame& frame);
  void finish(Frame& frame);
  void make(Frame& frame);
  void copy(const StackDir& dir, const StackName& found, const std::string& name,
            const std::string& from, const FolderRef& parent, const std::string& to_name,
            bool fresh);
  bool link(int from_dir, const StackName& found, size_t layer, const std::string& name, int to,
            const std::string& to_name, const FileAttributes& wanted);
  bool link_to_copy(const struct stat& info, size_t layer, int to, const std::string& to_name,
                    const std::string& path);
  void remember_copy(const struct stat& info, size_t layer, int to, const std::string& to_name,
                     const std::string& path);
  void copy_content(int from_dir, const struct stat& info, const std::string& name, int to,
                    const std::string& to_name, const FileAttributes& wanted,
                    const std::string& path);
  void make_special(const struct stat& info, int to, const std::string& to_name,
                    const FileAttributes& wanted, const std::string& path);

  StackView& source_;
  LayerTarget& target_;
  const CopyRules& rules_;
  CopyState& state_;
  const size_t action_;
  const bool merge_;
};

}  // namespace slipway::sandbox
