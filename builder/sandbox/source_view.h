// A tree that file actions read, and what COPY's operands name in it (dockerfile.md C3 to C8, C16).
// The same rules serve the worker, which sees stacks of layers, and the engine, which sees only the
// listing of a directory and makes keys of it: what one copies is what the other looked at.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/tree.h"
#include "base/digest.h"
#include "graph/op.h"
#include "sandbox/layer_hash.h"
#include "sandbox/layer_stack.h"
#include "sandbox/worker.h"

namespace slipway::sandbox {

struct ViewEntry {
  mode_t mode = 0;  ///< with the type
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  bool folder() const { return S_ISDIR(mode); }
  bool link() const { return S_ISLNK(mode); }
};

ViewEntry view_entry(const struct stat& info);
/// "a/b" → {"a", "b"}, "b" → {"", "b"}
std::pair<std::string, std::string> split_path(const std::string& path);
/// Empty when the name is no regular file.
Fd open_regular(const StackDir& dir, const std::string& name);
/// What a folder of a stack shows, without what is hidden.
std::vector<std::string> shown_names(const StackDir& dir);

/// Paths are relative and clean ("" is the root), and no component but the last is a link.
class SourceView {
 public:
  SourceView() = default;
  SourceView(const SourceView&) = delete;
  SourceView& operator=(const SourceView&) = delete;
  virtual ~SourceView() = default;
  /// Empty when nothing is there, also below something that is no folder.
  virtual std::optional<ViewEntry> look_up(const std::string& path) = 0;
  /// Of a folder, sorted bytewise.
  virtual std::vector<std::string> names(const std::string& folder) = 0;
  virtual std::string read_link(const std::string& path) = 0;
  /// Content digest of a file; *digest is set by the time finish() returns.
  virtual void read_digest(const std::string& path, const ViewEntry& entry, Digest* digest) = 0;
  /// Attributes that belong to a content key (user.*, security.capability), in one text; often "".
  virtual std::string attributes(const std::string& path, const ViewEntry& entry) = 0;
  virtual void finish() {}
};

/// A stack of layers, topmost first, below the plain folder `path` of it. The descriptors stay the
/// caller's.
class StackView : public SourceView {
 public:
  StackView(const std::vector<int>& layers, const std::string& path);
  std::optional<ViewEntry> look_up(const std::string& path) override;
  std::vector<std::string> names(const std::string& folder) override;
  std::string read_link(const std::string& path) override;
  void read_digest(const std::string& path, const ViewEntry& entry, Digest* digest) override;
  std::string attributes(const std::string& path, const ViewEntry& entry) override;
  void finish() override;

  /// Null when it is no folder. Valid until the next call for another folder.
  const StackDir* open(const std::string& folder);
  /// Opens a regular file at a real path; empty when there is none.
  Fd open_file_at(const std::string& path);
  /// The name as the stack has it; kind absent or hidden when nothing shows.
  StackName find(const std::string& path);

 private:
  StackDir root_;
  // The folders on the way to the one asked for last: sorted visits open each once.
  std::vector<std::pair<std::string, StackDir>> chain_;
  std::unique_ptr<HashPool> pool_;
};

/// A listing. Owners and modes are the listing's.
class ListView : public SourceView {
 public:
  /// The tree must outlive the view.
  explicit ListView(const archive::Tree& tree) : tree_(tree) {}
  std::optional<ViewEntry> look_up(const std::string& path) override;
  std::vector<std::string> names(const std::string& folder) override;
  std::string read_link(const std::string& path) override;
  void read_digest(const std::string& path, const ViewEntry& entry, Digest* digest) override;
  std::string attributes(const std::string&, const ViewEntry&) override { return {}; }

 private:
  const archive::TreeEntry* find(const std::string& path);
  const archive::Tree& tree_;
  size_t next_ = 0;  ///< where the entry after the last one found stands: walks ask in order
};

struct Resolved {
  std::string path;
  std::optional<ViewEntry> entry;  ///< empty: nothing is there (yet)
};
/// Follows links as if the view's root were "/": nothing leaves it. What is missing is taken as it
/// is written. Throws Error(app_files) for a loop of links.
Resolved resolve_in_root(SourceView& view, const std::string& path, bool follow_last);

/// One thing that a copy's source names.
struct Match {
  std::string path;  ///< where it really is, links resolved
  std::string
      name;  ///< its name inside an existing folder: the last one before links were followed
  /// --parents: where it goes below the destination ("c/d"), and the folder of the source that this
  /// is relative to. Its parents are made like those of the source.
  std::string kept, base;
  ViewEntry entry;
};
/// In the order in which they are copied. A pattern that matches nothing gives nothing; a literal
/// path that does not exist is Error(app_files) with what is near it, unless the action allows it.
std::vector<Match> select(SourceView& view, const graph::FileAction& action);

/// What a copy reads (K6 to K8).
Selection select_content(SourceView& view, const graph::FileAction& action);

/// The folder (or file) below which everything lies that the action may read from a source without
/// links; "" = the whole source.
std::string needed_path(const graph::FileAction& action);

}  // namespace slipway::sandbox
