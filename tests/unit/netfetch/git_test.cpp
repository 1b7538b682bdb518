#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/text.h"
#include "fetch/fetcher.h"
#include "netfetch/git_fetch.h"
#include "netfetch/git_url.h"
#include "netfetch/server.h"

using namespace slipway;
using namespace slipway::netfetch;
using Catch::Matchers::Contains;

namespace {

const std::map<std::string, std::string> git_environment = {
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
  explicit Repository(fs::path path) : path_(std::move(path)) {
    fs::create_directories(path_);
    git({"init", "-q", "-b", "main"});
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

Members read_tar(int fd) {
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

std::vector<std::string> names(const Members& members) {
  std::vector<std::string> list;
  for (const auto& [name, member] : members) list.push_back(name);
  return list;
}

struct Got {
  FetchedCommit commit;
  Members members;
};

Got get(const fetch::GitRequest& request) {
  const TempDir scratch = TempDir::create("git-test");
  const Fd output(memfd_create("tar", MFD_CLOEXEC));
  Got got;
  got.commit = fetch_git(request, scratch.path().string(), output.get(), {});
  got.members = read_tar(output.get());
  return got;
}

std::string resolve(const std::string& url, const std::string& ref) {
  const TempDir scratch = TempDir::create("git-test");
  return resolve_git(url, ref, scratch.path().string());
}

Error error_of(const fetch::GitRequest& request) {
  try {
    (void)get(request);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    return error;
  }
  FAIL("no error for " << request.url << " " << request.ref);
  throw std::logic_error("unreachable");
}

test::Server& server() {
  static test::Server one;
  return one;
}

/// A repository the test's server shows under /git/<name> and, with credentials, /private/<name>.
Repository served(const std::string& name) {
  return Repository(server().repos() / name);
}

struct Local {
  TempDir temp = TempDir::create("git-test");
  Repository repository{temp.path() / "r"};
  std::string url() const { return repository.path().string(); }
};

}  // namespace

#define NEEDS_SERVER()                                            \
  if (!test::have_tools()) {                                      \
    WARN("skipped: the test's server needs python3 and openssl"); \
    return;                                                       \
  }

TEST_CASE("a tree comes with git's modes, links verbatim and the commit's time") {
  const Local local;
  const Repository& r = local.repository;
  r.write("bin/compile", "#!/bin/sh\n", 0755);
  r.write("README", "text\r\n", 0600);
  r.write("\xff\xfe name\n", "bytes");
  r.write(std::string(120, 'd') + "/" + std::string(150, 'f'), "long");
  r.write(".gitattributes",
          "* text=auto eol=crlf\nREADME export-ignore\n*.lfs filter=lfs\nS export-subst\n");
  r.write("x.lfs", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  r.write("S", "$Format:%H$\n");
  fs::create_symlink("../../etc/passwd", r.path() / "link");
  r.git({"-c", "core.safecrlf=false", "-c", "filter.lfs.clean=cat", "add", "-A"});
  const std::string id = r.commit();
  const Got got = get({.url = local.url()});
  CHECK(got.commit.commit == id);
  CHECK(got.commit.commit_time == 1600000000);
  CHECK(names(got.members) ==
        std::vector<std::string>{".gitattributes", "README", "S", "bin/", "bin/compile",
                                 std::string(120, 'd') + "/",
                                 std::string(120, 'd') + "/" + std::string(150, 'f'), "link",
                                 "x.lfs", "\xff\xfe name\n"});
  const auto& members = got.members;
  CHECK(members.at("bin/compile") == Member{S_IFREG | 0755, 1600000000, "#!/bin/sh\n"});
  CHECK(members.at("bin/").mode == (S_IFDIR | 0755));
  CHECK(members.at("README").mode == (S_IFREG | 0644));
  // What the repository holds, not what attributes would make of it.
  CHECK(members.at("README").content == r.git({"cat-file", "blob", "HEAD:README"}) + "\n");
  CHECK(members.at("S").content == "$Format:%H$\n");
  CHECK_THAT(members.at("x.lfs").content, Contains("git-lfs"));
  CHECK(members.at("link") == Member{S_IFLNK | 0777, 1600000000, "../../etc/passwd"});
}

TEST_CASE("a ref is a branch with slashes, a tag, a full or short id (SRC-2)") {
  NEEDS_SERVER();
  const Repository r = served("refs");
  r.write("f", "one");
  const std::string one = r.commit();
  r.git({"tag", "-a", "-m", "t", "v1"});
  r.write("f", "two");
  const std::string two = r.commit();
  r.git({"branch", "archive/v250"});
  r.write("f", "three");
  const std::string three = r.commit();
  // A name that pretends to be an id must not win over the commit.
  r.git({"update-ref", "refs/heads/" + one, three});

  for (const std::string& url :
       {server().url("/git/refs"), r.path().string(), "file://" + r.path().string()}) {
    const std::vector<std::pair<std::string, std::string>> cases = {{"", three},
                                                                    {"main", three},
                                                                    {"archive/v250", two},
                                                                    {"v1", one},
                                                                    {one, one},
                                                                    {one.substr(0, 10), one},
                                                                    {two, two},
                                                                    {"refs/tags/v1", one},
                                                                    {"HEAD", three}};
    for (const auto& [ref, expected] : cases) {
      INFO(url << " " << ref);
      CHECK(resolve(url, ref) == expected);
      const Got got = get({.url = url, .ref = ref});
      CHECK(got.commit.commit == expected);
      CHECK(got.members.at("f").content == (expected == one   ? "one"
                                            : expected == two ? "two"
                                                              : "three"));
    }
    CHECK(get({.url = url, .ref = "main", .commit = one}).members.at("f").content == "one");

    const Error unknown = error_of({.url = url, .ref = "mian"});
    CHECK_THAT(unknown.cause(), Contains("has no branch, tag or commit 'mian'"));
    CHECK(unknown.hint() == "did you mean 'main'?");
    CHECK_THAT(error_of({.url = url, .ref = "zzzzzzzz"}).hint(), Contains("archive/v250"));
    CHECK_THAT(error_of({.url = url, .ref = "abcdef0"}).cause(), Contains("'abcdef0'"));
    const std::string nowhere(40, 'e');
    CHECK_THAT(error_of({.url = url, .ref = nowhere}).cause(), Contains(nowhere));
  }
}

TEST_CASE("a bare repository and a commit are enough, whatever its branch says now") {
  const Local local;
  local.repository.write("f", "one");
  const std::string one = local.repository.commit();
  local.repository.write("f", "two");
  local.repository.commit();
  const fs::path bare = local.temp.path() / "bare.git";
  local.repository.git({"clone", "-q", "--bare", local.url(), bare.string()});
  CHECK(get({.url = bare.string(), .commit = one}).members.at("f").content == "one");
  CHECK_THAT(error_of({.url = bare.string(), .commit = "abc"}).cause(),
             Contains("not a full commit"));
  CHECK_THAT(error_of({.url = (local.temp.path() / "absent").string()}).cause(),
             Contains("No such file"));
  // A folder inside some repository is no repository.
  fs::create_directory(local.repository.path() / "sub");
  CHECK_THAT(error_of({.url = (local.repository.path() / "sub").string()}).cause(),
             Contains("not a git repository"));
}

TEST_CASE("commits of a push that is not accepted yet are read from its quarantine") {
  const Local local;
  local.repository.write("f", "pushed");
  local.repository.commit();
  const fs::path bare = local.temp.path() / "bare.git";
  run_ok({.argv = {"git", "init", "-q", "--bare", bare.string()}, .env = git_environment});
  // The hook asks from where it stands: with GIT_DIR and the quarantine in its environment.
  write_file_atomic(bare / "hooks/pre-receive",
                    "#!/bin/sh\nread old new ref\nenv | grep ^GIT_ > " +
                        (local.temp.path() / "env").string() + "\ncp -r \"$GIT_QUARANTINE_PATH\" " +
                        (bare / "objects/tmp_kept").string() + "\nexit 1\n",
                    0755);
  (void)run({.argv = {"git", "-C", local.url(), "push", "-q", bare.string(), "main"},
             .env = git_environment});
  const std::string id = local.repository.git({"rev-parse", "HEAD"});
  CHECK_THAT(error_of({.url = bare.string(), .commit = id}).cause(), Contains(id));
  setenv("GIT_QUARANTINE_PATH", (bare / "objects/tmp_kept").c_str(), 1);
  setenv("GIT_DIR", "/nonexistent", 1);
  const Got got = get({.url = bare.string(), .commit = id});
  unsetenv("GIT_QUARANTINE_PATH");
  unsetenv("GIT_DIR");
  CHECK(got.members.at("f").content == "pushed");
}

TEST_CASE("keep_git_dir gives a repository that works, without hooks and credentials (SRC-8)") {
  NEEDS_SERVER();
  const Repository r = served("kept");
  r.write("bin/detect", "x", 0755);
  const std::string id = r.commit();
  r.git({"tag", "v1"});
  for (const std::string ref : {"main", "v1", id.c_str()}) {
    const TempDir temp = TempDir::create("git-test");
    const Fd tar = open_file((temp.path() / "t.tar").string(), O_RDWR | O_CREAT, 0600);
    const TempDir scratch = TempDir::create("git-test");
    fetch_git(
        {.url = server().url("/private/kept", "user:s3cret@"), .ref = ref, .keep_git_dir = true},
        scratch.path().string(), tar.get(), {});
    fs::create_directory(temp.path() / "out");
    run_ok({.argv = {"tar", "-xf", (temp.path() / "t.tar").string(), "-C",
                     (temp.path() / "out").string()}});
    const auto git = [&](std::vector<std::string> arguments) {
      arguments.insert(arguments.begin(), {"git", "-C", (temp.path() / "out").string()});
      return run_ok({.argv = arguments, .env = git_environment}).out;
    };
    CHECK(git({"rev-parse", "HEAD"}) == id + "\n");
    CHECK(git({"status", "--porcelain"}).empty());
    CHECK(git({"config", "remote.origin.url"}) == server().url("/private/kept") + "\n");
    CHECK_FALSE(fs::exists(temp.path() / "out/.git/hooks"));
    CHECK(read_file(temp.path() / "t.tar").find("s3cret") == std::string::npos);
  }
  CHECK(names(get({.url = r.path().string(), .keep_git_dir = true}).members).front() == ".git/");
  CHECK(names(get({.url = r.path().string()}).members).front() == "bin/");
}

TEST_CASE("a subfolder becomes the root, and only a folder of the tree does (threat 13)") {
  const Local local;
  const Repository& r = local.repository;
  r.write("packs/one/bin/detect", "x");
  r.write("packs/oneself", "y");
  fs::create_symlink("/etc", r.path() / "etc");
  r.commit();
  CHECK(names(get({.url = local.url(), .subdir = "packs/one"}).members) ==
        std::vector<std::string>{"bin/", "bin/detect"});
  CHECK(names(get({.url = local.url(), .subdir = "./packs//one/"}).members).size() == 2);
  CHECK_THAT(error_of({.url = local.url(), .subdir = "../x"}).cause(),
             Contains("leaves the repository"));
  CHECK_THAT(error_of({.url = local.url(), .subdir = "/etc"}).cause(),
             Contains("leaves the repository"));
  for (const std::string subdir : {"etc", "packs/oneself", "nothing", ".git"})
    CHECK_THAT(error_of({.url = local.url(), .subdir = subdir}).cause(),
               Contains("has no folder '" + subdir + "'"));
}

TEST_CASE("submodules are fetched at their commits, nested and by relative addresses") {
  NEEDS_SERVER();
  const Repository inner = served("inner"), middle = served("middle"), outer = served("outer");
  inner.write("deep", "deep");
  const std::string inner_id = inner.commit();
  inner.write("deep", "newer");
  inner.commit();
  middle.write("mid", "mid");
  middle.commit();
  middle.add_module("in\r", "../inner", inner_id);
  outer.write("top", "top");
  outer.commit();
  outer.add_module("lib/middle", "./../middle/", middle.git({"rev-parse", "HEAD"}));
  const std::string url = server().url("/git/outer");
  const Got got = get({.url = url});
  CHECK(names(got.members) == std::vector<std::string>{".gitmodules", "lib/", "lib/middle/",
                                                       "lib/middle/.gitmodules", "lib/middle/in\r/",
                                                       "lib/middle/in\r/deep", "lib/middle/mid",
                                                       "top"});
  CHECK(got.members.at("lib/middle/in\r/deep").content == "deep");
  CHECK(names(get({.url = url, .submodules = false}).members) ==
        std::vector<std::string>{".gitmodules", "lib/", "lib/middle/", "top"});
  CHECK(names(get({.url = url, .subdir = "lib/middle/in\r"}).members) ==
        std::vector<std::string>{"deep"});
}

TEST_CASE("credentials follow submodules on the same origin only (threat 14)") {
  NEEDS_SERVER();
  const Repository module = served("secret-module"), app = served("secret-app"),
                   leak = served("leaking-app");
  module.write("m", "m");
  const std::string id = module.commit();
  app.write("a", "a");
  app.commit();
  app.add_module("m", "../secret-module", id);
  const std::string with = server().url("/private/secret-app", "user:s3cret@");
  CHECK(get({.url = with}).members.at("m/m").content == "m");
  CHECK(resolve(with, "main") == app.git({"rev-parse", "HEAD"}));

  leak.write("a", "a");
  leak.commit();
  leak.add_module("m", server().other_url("/private/secret-module"), id);
  server().requests();
  const Error error = error_of({.url = server().url("/private/leaking-app", "user:s3cret@")});
  CHECK(error.context() == std::vector<std::string>{"submodule m"});
  CHECK_THAT(error.hint(), Contains("private or does not exist"));
  for (const Json& request : server().requests())
    if (std::to_string(request["port"].get<int>()) != server().port())
      CHECK(request["authorization"].is_null());

  const Error denied = error_of({.url = server().url("/private/secret-app", "user:wr0ng-pass@")});
  const std::string text = std::string(denied.what()) + denied.hint();
  CHECK_THAT(text, Contains("fetch " + server().url("/private/secret-app") + ": ") &&
                       !Contains("wr0ng-pass"));
}

TEST_CASE("submodules lead neither to this machine's files nor to helpers (threat 13)") {
  NEEDS_SERVER();
  const Local secret;
  secret.repository.write("secret", "x");
  const std::string id = secret.repository.commit();
  const TempDir temp = TempDir::create("git-test");
  const std::string canary = (temp.path() / "canary").string();
  const std::vector<std::pair<std::string, std::string>> cases = {
      {secret.url(), "path of this machine"},
      {"file://" + secret.url(), "path of this machine"},
      {"../../../../../../../../etc", "leaves its parent's server"},
      {"ext::touch " + canary, "remote helpers"},
      {"-oProxyCommand=touch " + canary, "begins with '-'"},
      {"ssh://-oProxyCommand=touch/x", "not a sound URL"},
      {"ftp://127.0.0.1/x", "only https, http, git, ssh and file"},
      {"--upload-pack=touch " + canary, "begins with '-'"},
  };
  const GitAddress parent = parse_git_address("https://h/a/b");
  for (const auto& [url, words] : cases) {
    INFO(url);
    CHECK_THROWS_WITH(submodule_address(parent, url), Contains(words));
  }
  for (const size_t number : {size_t{1}, size_t{3}}) {
    const std::string name = "evil-module-" + std::to_string(number);
    const Repository r = served(name);
    r.write("f", "f");
    r.commit();
    r.add_module("m", cases[number].first, id);
    const Error error = error_of({.url = server().url("/git/" + name)});
    CHECK_THAT(error.cause(), Contains(cases[number].second));
    CHECK(error.context() == std::vector<std::string>{"submodule m"});
  }
  // Beside a local repository as well.
  const Local app;
  app.repository.write("f", "f");
  app.repository.commit();
  app.repository.add_module("m", "../r", id);
  CHECK_THAT(error_of({.url = app.url()}).cause(), Contains("path of this machine"));
  app.repository.git({"config", "-f", ".gitmodules", "--remove-section", "submodule.m"});
  app.repository.git({"add", ".gitmodules"});
  app.repository.git({"commit", "-q", "-m", "x"});
  CHECK_THAT(error_of({.url = app.url()}).cause(), Contains("names no address"));
  CHECK_FALSE(fs::exists(canary));
}

TEST_CASE("what .gitmodules says about updating is not run") {
  NEEDS_SERVER();
  const Repository module = served("plain-module"), r = served("update-command");
  module.write("m", "m");
  const std::string id = module.commit();
  const TempDir temp = TempDir::create("git-test");
  r.write("f", "f");
  r.commit();
  r.add_module("m", "../plain-module", id);
  r.git({"config", "-f", ".gitmodules", "submodule.m.update",
         "!touch " + (temp.path() / "canary").string()});
  r.git({"add", ".gitmodules"});
  r.git({"commit", "-q", "-m", "x"});
  CHECK(get({.url = server().url("/git/update-command")}).members.at("m/m").content == "m");
  CHECK(fs::is_empty(temp.path()));
}

TEST_CASE("hostile trees are refused by name (threat 13)") {
  const Local local;
  const Repository& r = local.repository;
  r.write("f", "f");
  r.commit();
  const std::string blob = r.blob("evil");
  const std::string inner = r.raw_tree({{"100644", "config", blob}});
  const std::string link = r.blob("/etc");
  using Tree = std::vector<std::array<std::string, 3>>;
  const std::vector<std::pair<Tree, std::string>> cases = {
      {{{"40000", "..", inner}}, "'../config': not a sound path"},
      {{{"40000", ".git", inner}}, "'.git' cannot be part of a tree"},
      {{{"40000", ".GIT", inner}}, "'.git' cannot be part of a tree"},
      {{{"100644", ".git", blob}}, "'.git' cannot be part of a tree"},
      {{{"100644", "../x", blob}}, "'../x': not a sound path"},
      {{{"100644", "/etc/x", blob}}, "not a sound path"},
      {{{"100644", ".", blob}}, "not a sound path"},
      {{{"100644", "twice", blob}, {"120000", "twice", link}}, "'twice' twice"},
      {{{"120000", "a", link}, {"40000", "a", inner}}, "below something that is no folder"},
      {{{"100644", std::string(300, 'n'), blob}}, "the name is too long"},
      {{{"120000", "a", r.blob(std::string(5000, 'l'))}}, "'a' is too long"},
      {{{"120000", "a", r.blob(std::string("x\0y", 3))}}, "points nowhere"},
      {{{"160000", "m", std::string(40, '1')}, {"120000", ".gitmodules", link}},
       ".gitmodules is not a file"},
  };
  for (const auto& [tree, words] : cases) {
    INFO(words);
    r.commit_tree(r.raw_tree(tree));
    CHECK_THAT(error_of({.url = local.url()}).cause(), Contains(words));
  }
  // A carriage return is only a strange name.
  r.commit_tree(r.raw_tree({{"100644", "cr\r", blob}}));
  CHECK(get({.url = local.url()}).members.at("cr\r").content == "evil");
}

TEST_CASE("a few objects that describe endless files do not fill the disk (threat 21)") {
  const Local local;
  const Repository& r = local.repository;
  std::string tree = r.raw_tree({{"100644", "f", r.blob("x")}});
  for (int level = 0; level < 8; ++level) {
    std::vector<std::array<std::string, 3>> entries;
    for (int i = 0; i < 10; ++i) entries.push_back({"40000", std::to_string(i), tree});
    tree = r.raw_tree(entries);
  }
  r.commit_tree(tree);
  CHECK_THAT(error_of({.url = local.url()}).cause(), Contains("more than 1000000 files"));
}

TEST_CASE("a damaged repository is an error, not half a tree") {
  const Local local;
  const Repository& r = local.repository;
  r.write("a", "a");
  r.write("b", "b");
  r.commit();
  const std::string id = r.git({"rev-parse", "HEAD:b"});
  fs::remove(r.path() / ".git/objects" / id.substr(0, 2) / id.substr(2));
  CHECK_THAT(error_of({.url = local.url()}).cause(), Contains("the repository is damaged"));
}

TEST_CASE("a local repository's own settings run nothing") {
  const Local local;
  const Repository& r = local.repository;
  r.write("f", "f");
  r.commit();
  const TempDir temp = TempDir::create("git-test");
  const std::string touch = "touch " + (temp.path() / "canary").string();
  for (const std::string key : {"core.fsmonitor", "core.sshCommand", "core.pager", "core.gitProxy",
                                "core.alternateRefsCommand", "filter.x.smudge", "diff.external",
                                "uploadpack.packObjectsHook", "alias.ls-tree"})
    r.git({"config", key, touch});
  write_file_atomic(r.path() / ".git/hooks/post-checkout", "#!/bin/sh\n" + touch + "\n", 0755);
  CHECK(get({.url = local.url()}).members.at("f").content == "f");
  CHECK(get({.url = local.url(), .keep_git_dir = true}).members.at("f").content == "f");
  CHECK(fs::is_empty(temp.path()));
}

TEST_CASE("addresses and refs that are options or other transports are refused") {
  const TempDir temp = TempDir::create("git-test");
  const std::string canary = (temp.path() / "canary").string();
  for (const std::string& url : std::vector<std::string>{
           "--upload-pack=touch " + canary, "-x", "ext::sh -c 'touch " + canary + "'",
           std::string("fd::17"), std::string("transport::https://h/x"), std::string("ftp://h/x"),
           std::string("ssh://-oProxyCommand=touch/x"), std::string("ssh://-l@h/x"),
           std::string("ssh://h/-x"), std::string("git@-host:x"), std::string("-git@host:x"),
           std::string("git@host:-x"), std::string("https://h/x\ny"), std::string("https:///x"),
           std::string("https://user:a%0ahost=evil@h/x"), std::string(""),
           std::string("https://h")}) {
    INFO(url);
    CHECK_THAT(error_of({.url = url}).cause(), Contains("is not fetched"));
  }
  const Local local;
  local.repository.write("f", "f");
  local.repository.commit();
  for (const std::string ref : {"--upload-pack=x", "-x", "a b", "a..b", "HEAD~1", "main^{tree}",
                                "main:f", "@{-1}", "a\nb", "*", "/x", "x/", "refs/heads/*"}) {
    INFO(ref);
    CHECK_THAT(error_of({.url = local.url(), .ref = ref}).cause(),
               Contains("is not the name of a branch, tag or commit"));
  }
  CHECK_FALSE(fs::exists(canary));
}

TEST_CASE("addresses are understood as git understands them") {
  const auto kind = [](const std::string& text) { return parse_git_address(text).kind; };
  CHECK(kind("https://h/x") == GitAddress::Kind::https);
  CHECK(kind("git@h:x/y.git") == GitAddress::Kind::ssh);
  CHECK(kind("host:x") == GitAddress::Kind::ssh);
  CHECK(kind("ssh://git@h/x") == GitAddress::Kind::ssh);
  CHECK(kind("git://h/x") == GitAddress::Kind::git);
  CHECK(kind("/a/b:c") == GitAddress::Kind::local);
  CHECK(kind("./a:b") == GitAddress::Kind::local);
  CHECK(parse_git_address("file:///a%20b").url == "/a b");
  CHECK(parse_git_address("https://u:p@h/x").url == "https://h/x");
  CHECK(parse_git_address("ssh://u:p@h/x").url == "ssh://u@h/x");
  const auto relative = [](const std::string& parent, const std::string& text) {
    return submodule_address(parse_git_address(parent), text).url;
  };
  CHECK(relative("https://h/a/b.git", "../c") == "https://h/a/c");
  CHECK(relative("https://h/a/b/", "../../c/d") == "https://h/c/d");
  CHECK(relative("https://h/a", "./c") == "https://h/a/c");
  CHECK(relative("git@h:a/b", "../c") == "git@h:a/c");
  CHECK(relative("git@h:a", "../c") == "git@h:c");
  CHECK(relative("ssh://git@h:22/a/b", "../c") == "ssh://git@h:22/a/c");
  CHECK_THROWS_WITH(relative("https://h/a", "../../c"), Contains("leaves its parent's server"));
}

TEST_CASE("git hosts that cannot be reached are named with the resolver's words") {
  test::have_tools() ? (void)server() : (void)0;
  const Error error = error_of({.url = "https://user:hidden-pw@no-such-host.invalid/x.git"});
  CHECK_THAT(error.cause(), Contains("fetch https://no-such-host.invalid/x.git: ") &&
                                Contains("Could not resolve host: no-such-host.invalid"));
  CHECK_THAT(error.hint(), Contains("check the network"));
}

TEST_CASE("the client and the program together") {
  NEEDS_SERVER();
  const fs::path program =
      fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "slipway-fetch";
  REQUIRE(fs::exists(program));
  const TempDir temp = TempDir::create("git-test");
  fetch::Fetcher fetcher;
  fetcher.program = program.string();
  fetcher.temp_dir = temp.path().string();
  const Repository r = served("together");
  r.write("f", "f");
  const std::string id = r.commit();
  const std::string url = server().url("/git/together");
  CHECK(fetcher.git_resolve(url, "main") == id);
  const fetch::GitResult tree = fetcher.git({.url = url, .ref = "main"});
  CHECK(tree.commit == id);
  CHECK(tree.commit_time == 1600000000);
  CHECK(names(read_tar(tree.tar.get())) == std::vector<std::string>{"f"});
  const fetch::HttpResult file = fetcher.http({.url = server().url("/landed")});
  CHECK(read_all(file.body.get()) == "landed");
  try {
    (void)fetcher.git({.url = url, .ref = "mian"});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    CHECK(error.hint() == "did you mean 'main'?");
  }
  CHECK(fs::is_empty(temp.path()));
}
