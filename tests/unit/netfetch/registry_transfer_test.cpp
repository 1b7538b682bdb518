// How documents and blobs come when the way is bad or the registry lies.
#include "netfetch/registry_mock.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using fetch::Fetcher;

namespace {

MockRegistry& mock() {
  static MockRegistry one;
  return one;
}

oci::Descriptor layer() {
  return descriptor_of(mock().layer, oci::media_type::layer);
}

std::string pull_layer(const Fetcher& fetcher, const std::string& repository) {
  const auto got = pull_all(fetcher, mock().reference(repository), {layer()});
  CHECK(fs::is_empty(fetcher.temp_dir));
  return got.at(layer().digest);
}

Error pull_error(const std::string& repository, const oci::Descriptor& blob = layer()) {
  const Fetcher fetcher = mock().fetcher();
  int handed_over = 0;
  const Error error = error_of([&] {
    fetcher.pull({mock().reference(repository), {blob}},
                 [&](const oci::Descriptor&, Fd) { ++handed_over; });
  });
  CHECK(error.code() == ExitCode::outside);
  CHECK(handed_over == 0);
  CHECK(fs::is_empty(fetcher.temp_dir));
  return error;
}

fetch::ResolveResult resolve(const std::string& repository, std::set<std::string> known = {}) {
  return mock().fetcher().resolve(
      {mock().reference(repository), oci::Platform{"linux", "amd64", "", ""}, std::move(known)});
}

Error resolve_error(const std::string& repository) {
  const Error error = error_of([&] { (void)resolve(repository); });
  CHECK(error.code() == ExitCode::outside);
  return error;
}

std::vector<Json> requests_for(const std::string& part) {
  std::vector<Json> found;
  for (const Json& request : mock().requests())
    if (request.contains("path") &&
        request["path"].get<std::string>().find(part) != std::string::npos)
      found.push_back(request);
  return found;
}

}  // namespace

TEST_CASE("a blob that breaks off is resumed where it stopped (N1)") {
  NEEDS_MOCK();
  mock().requests();
  CHECK(pull_layer(mock().fetcher(), "cut") == mock().layer);
  auto asked = requests_for("/blobs/");
  REQUIRE(asked.size() == 2);
  CHECK(asked[0]["range"].is_null());
  CHECK(asked[1]["range"] == "bytes=100000-");
  CHECK(pull_layer(mock().fetcher(), "cut-twice") == mock().layer);
  asked = requests_for("/blobs/");
  REQUIRE(asked.size() == 3);
  CHECK(asked[2]["range"] == "bytes=200000-");
}

TEST_CASE("where resuming is not possible the blob comes whole again") {
  NEEDS_MOCK();
  CHECK(pull_layer(mock().fetcher(), "no-range") == mock().layer);
  CHECK(pull_layer(mock().fetcher(), "refused-range") == mock().layer);
  CHECK_THAT(pull_error("wrong-range").cause(), Contains("another range than asked for"));
}

TEST_CASE("halves of two different things are thrown away and fetched as one (threat 20)") {
  NEEDS_MOCK();
  mock().requests();
  CHECK(pull_layer(mock().fetcher(), "cut-then-other") == mock().layer);
  const auto asked = requests_for("/blobs/");
  REQUIRE(asked.size() == 3);
  CHECK(asked[2]["range"].is_null());
}

TEST_CASE("a blob that always breaks off fails after the retries") {
  NEEDS_MOCK();
  mock().requests();
  CHECK_THAT(pull_error("cut-always").cause(), Contains("(tried 3 times)"));
  CHECK(requests_for("/blobs/").size() == 3);
}

TEST_CASE("a bit flipped anywhere in a layer is found before anyone sees it (threat 20)") {
  NEEDS_MOCK();
  for (const size_t at : {size_t{0}, mock().layer.size() / 2, mock().layer.size() - 1}) {
    write_file_atomic(mock().path("flip"), std::to_string(at));
    CHECK_THAT(pull_error("flip-layer").cause(),
               Contains("the content of " + layer().digest + " has the digest sha256:"));
  }
}

