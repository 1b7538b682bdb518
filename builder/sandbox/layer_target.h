// Writing into one layer as if the stack below it were there too: what lies below is seen, a folder
// that gets something new is copied up, what is removed is hidden by a whiteout. The result is what
// an overlay mount would have made of the same calls, without mounting one, so that files can be
// hard links of the store's other layers (a mount would answer EXDEV).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sandbox/source_view.h"

namespace slipway::sandbox {

class LayerTarget : public SourceView {
 public:
  /// `upper` and `base` (topmost first) stay the caller's. Nobody else writes to the layer.
  LayerTarget(int upper, const std::vector<int>& base, bool single_id);
  ~LayerTarget() override;

  std::optional<ViewEntry> look_up(const std::string& path) override;
  std::vector<std::string> names(const std::string& folder) override;
  std::string read_link(const std::string& path) override;
  /// Nobody makes keys of a target.
  void read_digest(const std::string& path, const ViewEntry& entry, Digest* digest) override;
  std::string attributes(const std::string& path, const ViewEntry& entry) override;
  /// Opens a regular file at a real path for reading; empty when there is none.
  Fd open_file_at(const std::string& path);

  /// A folder of the merged tree; one object a path for as long as anybody holds it.
  struct Folder;
  using FolderRef = std::shared_ptr<Folder>;

  /// The folder at a real path (no links on it), which exists. Throws Error(app_files) when it is
  /// something else.
  FolderRef folder(const std::string& path);
  FolderRef child(const FolderRef& parent, const std::string& name);
  /// Path of a folder, and whether the layer itself has it.
  const std::string& path(const Folder& folder) const;
  bool in_layer(const Folder& folder) const;
  /// What the merged tree shows.
  std::optional<struct stat> look_up_in(const Folder& folder, const std::string& name);
  /// The folder in the layer itself, copied up when it is not there yet.
  int writable(Folder& folder);

  /// Makes an empty folder, 0700 and root's, where nothing (visible) stands.
  FolderRef make_folder(const FolderRef& parent, const std::string& name);
  /// Removes what is there, with all it holds.
  void remove(const FolderRef& parent, const std::string& name);
  /// Clears the name in the layer for something that is no folder and hides what lies below.
  void make_room(const FolderRef& parent, const std::string& name);

  /// What others wrote meanwhile is seen afterwards.
  void forget();
  bool single_id() const { return single_id_; }

 private:
  FolderRef try_folder(const std::string& path);
  FolderRef try_child(const FolderRef& parent, const std::string& name);
  int upper_;
  std::vector<int> base_;
  bool single_id_;
  // The folders on the way to the one asked for last, from the root.
  std::vector<std::pair<std::string, FolderRef>> chain_;
};

/// Owner, mode and time of something new.
struct FileAttributes {
  uint32_t uid = 0, gid = 0;
  uint32_t mode = 0755;
  std::optional<int64_t> mtime_ns;  ///< absent = now
};
/// In that order: changing the owner clears setuid bits.
void set_attributes(int file, const FileAttributes& attributes, bool single_id,
                    const std::string& path);
/// The same for a name that is not opened (a link, a FIFO); a link's mode stays.
void set_attributes_at(int dir, const std::string& name, const FileAttributes& attributes,
                       bool link, bool single_id, const std::string& path);

}  // namespace slipway::sandbox
