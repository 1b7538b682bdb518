#include "sandbox/file_actions.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "sandbox/passwd.h"
#include "sandbox/path_match.h"
#include "sandbox/tree_copy.h"
#include "sandbox/unpack_action.h"

namespace slipway::sandbox {
namespace {

using graph::FileAction;
using FolderRef = LayerTarget::FolderRef;

bool names_folder(const std::string& dest) {
  return ends_with(dest, "/") || ends_with(dest, "/.");
}

std::string clean(const std::string& path) {
  return join(clean_components(path), "/");
}

class Actions {
 public:
  explicit Actions(const FileTarget& target)
      : given_(target), target_(target.layer, target.base, target.single_id) {}

  void apply(const FileActionOn& on, size_t number) {
    const FileAction& action = on.action;
    const CopyRules rules = rules_of(on);
    switch (action.kind) {
      case FileAction::Kind::copy:
        copy(on, number, rules);
        break;
      case FileAction::Kind::mkdir:
        make_directory(action, rules);
        break;
      case FileAction::Kind::mkfile:
        make_file(action, rules);
        break;
      case FileAction::Kind::rm:
        remove(action);
        break;
      case FileAction::Kind::symlink:
        make_link(action, rules);
        break;
    }
    // What was made in them has moved their times.
    for (const auto& [folder, time] : stamped_) {
      const struct timespec times[2] = {to_timespec(time), to_timespec(time)};
      if (futimens(target_.writable(*folder), times) != 0)
        fail_errno("set the time of {}", printable(target_.path(*folder)));
    }
    stamped_.clear();
  }

  FileResult finish() {
    FileResult result;
    result.files = state_.files;
    result.size_bytes = state_.bytes;
    for (auto& [path, known] : state_.known) result.known.push_back(std::move(known));
    return result;
  }

 private:
  // --- owners ---

  CopyRules rules_of(const FileActionOn& on) {
    const FileAction& action = on.action;
    CopyRules rules;
    rules.owner = action.owner;
    if (!action.owner_names.empty()) rules.owner = named_owner(action.owner_names);
    if (!action.mode_text.empty())
      rules.mode_text = ModeChange::parse(action.mode_text);
    else if (action.mode >= 0)
      rules.mode = static_cast<uint32_t>(action.mode) & 07777;
    rules.timestamp_ns = action.timestamp_ns;
    rules.replace_existing = action.replace_existing;
    rules.keep_origins = on.keep_origins;
    return rules;
  }

  // C13: as the target's own files have them; "root" is always known.
  graph::Owner named_owner(const std::string& names) {
    std::vector<std::string> parts = split(names, ':');
    for (std::string& part : parts)
      if (part == "root") part = "0";
    const StepUser user = resolve_user(join(parts, ":"), read("etc/passwd"), read("etc/group"));
    return {user.uid, user.gid};
  }

  std::string read(const std::string& path) {
    const Resolved at = resolve_in_root(target_, path, true);
    if (!at.entry || !S_ISREG(at.entry->mode)) return {};
    const Fd file = target_.open_file_at(at.path);
    return file ? read_all(file.get(), passwd_file_max) : std::string();
  }

  // --- destinations ---

  FolderRef make_path(const std::string& path, const FileAttributes& attributes) {
    FolderRef at = target_.folder("");
    for (const std::string& part : split(path, '/')) {
      if (part.empty()) continue;
      const auto there = target_.look_up_in(*at, part);
      if (there) {
        at = target_.child(at, part);
        continue;
      }
      at = target_.make_folder(at, part);
      set_attributes(target_.writable(*at), attributes, target_.single_id(), target_.path(*at));
      if (attributes.mtime_ns) stamped_.emplace_back(at, *attributes.mtime_ns);
    }
    return at;
  }

  /// Where a path without a final slash leads: its parent, and the name in it.
  std::pair<FolderRef, std::string> place(const std::string& path, bool follow_last,
                                          bool make_parents, const FileAttributes& parents) {
    const std::string wanted = clean(path);
    if (wanted.empty()) fail(ExitCode::app_files, "'{}' is the root itself", printable(path));
    const std::string parent = split_path(wanted).first;
    const std::string real_parent = resolve_in_root(target_, parent, true).path;
    if (make_parents) (void)make_path(real_parent, parents);
    const Resolved at = resolve_in_root(target_, wanted, follow_last);
    const auto [folder, name] = split_path(at.path);
    // A link may have led elsewhere.
    return {make_parents ? make_path(folder, parents) : target_.folder(folder), name};
  }