TEST_CASE("a bit flipped in a manifest or config is found (threat 20)") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("flip-manifest").cause(), Contains("but its digest is sha256:"));
  CHECK_THAT(resolve_error("flip-config").cause(),
             Contains("the content of " + digest_of(mock().config) + " has the digest"));
  // Asked for by digest, the registry need not say one.
  oci::Reference pinned = mock().reference("flip-unsaid");
  pinned.digest = digest_of(mock().manifest);
  const Error error = error_of([&] { (void)mock().fetcher().resolve({pinned, {}, {}}); });
  CHECK_THAT(error.cause(), Contains("the content of " + pinned.digest + " has the digest"));
}

TEST_CASE("a registry that lies about a digest is found out (N1, threat 20)") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("says-other").cause(),
             Contains("it is said to be sha256:000000") && Contains(digest_of(mock().manifest)));
}

TEST_CASE("sizes are those of the descriptor (threat 21)") {
  NEEDS_MOCK();
  CHECK_THAT(pull_error("short").cause(), Contains("it is 299999 bytes long, not 300000"));
  CHECK_THAT(pull_error("long").cause(), Contains("it is 300001 bytes long, not 300000"));
  CHECK_THAT(pull_error("long-chunked").cause(), Contains("longer than the 300000 bytes promised"));
}

TEST_CASE("documents without end are cut off (threat 21)") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("huge").cause(), Contains("longer than 4194304 bytes"));
  CHECK_THAT(resolve_error("endless").cause(), Contains("longer than 4194304 bytes"));
  CHECK_THAT(resolve_error("endless-headers").cause(), Contains("its headers do not end"));
  CHECK_THAT(resolve_error("big-config").cause(),
             Contains("would be 17825792 bytes long, at most 16777216 are allowed"));
}

TEST_CASE("a registry that stalls is given up") {
  NEEDS_MOCK();
  Fetcher fetcher = mock().fetcher();
  fetcher.registry.stall_limit = std::chrono::seconds(1);
  fetcher.registry.retries = 0;
  const auto started = std::chrono::steady_clock::now();
  const Error error =
      error_of([&] { (void)pull_all(fetcher, mock().reference("stall"), {layer()}); });
  CHECK_THAT(error.cause(), Contains("too slow"));
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds(10));
}

TEST_CASE("a document that is index and manifest at once is refused (threat 19)") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("both").cause(), Contains("an index and a manifest at once"));
}

TEST_CASE("the media type of the answer must be the document's (threat 19)") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("wrong-type").cause(), Contains("was promised"));
  CHECK(resolve("plain-type").config->bytes == mock().config);
  CHECK_THAT(resolve_error("html").cause(), Contains("not valid JSON"));
}

TEST_CASE("indexes are followed to the manifest, but not for ever") {
  NEEDS_MOCK();
  const auto found = resolve("index");
  CHECK(found.index->bytes == mock().index);
  CHECK(found.manifest->bytes == mock().manifest);
  CHECK(found.config->bytes == mock().config);
  CHECK(resolve("nested").manifest->bytes == mock().manifest);
  CHECK_THAT(resolve_error("too-nested").cause(), Contains("nested deeper than 4 levels"));
}

TEST_CASE("what is no container image is said to be none") {
  NEEDS_MOCK();
  CHECK(resolve_error("helm").cause() ==
        "it is no container image: its config is of the type "
        "'application/vnd.cncf.helm.config.v1+json'");
  // For those who want another artifact's manifest.
  CHECK(mock().fetcher().resolve({mock().reference("helm"), {}, {}}).manifest);
}

TEST_CASE("429 and 5xx are tried again, with the time the registry asks for (N6)") {
  NEEDS_MOCK();
  mock().requests();
  CHECK(resolve("busy").manifest);
  CHECK(resolve("shaky").manifest);
  CHECK(requests_for("/busy/manifests/").size() == 3);
  const Error down = resolve_error("down");
  CHECK_THAT(down.cause(), Contains("HTTP 503 Service Unavailable: UNAVAILABLE: maintenance "
                                    "(tried 3 times)"));
  CHECK(down.hint() == "try again later");
  mock().requests();
  CHECK_THAT(resolve_error("very-busy").cause(),
             Contains("429 Too Many Requests: TOOMANYREQUESTS: slow down (it asks to wait 7200"));
  CHECK(requests_for("/very-busy/").size() == 1);
}

