// Who is told what: passwords and tokens go where they belong and are written down nowhere.
#include "netfetch/registry_mock.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;
using fetch::Fetcher;

namespace {

MockRegistry& mock() {
  static MockRegistry one;
  return one;
}

const std::string basic = "Basic dXNlcjpzM2NyZXQtd29yZA==";

fetch::ResolveResult resolve(const Fetcher& fetcher, const std::string& repository) {
  return fetcher.resolve({mock().reference(repository), oci::Platform{}, {}});
}

Error resolve_error(const Fetcher& fetcher, const std::string& repository) {
  const Error error = error_of([&] { (void)resolve(fetcher, repository); });
  CHECK(error.code() == ExitCode::outside);
  return error;
}

/// Nothing of it in any text we produce (threat 15).
void check_silent(const Error& error) {
  for (const std::string& text : {std::string(error.what()), error.hint()})
    for (const char* secret : {MockRegistry::password, "dXNlcjpz", "good-token", "identity-1"})
      CHECK_THAT(text, !Contains(secret));
}

struct Asked {
  std::string port, path;
  std::optional<std::string> authorization;
};
std::vector<Asked> asked() {
  std::vector<Asked> list;
  for (const Json& request : mock().requests())
    if (request.contains("path"))
      list.push_back({std::to_string(request["port"].get<int>()), request["path"],
                      request["authorization"].is_null()
                          ? std::nullopt
                          : std::optional(request["authorization"].get<std::string>())});
  return list;
}

}  // namespace

TEST_CASE("a Basic challenge is met with the user's credentials (N2)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  CHECK(resolve(mock().fetcher(), "basic/app").manifest);
  mock().know("wrong-word");
  const Error wrong = resolve_error(mock().fetcher(), "basic/app");
  CHECK_THAT(wrong.cause(), Contains("HTTP 401 Unauthorized: UNAUTHORIZED"));
  CHECK(wrong.hint() == "the credentials kept for " + mock().domain() +
                            " are not enough: slipway login " + mock().domain());
  CHECK_THAT(wrong.what(), !Contains("wrong-word"));
  mock().forget();
  CHECK(resolve_error(mock().fetcher(), "basic/app").hint() ==
        "log in: slipway login " + mock().domain());
}

TEST_CASE("a token is fetched with credentials by a form, and kept (N2, N3)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  mock().requests();
  CHECK(resolve(mock().fetcher(), "bearer/app").manifest);
  std::vector<std::string> bodies;
  int tokens = 0;
  for (const Json& request : mock().requests()) {
    if (request.contains("token_body")) bodies.push_back(request["token_body"]);
    if (request.contains("path") && request["path"].get<std::string>().starts_with("/token"))
      ++tokens;
  }
  // The manifest and the config: one token.
  CHECK(tokens == 1);
  REQUIRE(bodies.size() == 1);
  CHECK(bodies[0] ==
        "grant_type=password&username=user&password=s3cret-word&service=mock&client_id=slipway&"
        "scope=repository%3Abearer%2Fapp%3Apull");
  mock().forget();
}

TEST_CASE("where forms are not understood the token is asked for with Basic (N2)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  mock().requests();
  CHECK(resolve(mock().fetcher(), "get-only/app").manifest);
  bool seen = false;
  for (const Asked& request : asked())
    if (request.path.starts_with("/token-get-only?")) {
      seen = true;
      CHECK(request.authorization == basic);
      CHECK_THAT(request.path, Contains("service=mock&scope=repository%3Aget-only%2Fapp%3Apull"));
      CHECK_THAT(request.path, !Contains(MockRegistry::password));
    }
  CHECK(seen);
  mock().forget();
}

TEST_CASE("without credentials the token is anonymous") {
  NEEDS_MOCK();
  mock().requests();
  CHECK(resolve(mock().fetcher(), "both-ways/app").manifest);
  for (const Asked& request : asked())
    if (request.path.starts_with("/token")) CHECK_FALSE(request.authorization);
  CHECK(resolve_error(mock().fetcher(), "bearer/app").hint() ==
        "log in: slipway login " + mock().domain());
}

TEST_CASE("an identity token buys tokens, a registry token is one (N7)") {
  NEEDS_MOCK();
  mock().know("", {{"identitytoken", "identity-1"}});
  mock().requests();
  CHECK(resolve(mock().fetcher(), "bearer/app").manifest);
  bool seen = false;
  for (const Json& request : mock().requests())
    if (request.contains("token_body")) {
      seen = true;
      CHECK_THAT(request["token_body"].get<std::string>(),
                 Contains("grant_type=refresh_token&refresh_token=identity-1"));
    }
  CHECK(seen);
  mock().know("", {{"registrytoken", "good-registry-token"}});
  CHECK(resolve(mock().fetcher(), "bearer/app").manifest);
  mock().forget();
}

