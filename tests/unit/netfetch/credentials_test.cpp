#include <csignal>

#include "netfetch/credentials.h"

#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "netfetch/base64.h"
#include "source/public_names.h"

using namespace slipway;
using namespace slipway::netfetch;
using Catch::Matchers::Contains;

namespace {

// As slipway-fetch does: a helper may end without reading what it is told.
[[maybe_unused]] const auto before = std::signal(SIGPIPE, SIG_IGN);

const source::ImageRegistry& hub() {
  return source::public_names().images;
}

/// A docker folder of the test's own, and a PATH with helpers in it.
struct Home {
  TempDir temp = TempDir::create("credentials-test");
  std::string path_before = std::getenv("PATH");
  Home() {
    setenv("DOCKER_CONFIG", temp.path().c_str(), 1);
    unsetenv("DOCKER_AUTH_CONFIG");
    setenv("PATH", (temp.path().string() + ":" + path_before).c_str(), 1);
  }
  ~Home() {
    unsetenv("DOCKER_CONFIG");
    unsetenv("DOCKER_AUTH_CONFIG");
    setenv("PATH", path_before.c_str(), 1);
  }
  std::string file() const { return (temp.path() / "config.json").string(); }
  void config(const Json& value) const { write_file_atomic(file(), value.dump()); }
  void helper(const std::string& name, const std::string& script) const {
    write_file_atomic(temp.path() / ("docker-credential-" + name), "#!/bin/sh\n" + script, 0755);
  }
  std::string read(const std::string& name) const {
    return read_file_if_exists(temp.path() / name).value_or("");
  }
};

std::string found(const std::string& domain) {
  const auto credentials = CredentialStore::load().find(domain);
  if (!credentials) return "none";
  if (!credentials->registry_token.empty()) return "registry token " + credentials->registry_token;
  if (!credentials->identity_token.empty()) return "identity " + credentials->identity_token;
  return credentials->user + ":" + credentials->secret;
}

Json auth(const std::string& text) {
  return {{"auth", base64_encode(text)}};
}

Error error_of(const std::string& domain) {
  try {
    (void)CredentialStore::load().find(domain);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::machine);
    return error;
  }
  FAIL("no error");
  throw std::logic_error("unreachable");
}

}  // namespace

TEST_CASE("base64 is read with and without its padding") {
  for (const std::string& text : {std::string(), std::string("a"), std::string("ab"),
                                  std::string("abc"), std::string("user:p\xff\0ss", 9)}) {
    CHECK(base64_decode(base64_encode(text)) == text);
  }
  CHECK(base64_decode("YQ") == "a");
  for (const char* bad : {"Y", "Y Q=", "Y=Q=", " YQ==", "YQ==\n", "%%%%"})
    CHECK_FALSE(base64_decode(bad));
}

TEST_CASE("entries are found by host and port, in docker's spellings (N7)") {
  const Home home;
  CHECK(found("registry.example") == "none");
  home.config({{"auths",
                {{"registry.example", auth("a:1")},
                 {"registry.example:5000", auth("b:2:with:colons")},
                 {"https://Old.Example/v1/", auth("c:3")},
                 {hub().credentials_key, auth("d:4")},
                 {"podman.example/team", auth("e:5")},
                 {"plain.example", {{"username", "f"}, {"password", "6"}}},
                 {"identity.example", {{"auth", base64_encode("x:")}, {"identitytoken", "it"}}},
                 {"token.example", {{"registrytoken", "rt"}}},
                 {"zeros.example", auth(std::string("g:7\0\0", 5))},
                 {"empty.example", Json::object()}}}});
  CHECK(found("registry.example") == "a:1");
  CHECK(found("registry.example:5000") == "b:2:with:colons");
  CHECK(found("registry.example:5001") == "none");
  CHECK(found("old.example") == "c:3");
  CHECK(found(hub().domain) == "d:4");
  CHECK(found("podman.example") == "none");
  CHECK(found("plain.example") == "f:6");
  CHECK(found("identity.example") == "identity it");
  CHECK(found("token.example") == "registry token rt");
  CHECK(found("zeros.example") == "g:7");
  CHECK(found("empty.example") == "none");
  home.config({{"auths", {{hub().host, auth("h:8")}}}});
  CHECK(found(hub().domain) == "h:8");
}