TEST_CASE("a registry's words are shown on one line") {
  NEEDS_MOCK();
  CHECK_THAT(resolve_error("forbidden").cause(),
             EndsWith("HTTP 403 Forbidden: DENIED: requested access is denied\\x0aX: y"));
}

TEST_CASE("a HEAD that says little is followed by a GET") {
  NEEDS_MOCK();
  const std::string known = digest_of(mock().manifest);
  mock().requests();
  CHECK(resolve("quiet", {known}).unchanged);
  auto asked = requests_for("/quiet/");
  REQUIRE(asked.size() == 1);
  CHECK(asked[0]["method"] == "HEAD");
  CHECK(asked[0]["accept"].size() == 4);
  CHECK_FALSE(resolve("no-head", {known}).unchanged);
  CHECK_FALSE(resolve("silent-head", {known}).unchanged);
}

TEST_CASE("mirrors are asked first, the registry itself last (N8)") {
  NEEDS_MOCK();
  Fetcher fetcher = mock().fetcher();
  const std::string closed = "http://127.0.0.1:1";
  fetcher.registry.mirrors[mock().domain()] = {closed,
                                               "http://" + mock().other_domain() + "/flip-manifest",
                                               "http://" + mock().other_domain() + "/mirrored/"};
  const oci::Reference reference = mock().reference("plain/app");
  mock().notes.clear();
  mock().requests();
  CHECK(fetcher.resolve({reference, oci::Platform{}, {}}).config->bytes == mock().config);
  CHECK(requests_for("/v2/mirrored/plain/app/manifests/1").size() == 0);
  // The second one has a repository of another name only when asked with its prefix.
  REQUIRE(mock().notes.size() == 1);
  CHECK_THAT(mock().notes[0], Contains("mirror 127.0.0.1:1: GET") && Contains("; going on with"));
}

TEST_CASE("a mirror that forges is passed over, one that lacks something too (threat 20)") {
  NEEDS_MOCK();
  write_file_atomic(mock().path("flip"), "5");
  // Repositories of the mirror that misbehave by their name; the registry's is called the same but
  // asked on another port, where the layer is sound.
  Fetcher fetcher = mock().fetcher();
  fetcher.registry.mirrors["registry.example"] = {"http://" + mock().domain()};
  oci::Reference reference = mock().reference("flip-layer");
  reference.domain = "registry.example";
  fetcher.registry.retries = 0;
  mock().notes.clear();
  const Error error = error_of([&] { (void)pull_all(fetcher, reference, {layer()}); });
  // The registry itself does not exist: its failure is told, the mirror's is a note.
  CHECK_THAT(error.cause(), Contains("GET https://registry.example/v2/flip-layer/blobs/"));
  REQUIRE(mock().notes.size() == 1);
  CHECK_THAT(mock().notes[0], Contains("has the digest sha256:"));
  mock().notes.clear();
  reference.path = "empty-mirror";
  CHECK_THROWS_AS(pull_all(fetcher, reference, {layer()}), Error);
  CHECK(mock().notes.empty());
}

TEST_CASE("a layer kept elsewhere is fetched without anything of ours (threat 14)") {
  NEEDS_MOCK();
  mock().know(MockRegistry::password);
  const auto foreign = [&](const std::string& url) {
    oci::Descriptor blob = layer();
    blob.media_type = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    blob.urls = {url};
    return blob;
  };
  const std::string elsewhere = "127.0.0.1:" + mock().other_domain().substr(10);
  mock().requests();
  const auto got = pull_all(mock().fetcher(), mock().reference("foreign"),
                            {foreign("http://user:pw@" + elsewhere + "/landed/layer")});
  CHECK(got.at(layer().digest) == mock().layer);
  const auto asked = requests_for("/landed/");
  REQUIRE(asked.size() == 1);
  CHECK(asked[0]["authorization"].is_null());
  // One that asks for credentials gets none.
  const Error denied = pull_error("foreign", foreign("http://" + elsewhere + "/landed/asks"));
  CHECK_THAT(denied.cause(), Contains("HTTP 401"));
  for (const Json& request : mock().requests()) {
    CHECK_FALSE(request.contains("token_body"));
    if (request.contains("path") && request["path"] == "/landed/asks")
      CHECK(request["authorization"].is_null());
  }
  CHECK_THAT(pull_error("foreign", foreign("file:///etc/passwd")).cause(),
             Contains("'file:///etc/passwd' is no https address"));
  CHECK_THAT(pull_error("foreign", foreign("http://blobs.example/x")).cause(),
             Contains("is no https address"));
  // Of an ordinary layer addresses do not count.
  oci::Descriptor plain = foreign("http://" + elsewhere + "/landed/layer");
  plain.media_type = oci::media_type::layer;
  CHECK_THAT(pull_error("foreign", plain).cause(), Contains("HTTP 404"));
  mock().forget();
}