TEST_CASE("a token that is refused is renewed once, a scope widened once, then it is over") {
  NEEDS_MOCK();
  CHECK(resolve(mock().fetcher(), "expired/app").manifest);
  mock().requests();
  CHECK(resolve(mock().fetcher(), "scoped").manifest);
  const Error loop = resolve_error(mock().fetcher(), "loop/app");
  CHECK_THAT(loop.cause(), Contains("HTTP 401"));
  int attempts = 0;
  for (const Asked& request : asked())
    if (request.path.find("/v2/loop/") != std::string::npos) ++attempts;
  CHECK(attempts == 3);
}

TEST_CASE("challenges that cannot be met are told as they are") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error(mock().fetcher(), "no-challenge/app").cause(), Contains("HTTP 401"));
  CHECK_THAT(resolve_error(mock().fetcher(), "odd-challenge/app").cause(), Contains("HTTP 401"));
}

TEST_CASE("a redirect to another origin carries no credentials (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  const Fetcher fetcher = mock().fetcher();
  const oci::Descriptor layer = descriptor_of(mock().layer, oci::media_type::layer);
  const auto landed = [&](const std::string& repository) {
    mock().requests();
    CHECK(pull_all(fetcher, mock().reference(repository), {layer}).size() == 1);
    std::vector<Asked> found;
    for (const Asked& request : asked())
      if (request.path.starts_with("/landed/")) found.push_back(request);
    return found;
  };
  const auto away = landed("basic/away");
  REQUIRE(away.size() == 1);
  CHECK("127.0.0.1:" + away[0].port == mock().other_domain());
  CHECK_FALSE(away[0].authorization);
  // Within the origin it does, and the way back from elsewhere does not.
  CHECK(landed("basic/near").at(0).authorization == basic);
  const auto back = landed("basic/back");
  REQUIRE(back.size() == 2);
  CHECK("127.0.0.1:" + back[1].port == mock().domain());
  CHECK_FALSE(back[1].authorization);
  // Nor does what the registry writes into the address.
  CHECK_FALSE(landed("basic/named").at(0).authorization);
  mock().forget();
}

TEST_CASE("another origin that asks for credentials gets none (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  const oci::Descriptor layer = descriptor_of(mock().layer, oci::media_type::layer);
  mock().requests();
  const Error error =
      error_of([&] { (void)pull_all(mock().fetcher(), mock().reference("basic/asked"), {layer}); });
  CHECK_THAT(error.cause(), Contains("/landed/asks: HTTP 401"));
  for (const Json& request : mock().requests()) {
    CHECK_FALSE(request.contains("token_body"));
    if (request.contains("path") && request["path"] == "/landed/asks")
      CHECK(request["authorization"].is_null());
  }
  // A signature in an address is not printed.
  const Error gone =
      error_of([&] { (void)pull_all(mock().fetcher(), mock().reference("basic/gone"), {layer}); });
  CHECK_THAT(gone.what(),
             Contains("HTTP 403") && Contains("signature expired") && !Contains("signature-1"));
  mock().forget();
}

TEST_CASE("redirects lead to https or the loopback, and end (threat 14)") {
  NEEDS_MOCK();
  const oci::Descriptor layer = descriptor_of(mock().layer, oci::media_type::layer);
  const auto cause = [&](const std::string& repository) {
    return error_of(
               [&] { (void)pull_all(mock().fetcher(), mock().reference(repository), {layer}); })
        .cause();
  };
  CHECK_THAT(cause("to-file"), Contains("it leads to no HTTP address"));
  CHECK_THAT(cause("to-clear"), Contains("it leads to http://blobs.example/x, without encryption"));
  CHECK_THAT(cause("circle"), Contains("more than 10 redirects"));
}

TEST_CASE("a realm of another site gets no credentials (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  mock().requests();
  mock().notes.clear();
  // "localhost" and "127.0.0.1" are different names: what a lying registry would use.
  CHECK(resolve(mock().fetcher(), "elsewhere/app").manifest);
  for (const Json& request : mock().requests()) {
    if (request.contains("token_body")) CHECK(request["token_body"] == "");
    if (request.contains("path") && request["path"].get<std::string>().starts_with("/token"))
      CHECK(request["authorization"].is_null());
  }
  REQUIRE(mock().notes.size() == 1);
  CHECK_THAT(mock().notes[0],
             Contains("names localhost as the place for tokens, which is another site"));
  // Unless its user says so.
  Fetcher trusting = mock().fetcher();
  trusting.registry.token_hosts = {"localhost"};
  CHECK(resolve(trusting, "elsewhere/app").manifest);
  bool sent = false;
  for (const Json& request : mock().requests())
    if (request.contains("token_body") && request["token_body"] != "") sent = true;
  CHECK(sent);
  mock().forget();
}

TEST_CASE("a realm without encryption or of another kind is refused (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  CHECK_THAT(resolve_error(mock().fetcher(), "clear/app").cause(),
             Contains("names http://token.example/token as the place for tokens, which is without "
                      "encryption"));
  CHECK_THAT(resolve_error(mock().fetcher(), "no-realm/app").cause(),
             Contains("which is no http address"));
  mock().forget();
}

