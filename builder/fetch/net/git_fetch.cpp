#include "netfetch/git_fetch.h"

#include <map>

#include "base/files.h"
#include "base/text.h"
#include "netfetch/git_repository.h"
#include "netfetch/git_tar.h"

namespace slipway::netfetch {
namespace {

constexpr int submodule_depth_max = 10;
constexpr int submodules_max = 500;

// "a/b/" for "a/b", "./a/b/"; "" for the whole tree.
std::string folder_prefix(const std::string& subdir) {
  std::string prefix;
  for (const std::string& part : split(subdir, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") fail(ExitCode::outside, "'{}' leaves the repository", printable(subdir));
    prefix += part + "/";
  }
  if (starts_with(subdir, "/"))
    fail(ExitCode::outside, "'{}' leaves the repository", printable(subdir));
  return prefix;
}

/// Addresses by path, from the .gitmodules of a tree.
std::map<std::string, std::string> read_gitmodules(const GitRepository& repository,
                                                   const std::vector<GitEntry>& entries) {
  for (const GitEntry& entry : entries) {
    if (entry.path != ".gitmodules") continue;
    if (entry.kind != GitEntry::Kind::file && entry.kind != GitEntry::Kind::executable)
      fail(ExitCode::outside, "{}: .gitmodules is not a file", repository.address().shown);
    const GitOutput output = repository.git().run(
        {"config", "-z", "--blob", entry.object, "--get-regexp", "^submodule\\..*\\.(path|url)$"});
    if (!output.status.ok() && output.status.code != 1)
      fail(ExitCode::outside, "{}: .gitmodules cannot be read: {}", repository.address().shown,
           git_words(output.err));
    std::map<std::string, std::string> paths, urls;  // by submodule name
    for (const std::string& item : split(output.out, '\0')) {
      const size_t end = item.find('\n');
      if (end == std::string::npos) continue;
      const std::string key = item.substr(0, end);
      const std::string name = key.substr(0, key.rfind('.'));
      (ends_with(key, ".path") ? paths : urls)[name] = item.substr(end + 1);
    }
    std::map<std::string, std::string> by_path;
    for (auto& [name, path] : paths) {
      while (ends_with(path, "/")) path.pop_back();
      if (const auto url = urls.find(name); url != urls.end()) by_path[path] = url->second;
    }
    return by_path;
  }
  return {};
}

class TreeFetch {
 public:
  TreeFetch(const fetch::GitRequest& request, std::string scratch, GitTar& tar,
            const OnProgress& on_progress)
      : request_(request), scratch_(std::move(scratch)), tar_(tar), on_progress_(on_progress) {}

  /// Adds what lies below `keep` in the commit; false when nothing does.
  bool add(const GitRepository& repository, const std::string& commit, const std::string& keep,
           const std::string& prefix, int depth) {
    const std::vector<GitEntry> entries = list_tree(repository.git(), commit);
    bool any = keep.empty();
    bool submodules = false;
    for (const GitEntry& entry : entries) {
      any = any || starts_with(entry.path, keep);
      submodules = submodules || entry.kind == GitEntry::Kind::submodule;
    }
    tar_.add_blobs(repository.git(), entries, keep, prefix, scratch_);
    if (!submodules) return any;
    std::map<std::string, std::string> addresses;
    if (request_.submodules) addresses = read_gitmodules(repository, entries);
    for (const GitEntry& entry : entries) {
      if (entry.kind != GitEntry::Kind::submodule) continue;
      const std::string path = entry.path + "/";
      if (starts_with(path, keep)) {
        any = true;
        const std::string where = prefix + path.substr(keep.size());
        if (!where.empty()) tar_.add_folder(where.substr(0, where.size() - 1));
        if (request_.submodules) add_submodule(repository, addresses, entry, "", where, depth + 1);
      } else if (starts_with(keep, path) && request_.submodules) {
        any = add_submodule(repository, addresses, entry, keep.substr(path.size()), prefix,
                            depth + 1) ||
              any;
      }
    }
    return any;
  }

 private:
  bool add_submodule(const GitRepository& parent,
                     const std::map<std::string, std::string>& addresses, const GitEntry& entry,
                     const std::string& keep, const std::string& prefix, int depth) {
    try {
      if (depth > submodule_depth_max)
        fail(ExitCode::outside, "submodules are nested more than {} deep", submodule_depth_max);
      if (++count_ > submodules_max)
        fail(ExitCode::outside, "there are more than {} submodules", submodules_max);
      const auto address = addresses.find(entry.path);
      if (address == addresses.end())
        fail(ExitCode::outside, "{}: .gitmodules names no address for it", parent.address().shown);
      const std::string folder = fmt::format("{}/module-{}", scratch_, count_);
      GitRepository module(submodule_address(parent.address(), address->second), folder,
                           on_progress_);
      const std::string commit = module.fetch("", entry.object, false);
      const bool any = add(module, commit, keep, prefix, depth);
      remove_tree(folder);
      return any;
    } catch (Error& error) {
      throw error.add_context("submodule " + printable(entry.path));
    }
  }

  const fetch::GitRequest& request_;
  const std::string scratch_;
  GitTar& tar_;
  const OnProgress& on_progress_;
  int count_ = 0;
};

// Turns our bare copy into what `git clone` leaves in .git, without hooks and credentials.
void add_git_dir(const GitRepository& repository, const std::string& commit, GitTar& tar) {
  const GitProgram& git = repository.git();
  const std::string doing = "prepare the .git folder";
  git.run_ok({"update-ref", "--no-deref", "HEAD", commit}, doing);
  (void)git.run({"update-ref", "-d", "refs/slipway/fetched"});
  git.run_ok({"read-tree", commit}, doing);
  const std::string config = repository.folder() + "/config";
  git.run_ok({"config", "--file", config, "core.bare", "false"}, doing);
  git.run_ok({"config", "--file", config, "remote.origin.url", repository.address().shown}, doing);
  git.run_ok(
      {"config", "--file", config, "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"},
      doing);
  for (const char* name : {"hooks", "description", "branches", "info", "FETCH_HEAD"})
    remove_tree(repository.folder() + "/" + name);
  const Fd dir = open_file(repository.folder(), O_RDONLY | O_DIRECTORY);
  tar.add_local(dir.get(), ".git");
}

}  // namespace

FetchedCommit fetch_git(const fetch::GitRequest& request, const std::string& scratch, int output,
                        const OnProgress& on_progress) {
  const std::string keep = folder_prefix(request.subdir);
  const bool with_git_dir = request.keep_git_dir && keep.empty();
  GitRepository repository(parse_git_address(request.url), scratch + "/repository", on_progress);
  FetchedCommit result;
  result.commit = repository.fetch(request.ref, request.commit, with_git_dir);
  result.commit_time = repository.commit_time(result.commit);
  GitTar tar(output, result.commit_time);
  TreeFetch tree(request, scratch, tar, on_progress);
  if (!tree.add(repository, result.commit, keep, "", 0))
    fail(ExitCode::outside, "{} has no folder '{}' at {}", repository.address().shown,
         printable(request.subdir), result.commit.substr(0, 12));
  if (with_git_dir) add_git_dir(repository, result.commit, tar);
  tar.finish();
  return result;
}

std::string resolve_git(const std::string& url, const std::string& ref,
                        const std::string& scratch) {
  return GitRepository(parse_git_address(url), scratch + "/repository", {}).resolve(ref);
}

}  // namespace slipway::netfetch
