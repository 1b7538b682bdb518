#include "netfetch/git_fixture.h"
#include "netfetch/git_url.h"

using namespace slipway;
using namespace slipway::netfetch;
using namespace slipway::test;
using Catch::Matchers::Contains;

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

  CHECK(get({.url = "file://" + r.path().string(), .ref = "v1"}).commit.commit == one);
  for (const std::string& url : {server().url("/git/refs"), r.path().string()}) {
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

TEST_CASE("repositories with SHA-256 ids are read alike") {
  NEEDS_SERVER();
  const Repository r = served("sha256", "sha256");
  r.write("f", "old");
  const std::string old = r.commit();
  r.write("f", "new");
  r.commit();
  REQUIRE(old.size() == 64);
  for (const std::string& ref : {old, old.substr(0, 12)}) {
    const Got got = get({.url = server().url("/git/sha256"), .ref = ref});
    CHECK(got.commit.commit == old);
    CHECK(got.members.at("f").content == "old");
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