TEST_CASE("what a registry says back is not repeated (threat 15)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  const Error error = resolve_error(mock().fetcher(), "echo/app");
  CHECK_THAT(error.cause(), Contains("you sent Basic [redacted]"));
  check_silent(error);
  check_silent(resolve_error(mock().fetcher(), "loop/app"));
  check_silent(resolve_error(mock().fetcher(), "clear/app"));
  mock().forget();
}

TEST_CASE("credentials are for their port only (threat 14)") {
  NEEDS_MOCK();
  setenv("DOCKER_AUTH_CONFIG",
         dump_json({{"auths",
                     {{mock().other_domain(), {{"auth", "dXNlcjpzM2NyZXQtd29yZA=="}}},
                      {"127.0.0.1", {{"auth", "dXNlcjpzM2NyZXQtd29yZA=="}}}}}})
             .c_str(),
         1);
  mock().requests();
  CHECK(resolve_error(mock().fetcher(), "basic/app").hint() ==
        "log in: slipway login " + mock().domain());
  for (const Asked& request : asked()) CHECK_FALSE(request.authorization);
  mock().forget();
}

TEST_CASE("an upload that is sent to another origin goes there without credentials (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  const TestImage image({noise(1000, 1)});
  mock().requests();
  const auto pushed =
      error_of([&] { (void)mock().fetcher().push(image.push_to(mock().reference("push-clear"))); });
  CHECK_THAT(pushed.cause(), Contains("it leads to http://blobs.example/v2/push-clear/blobs/"
                                      "uploads/") &&
                                 Contains("without encryption"));
  // It arrives at the other origin, which shares the storage here.
  CHECK(mock().fetcher().push(image.push_to(mock().reference("push-moved"))).uploaded == 2);
  int moved = 0;
  for (const Asked& request : asked())
    if ("127.0.0.1:" + request.port == mock().other_domain()) {
      ++moved;
      CHECK_FALSE(request.authorization);
    }
  CHECK(moved == 2);
  mock().forget();
}

TEST_CASE("login is verified; an identity token is kept in place of the password") {
  NEEDS_MOCK();
  const TempDir home = TempDir::create("login-test");
  const std::string file = (home.path() / "docker/config.json").string();
  setenv("DOCKER_CONFIG", (home.path() / "docker").c_str(), 1);
  setenv("SSL_CERT_FILE", mock().path("ca.pem").c_str(), 1);
  const auto log_in = [&](const std::string& user, const std::string& password) {
    const Fd typed = file_of(password);
    return mock().fetcher().login({mock().secure_domain(), user, typed.get()});
  };
  const Error wrong = error_of([&] { (void)log_in("user", "wrong"); });
  CHECK(wrong.code() == ExitCode::outside);
  CHECK_THAT(wrong.cause(), Contains("HTTP 401 Unauthorized: UNAUTHORIZED: no such user"));
  CHECK(wrong.hint() == "check the user name and the password or token");
  CHECK(wrong.context() == std::vector<std::string>{"logging in to " + mock().secure_domain()});
  CHECK_FALSE(fs::exists(file));

  CHECK(log_in("user", "s3cret-word\r\n") == file);
  const Json kept = Json::parse(read_file(file))["auths"][mock().secure_domain()];
  CHECK(kept == Json{{"auth", "dXNlcjo="}, {"identitytoken", "identity-1"}});
  oci::Reference reference = mock().reference("bearer/app");
  reference.domain = mock().secure_domain();
  CHECK(mock().fetcher().resolve({reference, {}, {}}).manifest);

  CHECK(error_of([&] { (void)log_in("user", ""); }).cause() == "the password is empty");
  CHECK(error_of([&] { (void)log_in("user", "a\nb"); }).code() == ExitCode::usage);
  CHECK(error_of([&] { (void)log_in("us:er", "x"); }).cause() == "'us:er' is not a user name");
  unsetenv("DOCKER_CONFIG");
  unsetenv("SSL_CERT_FILE");
}

TEST_CASE("a credential helper that fails does not keep anybody from what is public") {
  NEEDS_MOCK();
  const TempDir home = TempDir::create("helper-test");
  write_file_atomic(home.path() / "config.json", R"({"credsStore": "no-such-helper"})");
  setenv("DOCKER_CONFIG", home.path().c_str(), 1);
  mock().notes.clear();
  CHECK(resolve(mock().fetcher(), "both-ways/app").manifest);
  REQUIRE(mock().notes.size() == 1);
  CHECK_THAT(mock().notes[0],
             Contains("the credential helper docker-credential-no-such-helper is not installed; "
                      "going on without credentials for " +
                      mock().domain()));
  // And where they are needed it is the hint.
  CHECK_THAT(resolve_error(mock().fetcher(), "basic/app").hint(),
             Contains("docker-credential-no-such-helper is not installed"));
  unsetenv("DOCKER_CONFIG");
}
