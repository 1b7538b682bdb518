// Repositories made with the real git, and fetching them without the client around it.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <array>

#include "base/error.h"
#include "fetch/fetcher.h"
#include "netfetch/git_fetch.h"
#include "netfetch/server.h"

namespace slipway::test {

using namespace slipway::netfetch;

inline const std::map<std::string, std::string> git_environment = {
    {"PATH", std::getenv("PATH") != nullptr ? std::getenv("PATH") : "/usr/bin:/bin"},
    {"HOME", "/nonexistent"},
    {"GIT_CONFIG_NOSYSTEM", "1"},
    {"GIT_AUTHOR_NAME", "A"},
    {"GIT_AUTHOR_EMAIL", "a@example.com"},
    {"GIT_COMMITTER_NAME", "A"},
    {"GIT_COMMITTER_EMAIL", "a@example.com"},
    {"GIT_AUTHOR_DATE", "1600000000 +0200"},
    {"GIT_COMMITTER_DATE", "1600000000 +0200"}};

/// A repository made with the real git.
class Repository {
 public:
  explicit Repository(fs::path path, const std::string& format = "sha1") : path_(std::move(path)) {
    fs::create_directories(path_);
    git({"init", "-q", "-b", "main", "--object-format=" + format});
  }
  std::string git(std::vector<std::string> arguments, const std::string& input = {}) const {
    RunOptions options;
    options.argv = {"git", "-C", path_.string()};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.env = git_environment;
    options.input = input;
    std::string out = run_ok(options).out;
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
  }
  void write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
    fs::create_directories((path_ / name).parent_path());
    write_file_atomic(path_ / name, text, mode);
  }
  std::string commit(const std::string& message = "c") const {
    git({"add", "-A"});
    git({"commit", "-q", "--allow-empty", "-m", message});
    return git({"rev-parse", "HEAD"});
  }
  std::string blob(const std::string& text) const {
    return git({"hash-object", "-w", "--stdin"}, text);
  }
  /// A tree no git would write: entries are "mode name\0<raw id>".
  std::string raw_tree(const std::vector<std::array<std::string, 3>>& entries) const {
    std::string body;
    for (const auto& [mode, name, id] : entries) {
      body += mode + " " + name + std::string(1, '\0');
      for (size_t i = 0; i < id.size(); i += 2)
        body += static_cast<char>(std::stoi(id.substr(i, 2), nullptr, 16));
    }
    return git({"hash-object", "-w", "-t", "tree", "--literally", "--stdin"}, body);
  }
  std::string commit_tree(const std::string& tree) const {
    const std::string id = git({"commit-tree", "-m", "hostile", tree});
    git({"update-ref", "refs/heads/main", id});
    return id;
  }
  /// A gitlink at `path`, with .gitmodules naming `url`.
  void add_module(const std::string& path, const std::string& url, const std::string& id) const {
    git({"update-index", "--add", "--cacheinfo", "160000," + id + "," + path});
    git({"config", "-f", ".gitmodules", "submodule." + path + ".path", path});
    git({"config", "-f", ".gitmodules", "submodule." + path + ".url", url});
    git({"add", ".gitmodules"});
    git({"commit", "-q", "-m", "module"});
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Member {
  mode_t mode = 0;
  int64_t mtime = 0;
  std::string content;  ///< or a link's text
  bool operator==(const Member&) const = default;
};
using Members = std::map<std::string, Member>;

inline Members read_tar(int fd) {
  lseek(fd, 0, SEEK_SET);
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  archive_read_support_format_tar(reader.get());
  REQUIRE(archive_read_open_fd(reader.get(), fd, 65536) == ARCHIVE_OK);
  Members members;
  archive_entry* entry = nullptr;
  int status;
  while ((status = archive_read_next_header(reader.get(), &entry)) == ARCHIVE_OK) {
    Member member{archive_entry_mode(entry), archive_entry_mtime(entry), {}};
    if (const char* link = archive_entry_symlink(entry)) member.content = link;
    std::string data(static_cast<size_t>(archive_entry_size(entry)), '\0');
    REQUIRE(archive_read_data(reader.get(), data.data(), data.size()) ==
            static_cast<la_ssize_t>(data.size()));
    member.content += data;
    const std::string path = archive_entry_pathname(entry);
    REQUIRE(members.emplace(path, member).second);
  }
  REQUIRE(status == ARCHIVE_EOF);
  return members;
}

inline std::vector<std::string> names(const Members& members) {
  std::vector<std::string> list;
  for (const auto& [name, member] : members) list.push_back(name);
  return list;
}

struct Got {
  FetchedCommit commit;
  Members members;
};

inline Got get(const fetch::GitRequest& request) {
  const TempDir scratch = TempDir::create("git-test");
  const Fd output(memfd_create("tar", MFD_CLOEXEC));
  Got got;
  got.commit = fetch_git(request, scratch.path().string(), output.get(), {});
  got.members = read_tar(output.get());
  return got;
}

inline std::string resolve(const std::string& url, const std::string& ref) {
  const TempDir scratch = TempDir::create("git-test");
  return resolve_git(url, ref, scratch.path().string());
}

inline Error error_of(const fetch::GitRequest& request) {
  try {
    (void)get(request);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    return error;
  }
  FAIL("no error for " << request.url << " " << request.ref);
  throw std::logic_error("unreachable");
}

inline Server& server() {
  static Server one;
  return one;
}

/// A repository the test's server shows under /git/<name> and, with credentials, /private/<name>.
inline Repository served(const std::string& name, const std::string& format = "sha1") {
  return Repository(server().repos() / name, format);
}

struct Local {
  TempDir temp = TempDir::create("git-test");
  Repository repository{temp.path() / "r"};
  std::string url() const { return repository.path().string(); }
};

}  // namespace slipway::test