  // --- actions ---

  void make_directory(const FileAction& action, const CopyRules& rules) {
    FileAttributes attributes = rules.new_folder();
    if (rules.mode_text) attributes.mode = rules.mode_of(0755, true);
    const std::string path = resolve_in_root(target_, clean(action.dest), true).path;
    if (!action.create_dest_path) (void)target_.folder(split_path(path).first);
    (void)make_path(path, attributes);
  }

  void make_file(const FileAction& action, const CopyRules& rules) {
    const auto [parent, name] =
        place(action.dest, true, action.create_dest_path, rules.new_folder());
    const std::string path = join_path(target_.path(*parent), name);
    const auto there = target_.look_up_in(*parent, name);
    if (there && S_ISDIR(there->st_mode))
      fail(ExitCode::app_files, "'/{}' is a folder, and no file can take its place",
           printable(path));
    target_.make_room(parent, name);
    const Fd file =
        open_at(target_.writable(*parent), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    write_all(file.get(), action.data);
    FileAttributes attributes = rules.new_folder();
    attributes.mode = rules.mode_of(0644, false);
    set_attributes(file.get(), attributes, target_.single_id(), path);
    ++state_.files;
    state_.bytes += action.data.size();
    struct stat info {};
    if (fstat(file.get(), &info) != 0) fail_errno("stat {}", printable(path));
    state_.known[path] = {
        path, action.data.size(), nanoseconds(info.st_mtim), hash_bytes(action.data), {}, 0};
  }

  void make_link(const FileAction& action, const CopyRules& rules) {
    const auto [parent, name] =
        place(action.dest, false, action.create_dest_path, rules.new_folder());
    target_.remove(parent, name);
    target_.make_room(parent, name);
    const int dir = target_.writable(*parent);
    if (symlinkat(action.source.c_str(), dir, name.c_str()) != 0)
      fail_errno("create link {}", printable(action.dest));
    set_attributes_at(dir, name, rules.new_folder(), true, target_.single_id(), action.dest);
    state_.known.erase(join_path(target_.path(*parent), name));
    ++state_.files;
  }

  void remove(const FileAction& action) {
    FileAction wanted;
    wanted.source = action.dest;
    wanted.allow_wildcard = action.allow_wildcard;
    wanted.allow_missing = action.allow_missing;
    wanted.follow_links = false;
    for (const Match& match : select(target_, wanted)) {
      if (match.path.empty()) fail(ExitCode::app_files, "'/' cannot be removed");
      const auto [parent, name] = split_path(match.path);
      target_.remove(target_.folder(parent), name);
      state_.known.erase(match.path);
      // Bytewise order keeps what lay below it together.
      state_.known.erase(state_.known.lower_bound(match.path + "/"),
                         state_.known.lower_bound(match.path + "0"));
    }
  }

  void copy(const FileActionOn& on, size_t number, const CopyRules& rules) {
    const FileAction& action = on.action;
    StackView source(on.source_layers, on.source_path);
    const source::PathPatterns excluded(action.exclude);
    TreeCopy copier(source, target_, rules, state_, number, action.parents);
    const std::vector<Match> matches = select(source, action);
    // X4: a pattern that matched nothing makes no folder, except with --parents.
    if (action.parents) (void)destination(action, rules);
    for (const Match& match : matches) {
      if (action.unpack && S_ISREG(match.entry.mode) && unpack(action, rules, source, match))
        continue;
      if (action.parents)
        copy_with_parents(action, rules, copier, match, excluded);
      else if (match.entry.folder())
        copy_folder(action, rules, copier, match, excluded);
      else
        copy_file(action, rules, copier, match);
    }
  }

  /// The folder that the destination names, made when it is missing.
  FolderRef destination(const FileAction& action, const CopyRules& rules) {
    check_parents(action);
    return make_path(resolve_in_root(target_, clean(action.dest), true).path, rules.new_folder());
  }

  void check_parents(const FileAction& action) {
    if (action.create_dest_path) return;
    const std::string parent = split_path(clean(action.dest)).first;
    (void)target_.folder(resolve_in_root(target_, parent, true).path);
  }

  // C24: parents first, then links are resolved, then it is decided whether it goes inside.
  void copy_file(const FileAction& action, const CopyRules& rules, TreeCopy& copier,
                 const Match& match) {
    const std::string wanted = clean(action.dest);
    if (names_folder(action.dest)) (void)destination(action, rules);
    const Resolved at = resolve_in_root(target_, wanted, true);
    if (at.entry && at.entry->folder())
      return copier.file(match.path, target_.folder(at.path), match.name);
    const auto [parent, name] = place(wanted, true, action.create_dest_path, rules.new_folder());
    copier.file(match.path, parent, name);
  }

  void copy_folder(const FileAction& action, const CopyRules& rules, TreeCopy& copier,
                   const Match& match, const source::PathPatterns& excluded) {
    if (!action.contents) {
      const Resolved at = resolve_in_root(target_, clean(action.dest), true);
      const bool inside =
          !match.name.empty() && (names_folder(action.dest) || (at.entry && at.entry->folder()));
      if (inside)
        return copier.folder(match.path, destination(action, rules), match.name, excluded);
      const auto [parent, name] =
          place(action.dest, true, action.create_dest_path, rules.new_folder());
      return copier.folder(match.path, parent, name, excluded);
    }
    const FolderRef to = destination(action, rules);
    copier.contents(match.path, to, excluded);
    copier.stamp(match.path, to);
  }

  void copy_with_parents(const FileAction& action, const CopyRules& rules, TreeCopy& copier,
                         const Match& match, const source::PathPatterns& excluded) {
    FolderRef to = destination(action, rules);
    if (match.kept.empty()) return copier.contents(match.path, to, excluded);
    const auto [folders, name] = split_path(match.kept);
    std::string from = match.base;
    for (const std::string& part : split(folders, '/')) {
      if (part.empty()) continue;
      from = join_path(from, part);
      to = copier.parent_folder(from, to, part);
    }
    if (match.entry.folder())
      copier.folder(match.path, to, name, excluded);
    else
      copier.file(match.path, to, name);
  }

  bool unpack(const FileAction& action, const CopyRules& rules, StackView& source,
              const Match& match) {
    const Fd file = source.open_file_at(match.path);
    if (!file || !is_archive(file.get())) return false;
    CopyRules folders = rules;
    folders.mode.reset();  // C14: --chmod is not for archives
    const FolderRef to = destination(action, folders);
    const std::string path = target_.path(*to);
    archive::Tree tree;
    try {
      if (given_.base.empty()) {
        tree = unpack_archive(file.get(), target_.writable(*to), rules.owner, given_.single_id);
      } else {
        given_.merged([&](int root) {
          const Fd folder = open_in_root(root, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY);
          tree = unpack_archive(file.get(), folder.get(), rules.owner, given_.single_id);
        });
      }
    } catch (Error& error) {
      throw error.add_context(fmt::format("unpacking '/{}'", printable(match.path)));
    }
    target_.forget();
    stamped_.clear();  // their descriptors are of before
    state_.files += tree.entries.size();
    state_.bytes += tree.total_size();
    for (const archive::TreeEntry& entry : tree.entries) {
      const std::string below = join_path(path, entry.path);
      state_.known.erase(below);
      if (entry.type == archive::EntryType::file)
        state_.known[below] = {below, entry.size, entry.mtime_ns, entry.digest, {}, 0};
    }
    return true;
  }

  const FileTarget& given_;
  LayerTarget target_;
  CopyState state_;
  // Folders that were made with a given time.
  std::vector<std::pair<FolderRef, int64_t>> stamped_;
};

}  // namespace

FileResult apply_file_actions(const FileTarget& target, const std::vector<FileActionOn>& actions) {
  Actions applied(target);
  for (size_t i = 0; i < actions.size(); ++i) applied.apply(actions[i], i);
  return applied.finish();
}

}  // namespace slipway::sandbox