TEST_CASE("DOCKER_AUTH_CONFIG comes before the file, which stays for other hosts (N7)") {
  const Home home;
  home.config({{"auths", {{"a.example", auth("file:1")}, {"b.example", auth("file:2")}}}});
  setenv("DOCKER_AUTH_CONFIG", Json{{"auths", {{"a.example", auth("env:1")}}}}.dump().c_str(), 1);
  CHECK(found("a.example") == "env:1");
  CHECK(found("b.example") == "file:2");
  setenv("DOCKER_AUTH_CONFIG", "{\"auths\": hunter2", 1);
  const Error error = error_of("a.example");
  CHECK_THAT(error.what(), Contains("DOCKER_AUTH_CONFIG:1:11: not valid JSON"));
  CHECK_THAT(error.what(), !Contains("hunter2"));
}

TEST_CASE("a helper is run with the host on its stdin, and no shell (N7, threat 23)") {
  const Home home;
  home.helper("one",
              "cat >\"$DOCKER_CONFIG/asked\"; echo \"$#:$1\" >\"$DOCKER_CONFIG/called\"\n"
              "echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}'\n");
  home.helper("two", "echo '{\"Username\":\"<token>\",\"Secret\":\"it\"}'\n");
  home.helper("none", "echo 'credentials not found in native keychain'; exit 1\n");
  home.config({{"credsStore", "one"},
               {"credHelpers", {{"special.example", "two"}, {"nobody.example", "none"}}},
               {"auths", {{"nobody.example", auth("file:1")}}}});
  CHECK(found("any.example:5000") == "u:s");
  CHECK(home.read("asked") == "any.example:5000");
  CHECK(home.read("called") == "1:get\n");
  CHECK(found(hub().domain) == "u:s");
  CHECK(home.read("asked") == hub().credentials_key);
  CHECK(found("special.example") == "identity it");
  CHECK(found("nobody.example") == "file:1");
  for (const std::string name :
       {"../../bin/sh", "a/b", "x; touch pwned", "$(touch pwned)", "-x", ""}) {
    home.config({{"credHelpers", {{"h.example", name}}}});
    if (!name.empty())
      CHECK_THAT(error_of("h.example").cause(), Contains("is not a credential helper's name"));
  }
  CHECK_FALSE(fs::exists(home.temp.path() / "pwned"));
}

TEST_CASE("helpers that fail are named, without what they said of a secret (threat 15)") {
  const Home home;
  home.config({{"credsStore", "bad"}});
  home.helper("bad", "echo 'keychain is locked'; exit 3\n");
  CHECK(error_of("h.example").cause() ==
        "docker-credential-bad get failed (exit 3): keychain is locked");
  home.helper("bad", "echo '{\"Secret\": hunter2'\n");
  CHECK(error_of("h.example").cause() == "docker-credential-bad get did not answer with JSON");
  fs::remove(home.temp.path() / "docker-credential-bad");
  CHECK(error_of("h.example").cause() ==
        "the credential helper docker-credential-bad is not installed");
}

TEST_CASE("files that cannot be read are told with the place, not the content (threat 15)") {
  const Home home;
  write_file_atomic(home.file(), "{\n  \"auths\": {\"h\": {\"auth\": hunter2}}\n}");
  const Error error = error_of("h");
  CHECK_THAT(error.what(), Contains("config.json:2:") && !Contains("hunter2"));
  home.config(Json::array());
  CHECK_THAT(error_of("h").cause(), Contains("not a JSON object"));
  home.config({{"auths", {{"h.example", {{"auth", "hunter2!"}}}}}});
  const Error entry = error_of("h.example");
  CHECK_THAT(entry.cause(), Contains("is not base64 of user:password") && !Contains("hunter2"));
  home.config({{"auths", 5}, {"credHelpers", "x"}, {"credsStore", {}}});
  CHECK(found("h.example") == "none");
}

