// What the operands of COPY and ADD name, and the digest of it.
#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "sandbox/path_match.h"
#include "sandbox/source_view.h"
#include "source/dockerignore.h"

namespace slipway::sandbox {
namespace {

using graph::FileAction;
using Parts = std::vector<std::string>;

std::string joined(const Parts& parts, size_t count) {
  return join({parts.begin(), parts.begin() + static_cast<ptrdiff_t>(count)}, "/");
}

size_t literal_parts(const Parts& parts) {
  size_t count = 0;
  while (count < parts.size() && !has_wildcards(parts[count])) ++count;
  return count;
}

[[noreturn]] void fail_missing(SourceView& view, const std::string& path) {
  // The deepest folder that is there, and what in it has a similar name.
  const Parts parts = clean_components(path);
  std::string folder, there, hint;
  for (const std::string& part : parts) {
    const Resolved at = resolve_in_root(view, join_path(folder, part), true);
    if (!at.entry || !at.entry->folder()) {
      if (const auto near = closest(part, view.names(folder)))
        hint = fmt::format("did you mean '/{}'?", printable(join_path(there, *near)));
      break;
    }
    folder = at.path;
    there = join_path(there, part);
  }
  Error error(ExitCode::app_files, fmt::format("'/{}' does not exist", printable(path)));
  if (!hint.empty()) error.set_hint(hint);
  throw error;
}

/// A source with wildcards: the parts before the first one are resolved through links, what is
/// found after it is not (C8). The matches' paths, in order.
std::vector<std::string> expand(SourceView& view, const Parts& parts, bool follow) {
  const size_t literal = literal_parts(parts);
  std::vector<std::string> found{resolve_in_root(view, joined(parts, literal), follow).path};
  for (size_t i = literal; i < parts.size(); ++i) {
    std::vector<std::string> next;
    for (const std::string& folder : found) {
      const auto entry = view.look_up(folder);
      if (!entry || !entry->folder()) continue;
      for (const std::string& name : view.names(folder))
        if (match_component(parts[i], name)) next.push_back(join_path(folder, name));
    }
    found = std::move(next);
  }
  return found;
}

Match follow_match(SourceView& view, const std::string& path, bool follow) {
  const size_t slash = path.rfind('/');
  Match match;
  match.name = slash == std::string::npos ? path : path.substr(slash + 1);
  Resolved at = resolve_in_root(view, path, follow);
  match.path = std::move(at.path);
  if (!at.entry) fail_missing(view, path);
  match.entry = *at.entry;
  return match;
}

// --- --parents ---

/// Finds what a pattern names below one folder, "**" standing for any number of folders. Links are
/// not followed.
class ParentsSearch {
 public:
  ParentsSearch(SourceView& view, std::string base) : view_(view), base_(std::move(base)) {}

  void run(const Parts& pattern) {
    // "a**" and "**.go" cross slashes, which parts cannot tell: matched against whole paths.
    const bool odd = std::any_of(pattern.begin(), pattern.end(), [](const std::string& part) {
      return part != "**" && part.find("**") != std::string::npos;
    });
    if (odd)
      walk_all(source::PathPatterns(Parts{join(pattern, "/")}), "");
    else
      walk(pattern, 0, "");
  }

  std::vector<Match> finish() const {
    std::vector<Match> matches;
    for (const std::string& kept : found_) {
      // What lies below a folder that matched comes with it.
      const bool covered = std::any_of(matches.begin(), matches.end(), [&](const Match& earlier) {
        return earlier.kept.empty() || starts_with(kept, earlier.kept + "/");
      });
      if (covered) continue;
      Match match;
      match.kept = kept;
      match.base = base_;
      match.path = join_path(base_, kept);
      match.name = kept.substr(kept.rfind('/') + 1);
      const auto entry = view_.look_up(match.path);
      if (!entry) continue;
      match.entry = *entry;
      matches.push_back(std::move(match));
    }
    return matches;
  }

