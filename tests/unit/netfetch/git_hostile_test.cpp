// Threats 13, 14 and 21: what hostile repositories, refs and addresses try.
#include "netfetch/git_fixture.h"
#include "netfetch/git_url.h"

using namespace slipway;
using namespace slipway::netfetch;
using namespace slipway::test;
using Catch::Matchers::Contains;

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

TEST_CASE("the folder the user stands in has no say") {
  NEEDS_SERVER();
  const Repository r = served("standing");
  r.write("f", "f");
  r.commit();
  const Local here;
  here.repository.git({"config", "url.http://127.0.0.1:1/.insteadOf", server().url("/")});
  const fs::path before = fs::current_path();
  fs::current_path(here.url());
  const Got got = get({.url = server().url("/git/standing")});
  fs::current_path(before);
  CHECK(got.members.at("f").content == "f");
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