TEST_CASE("what is stored leaves the rest of the file as it was") {
  const Home home;
  write_file_atomic(
      home.file(),
      R"({"zeta": {"b": 1, "a": 2}, "auths": {"x.example": {"auth": "eDp5"}}, "alpha": true})",
      0644);
  CredentialStore store = CredentialStore::load();
  CHECK(store.store("new.example", {.user = "u", .secret = "p"}) == home.file());
  const auto text = read_file(home.file());
  CHECK(text.find("zeta") < text.find("alpha"));
  CHECK(text.find("\"b\"") < text.find("\"a\""));
  CHECK((fs::status(home.file()).permissions() & fs::perms::all) == fs::perms(0600));
  CHECK(found("new.example") == "u:p");
  CHECK(found("x.example") == "x:y");
  CHECK(CredentialStore::load().store(hub().domain, {.user = "h", .secret = "p"}) == home.file());
  CHECK(Json::parse(read_file(home.file()))["auths"].contains(hub().credentials_key));
  CHECK(CredentialStore::load().erase("new.example"));
  CHECK_FALSE(CredentialStore::load().erase("new.example"));
  CHECK(found("new.example") == "none");
  CHECK(found("x.example") == "x:y");
}

TEST_CASE("a config file that is a link stays one") {
  const Home home;
  write_file_atomic(home.temp.path() / "real.json", "{}");
  fs::create_symlink("real.json", home.file());
  CredentialStore::load().store("h.example", {.user = "u", .secret = "p"});
  CHECK(fs::is_symlink(home.file()));
  CHECK_THAT(home.read("real.json"), Contains("h.example"));
}

TEST_CASE("a helper keeps and erases what is its own") {
  const Home home;
  home.helper("box",
              "case $1 in store) cat >\"$DOCKER_CONFIG/box\" ;;\n"
              "get) cat \"$DOCKER_CONFIG/box\" 2>/dev/null || { echo 'credentials not found in "
              "native keychain'; exit 1; } ;;\n"
              "erase) rm \"$DOCKER_CONFIG/box\" ;; esac\n");
  home.config({{"credsStore", "box"}});
  CHECK(CredentialStore::load().store("h.example", {.user = "u", .secret = "p"}) ==
        "the credential helper docker-credential-box");
  CHECK(Json::parse(home.read("box")) ==
        Json{{"ServerURL", "h.example"}, {"Username", "u"}, {"Secret", "p"}});
  // The file says that there is something, not what.
  CHECK(Json::parse(read_file(home.file()))["auths"]["h.example"] == Json::object());
  CHECK(found("h.example") == "u:p");
  CHECK(CredentialStore::load().erase("h.example"));
  CHECK_FALSE(CredentialStore::load().erase("h.example"));
  home.helper("box", "cat >/dev/null; echo 'no room'; exit 1\n");
  try {
    CredentialStore::load().store("h.example", {.user = "u", .secret = "p"});
    FAIL("stored");
  } catch (const Error& error) {
    CHECK(error.cause() == "docker-credential-box store failed (exit 1): no room");
  }
}

TEST_CASE("without a home there are no credentials, and no place for them") {
  const Home home;
  const std::string before = std::getenv("HOME") != nullptr ? std::getenv("HOME") : "";
  unsetenv("DOCKER_CONFIG");
  unsetenv("HOME");
  CHECK(found("h.example") == "none");
  CHECK_THROWS_AS(CredentialStore::load().store("h.example", {.user = "u", .secret = "p"}), Error);
  setenv("HOME", before.c_str(), 1);
}