 private:
  void walk(const Parts& pattern, size_t at, const std::string& kept) {
    if (at == pattern.size()) {
      found_.insert(kept);
      return;
    }
    if (!visited_.insert({kept, at}).second) return;
    const std::string folder = join_path(base_, kept);
    const std::string& part = pattern[at];
    if (!has_wildcards(part)) {
      // An escaped character stands for itself here.
      std::string name;
      for (size_t i = 0; i < part.size(); ++i)
        name += part[i] == '\\' && i + 1 < part.size() ? part[++i] : part[i];
      const std::string path = join_path(folder, name);
      if (const auto entry = view_.look_up(path))
        step(pattern, at + 1, join_path(kept, name), *entry);
      return;
    }
    const bool any_depth = part == "**";
    if (any_depth && at + 1 < pattern.size()) walk(pattern, at + 1, kept);
    for (const std::string& name : view_.names(folder)) {
      if (!any_depth && !match_component(part, name)) continue;
      const auto entry = view_.look_up(join_path(folder, name));
      if (!entry) continue;
      const std::string below = join_path(kept, name);
      if (!any_depth || at + 1 == pattern.size())
        step(pattern, at + 1, below, *entry);
      else if (entry->folder())
        walk(pattern, at, below);
    }
  }

  void step(const Parts& pattern, size_t next, const std::string& kept, const ViewEntry& entry) {
    if (next == pattern.size())
      found_.insert(kept);
    else if (entry.folder())
      walk(pattern, next, kept);
  }

  void walk_all(const source::PathPatterns& patterns, const std::string& kept) {
    for (const std::string& name : view_.names(join_path(base_, kept))) {
      const std::string below = join_path(kept, name);
      const auto entry = view_.look_up(join_path(base_, below));
      if (!entry) continue;
      if (patterns.hides(below))
        found_.insert(below);
      else if (entry->folder())
        walk_all(patterns, below);
    }
  }

  SourceView& view_;
  std::string base_;
  std::set<std::string> found_;  // bytewise order has folders before what they hold
  std::set<std::pair<std::string, size_t>> visited_;
};

struct Pivot {
  std::string root;     ///< before the first "/./": names folders, dropped from the destination
  std::string pattern;  ///< after it, or all
};

Pivot split_at_pivot(const std::string& source) {
  const size_t pivot = source.find("/./");
  if (pivot == std::string::npos) return {"", source};
  return {source.substr(0, pivot), source.substr(pivot + 3)};
}

std::vector<Match> select_with_parents(SourceView& view, const FileAction& action) {
  const Pivot pivot = split_at_pivot(action.source);
  const Parts root = clean_components(pivot.root), pattern = clean_components(pivot.pattern);
  std::vector<std::string> bases;
  if (action.allow_wildcard && literal_parts(root) < root.size()) {
    bases = expand(view, root, true);
  } else {
    const Resolved at = resolve_in_root(view, join(root, "/"), true);
    if (!at.entry && !action.allow_missing) fail_missing(view, join(root, "/"));
    if (at.entry) bases = {at.path};
  }
  std::vector<Match> matches;
  for (const std::string& path : bases) {
    const Resolved base = resolve_in_root(view, path, true);
    if (!base.entry || !base.entry->folder()) continue;
    ParentsSearch search(view, base.path);
    search.run(pattern);
    for (Match& match : search.finish()) matches.push_back(std::move(match));
  }
  const bool literal = literal_parts(pattern) == pattern.size();
  if (matches.empty() && literal && !bases.empty() && !action.allow_missing)
    fail_missing(view, join_path(bases.front(), join(pattern, "/")));
  return matches;
}

// --- content ---

class ContentDigest {
 public:
  ContentDigest(SourceView& view, const FileAction& action) : view_(view), action_(action) {}

  Selection run(const std::vector<Match>& matches) {
    const source::PathPatterns excluded(action_.exclude);
    for (const Match& match : matches) {
      // A folder whose contents are copied lends the destination nothing but those.
      const bool own = !match.entry.folder() || !contents_only(match);
      roots_.push_back({entries_.size(), own ? match.name : "", match.kept});
      if (action_.parents) add_parents(match);
      if (own) add(match.path, "", match.entry);
      if (match.entry.folder()) walk(match.path, "", excluded);
    }
    view_.finish();
    return finish();
  }

 private:
  struct Entry {
    std::string path, relative, attributes;
    ViewEntry entry;
    std::string link;
    Digest digest;
  };
  struct Root {
    size_t first;
    std::string name, kept;
  };

  bool contents_only(const Match& match) const {
    return action_.parents ? match.kept.empty() : action_.contents;
  }

  void add(const std::string& path, const std::string& relative, const ViewEntry& entry) {
    Entry& added = entries_.emplace_back();
    added.path = path;
    added.relative = relative;
    added.entry = entry;
    added.attributes = view_.attributes(path, entry);
    if (entry.link()) added.link = view_.read_link(path);
    if (S_ISREG(entry.mode)) view_.read_digest(path, entry, &added.digest);
  }