TEST_CASE("blobs come in parallel, each as soon as it is there") {
  NEEDS_MOCK();
  const auto started = std::chrono::steady_clock::now();
  Fetcher fetcher = mock().fetcher();
  fetcher.registry.stall_limit = std::chrono::seconds(2);
  fetcher.registry.retries = 0;
  // The layer stalls; the config arrives meanwhile.
  std::vector<std::string> came;
  const Error error = error_of([&] {
    fetcher.pull(
        {mock().reference("stall"),
         {layer(), descriptor_of(mock().config, oci::media_type::config)}},
        [&](const oci::Descriptor& blob, Fd) {
          came.push_back(blob.digest);
          CHECK(std::chrono::steady_clock::now() - started < std::chrono::milliseconds(1500));
        });
  });
  CHECK_THAT(error.cause(), Contains("too slow"));
  CHECK(came == std::vector<std::string>{digest_of(mock().config)});
}

TEST_CASE("progress is told in bytes, by digest") {
  NEEDS_MOCK();
  Fetcher fetcher = mock().fetcher();
  std::map<std::string, std::pair<uint64_t, uint64_t>> last;
  fetcher.on_progress = [&](const std::string& what, uint64_t done, uint64_t total) {
    CHECK(done >= last[what].first);
    last[what] = {done, total};
  };
  (void)pull_all(fetcher, mock().reference("progress"), {layer()});
  CHECK(last.at(layer().digest) == std::pair<uint64_t, uint64_t>(300000, 300000));
}

TEST_CASE("plain http is for the loopback only, unless asked (N8)") {
  NEEDS_MOCK();
  Fetcher fetcher = mock().fetcher();
  fetcher.registry.retries = 0;
  // A name, even one that is this machine, is spoken to in https.
  oci::Reference reference = mock().reference("plain");
  reference.domain = "no-such-host.invalid";
  CHECK_THAT(error_of([&] {
               (void)fetcher.resolve({reference, {}, {}});
             }).cause(),
             Contains("GET https://no-such-host.invalid/v2/"));
  fetcher.registry.mirrors[reference.domain] = {"http://no-such-host.invalid"};
  const Error mirror = error_of([&] { (void)fetcher.resolve({reference, {}, {}}); });
  CHECK(mirror.code() == ExitCode::usage);
  CHECK(mirror.cause() == "http://no-such-host.invalid would be asked without encryption");
  // The loopback's https is used where it is spoken, and verified.
  reference = mock().reference("plain");
  reference.domain = mock().secure_domain();
  fetcher.registry.mirrors.clear();
  const Error unknown = error_of([&] { (void)fetcher.resolve({reference, {}, {}}); });
  CHECK_THAT(unknown.cause(), Contains("GET https://127.0.0.1") && Contains("certificate"));
  setenv("SSL_CERT_FILE", mock().path("ca.pem").c_str(), 1);
  CHECK(fetcher.resolve({reference, {}, {}}).manifest);
  unsetenv("SSL_CERT_FILE");
  setenv("SSL_CERT_FILE", "/nonexistent/ca.pem", 1);
  const Error file = error_of([&] { (void)fetcher.resolve({reference, {}, {}}); });
  unsetenv("SSL_CERT_FILE");
  CHECK_THAT(file.cause(), Contains("the certificates SSL_CERT_FILE names cannot be read"));
}