  void add_parents(const Match& match) {
    const Parts parts = clean_components(match.kept);
    for (size_t i = 1; i < parts.size(); ++i) {
      const std::string path = join_path(match.base, joined(parts, i));
      if (const auto entry = view_.look_up(path)) add(path, joined(parts, i), *entry);
    }
  }

  // A hidden folder counts only as the way to what is not hidden in it.
  bool walk(const std::string& path, const std::string& relative,
            const source::PathPatterns& excluded) {
    bool any = false;
    for (const std::string& name : view_.names(path)) {
      const std::string below = join_path(relative, name), full = join_path(path, name);
      const bool hidden = !excluded.empty() && excluded.hides(below);
      const auto entry = view_.look_up(full);
      if (!entry || (hidden && !entry->folder())) continue;
      if (hidden && excluded.may_skip_directory(below)) continue;
      const size_t before = entries_.size();
      add(full, below, *entry);
      const bool inside = entry->folder() && walk(full, below, excluded);
      if (hidden && !inside) {
        entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(before), entries_.end());
        continue;
      }
      any = true;
    }
    return any;
  }

  Selection finish() {
    // K7: neither times nor the sizes of folders.
    KeyBuilder key("selection 1");
    std::map<std::string, archive::TreeEntry> listed;
    size_t root = 0;
    for (size_t i = 0; i <= entries_.size(); ++i) {
      for (; root < roots_.size() && roots_[root].first == i; ++root)
        key.add("name", roots_[root].name).add("kept", roots_[root].kept);
      if (i == entries_.size()) break;
      const Entry& item = entries_[i];
      const ViewEntry& entry = item.entry;
      key.add("path", item.relative).add("mode", entry.link() ? S_IFLNK : entry.mode);
      key.add("user", entry.uid).add("group", entry.gid);
      if (entry.link()) key.add("link", item.link);
      if (S_ISREG(entry.mode)) key.add("size", entry.size).add("content", item.digest);
      if (!item.attributes.empty()) key.add("attributes", item.attributes);
      list(item, listed);
    }
    Selection selection;
    selection.digest = key.finish();
    selection.tree.entries.reserve(listed.size());
    for (auto& [path, entry] : listed) selection.tree.entries.push_back(std::move(entry));
    return selection;
  }

  static void list(const Entry& item, std::map<std::string, archive::TreeEntry>& listed) {
    const ViewEntry& entry = item.entry;
    if (item.path.empty() || !(S_ISREG(entry.mode) || entry.folder() || entry.link())) return;
    archive::TreeEntry& out = listed[item.path];
    out.path = item.path;
    out.type = entry.folder() ? archive::EntryType::directory
               : entry.link() ? archive::EntryType::symlink
                              : archive::EntryType::file;
    out.mode = entry.mode & 07777;
    out.uid = entry.uid;
    out.gid = entry.gid;
    out.size = S_ISREG(entry.mode) ? entry.size : 0;
    out.mtime_ns = entry.mtime_ns;
    out.link = item.link;
    out.digest = item.digest;
  }

  SourceView& view_;
  const FileAction& action_;
  // A deque: digests are written into its elements while more are added.
  std::deque<Entry> entries_;
  std::vector<Root> roots_;
};

}  // namespace

std::vector<Match> select(SourceView& view, const FileAction& action) {
  if (action.parents) return select_with_parents(view, action);
  const Parts parts = clean_components(action.source);
  std::vector<Match> matches;
  if (action.allow_wildcard && literal_parts(parts) < parts.size()) {
    for (const std::string& path : expand(view, parts, action.follow_links))
      matches.push_back(follow_match(view, path, action.follow_links));
    if (matches.empty() && !action.allow_empty_wildcard && !action.allow_missing)
      fail(ExitCode::app_files, "nothing matches '{}'", printable(action.source));
    return matches;
  }
  const std::string path = join(parts, "/");
  if (action.allow_missing && !resolve_in_root(view, path, action.follow_links).entry) return {};
  matches.push_back(follow_match(view, path, action.follow_links));
  return matches;
}

Selection select_content(SourceView& view, const FileAction& action) {
  return ContentDigest(view, action).run(select(view, action));
}

std::string needed_path(const FileAction& action) {
  Parts parts = clean_components(action.source);
  if (action.parents) {
    const Pivot pivot = split_at_pivot(action.source);
    parts = clean_components(pivot.root);
    const Parts pattern = clean_components(pivot.pattern);
    parts.insert(parts.end(), pattern.begin(), pattern.end());
    return joined(parts, literal_parts(parts));
  }
  return joined(parts, action.allow_wildcard ? literal_parts(parts) : parts.size());
}

}  // namespace slipway::sandbox
