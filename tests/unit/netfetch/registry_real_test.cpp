// Against Debian's docker-registry, and skopeo as the other client.
#include "netfetch/registry_fixture.h"

using namespace slipway;
using namespace slipway::test;
using Catch::Matchers::Contains;
using fetch::Fetcher;

namespace {

std::string log_in(const Fetcher& fetcher, const std::string& domain, const std::string& user,
                   const std::string& password) {
  const Fd file = file_of(password + "\n");
  return fetcher.login({domain, user, file.get()});
}

DockerRegistry& plain() {
  static DockerRegistry one(DockerRegistry::Kind::plain);
  return one;
}

}  // namespace

TEST_CASE("an image is pushed to a real registry and comes back the same") {
  NEEDS_REGISTRY();
  DockerRegistry& registry = plain();
  const Fetcher fetcher = registry.fetcher();
  const TestImage image({noise(3 << 20, 1), noise(100, 2), noise(5000, 3), ""});
  const oci::Reference reference = registry.reference("team/app:1");
  fetch::PushRequest request = image.push_to(reference);
  request.more_tags = {"latest"};
  // One of them is written into a pipe.
  request.blobs[0].open = nullptr;
  request.blobs[0].write = [&](int out) { write_all(out, image.layers[0]); };
  const fetch::PushResult pushed = fetcher.push(request);
  CHECK(pushed.digest == digest_of(image.manifest));
  CHECK(pushed.uploaded == 5);
  CHECK(pushed.uploaded_bytes == (3 << 20) + 5100 + image.config.size());

  const fetch::ResolveResult found =
      fetcher.resolve({reference, oci::Platform{"linux", "amd64", "", ""}, {}});
  CHECK(found.top.digest == digest_of(image.manifest));
  CHECK_FALSE(found.unchanged);
  CHECK_FALSE(found.index);
  CHECK(found.manifest->bytes == image.manifest);
  CHECK(found.manifest->descriptor.media_type == oci::media_type::manifest);
  CHECK(found.config->bytes == image.config);
  CHECK(fetcher.resolve({registry.reference("team/app"), {}, {}}).top.digest == found.top.digest);
  CHECK(fetcher.resolve({registry.reference("team/app@" + found.top.digest), {}, {}}).top.digest ==
        found.top.digest);

  // The same blob twice is fetched once.
  std::vector<oci::Descriptor> wanted = image.descriptors;
  wanted.push_back(wanted[1]);
  const auto got = pull_all(fetcher, reference, wanted);
  REQUIRE(got.size() == 4);
  for (size_t i = 0; i < image.layers.size(); ++i)
    CHECK(got.at(image.descriptors[i].digest) == image.layers[i]);
  CHECK(fs::is_empty(fetcher.temp_dir));
}

TEST_CASE("what the caller has is asked for with a HEAD only") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const TestImage image({noise(100, 4)});
  const oci::Reference reference = plain().reference("known:1");
  (void)fetcher.push(image.push_to(reference));
  const auto found =
      fetcher.resolve({reference, oci::Platform{}, {digest_of(image.manifest), digest_of("x")}});
  CHECK(found.unchanged);
  CHECK(found.top.digest == digest_of(image.manifest));
  CHECK(found.top.size_bytes == image.manifest.size());
  CHECK_FALSE(found.manifest);
  CHECK_FALSE(fetcher.resolve({reference, oci::Platform{}, {digest_of("x")}}).unchanged);
}

TEST_CASE("a second push sends nothing, and a blob of another repository is mounted") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const TestImage image({noise(1 << 20, 5), noise(1000, 6)});
  (void)fetcher.push(image.push_to(plain().reference("origin:1")));
  fetch::PushRequest again = image.push_to(plain().reference("origin:2"));
  for (fetch::PushBlob& blob : again.blobs)
    blob.open = []() -> Fd { throw std::logic_error("asked"); };
  const fetch::PushResult second = fetcher.push(again);
  CHECK(second.uploaded == 0);
  CHECK(second.present == 3);
  CHECK(fetcher.resolve({plain().reference("origin:2"), {}, {}}).top.digest == second.digest);

  again.reference = plain().reference("copy:1");
  for (fetch::PushBlob& blob : again.blobs) blob.mount_from = {"nowhere", "origin"};
  const fetch::PushResult mounted = fetcher.push(again);
  CHECK(mounted.mounted == 3);
  CHECK(mounted.uploaded_bytes == 0);
  CHECK(pull_all(fetcher, plain().reference("copy:1"), image.descriptors).size() == 2);
}

TEST_CASE("of a manifest list the platform's image is taken (N1)") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const TestImage amd({noise(100, 7)}), arm({noise(100, 8)}, "arm64", true);
  oci::Index index;
  for (const TestImage* image : {&amd, &arm}) {
    oci::Descriptor entry = descriptor_of(image->manifest, image->media_type);
    entry.platform = oci::Platform{"linux", image == &amd ? "amd64" : "arm64", "", ""};
    index.manifests.push_back(entry);
  }
  fetch::PushRequest request = amd.push_to(plain().reference("multi:1"));
  for (const fetch::PushBlob& blob : arm.push_to(request.reference).blobs)
    request.blobs.push_back(blob);
  request.documents.push_back({arm.media_type, arm.manifest});
  const std::string list = oci::serialize_index(index);
  request.documents.push_back({oci::media_type::index, list});
  CHECK(fetcher.push(request).digest == digest_of(list));

  const auto found =
      fetcher.resolve({request.reference, oci::Platform{"linux", "arm64", "", ""}, {}});
  CHECK(found.top.digest == digest_of(list));
  CHECK(found.top.media_type == oci::media_type::index);
  CHECK(found.index->bytes == list);
  CHECK(found.manifest->bytes == arm.manifest);
  CHECK(found.config->bytes == arm.config);
  const auto top = fetcher.resolve({request.reference, {}, {}});
  CHECK(top.index->bytes == list);
  CHECK_FALSE(top.manifest);
  const Error none = error_of([&] {
    (void)fetcher.resolve({request.reference, oci::Platform{"linux", "s390x", "", ""}, {}});
  });
  CHECK(none.code() == ExitCode::outside);
  CHECK(none.cause() ==
        "there is no image for linux/s390x inside (there is linux/amd64, linux/arm64)");
  CHECK(std::string(none.what()).find("multi:1") != std::string::npos);
}

TEST_CASE("what is not there is told with what may be done") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const Error error = error_of([&] {
    (void)fetcher.resolve({plain().reference("no/such:1"), {}, {}});
  });
  CHECK(error.code() == ExitCode::outside);
  CHECK_THAT(error.cause(), Contains("/v2/no/such/manifests/1: HTTP 404 Not Found: "
                                     "MANIFEST_UNKNOWN: manifest unknown"));
  CHECK(error.context() == std::vector<std::string>{"image " + plain().domain() + "/no/such:1"});
  CHECK_THAT(error.hint(), Contains("slipway login " + plain().domain()));
  oci::Descriptor lost = descriptor_of("lost", oci::media_type::layer);
  const Error blob =
      error_of([&] { (void)pull_all(fetcher, plain().reference("no/such:1"), {lost}); });
  CHECK_THAT(blob.cause(), Contains("/blobs/" + lost.digest + ": HTTP 404"));
  CHECK(fs::is_empty(fetcher.temp_dir));
}

TEST_CASE("a push that cannot go on says why, and the tag stays where it was") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const TestImage old({noise(100, 9)}), fresh({noise(100, 10), noise(3 << 20, 11)});
  const oci::Reference reference = plain().reference("steady:1");
  (void)fetcher.push(old.push_to(reference));
  const auto attempt = [&](const std::function<void(fetch::PushBlob&)>& spoil) {
    fetch::PushRequest request = fresh.push_to(reference);
    spoil(request.blobs[1]);
    const Error error = error_of([&] { (void)fetcher.push(request); });
    CHECK(fetcher.resolve({reference, {}, {}}).top.digest == digest_of(old.manifest));
    return error;
  };
  const Error own = attempt([](fetch::PushBlob& blob) {
    blob.open = nullptr;
    blob.write = [](int out) {
      write_all(out, std::string(1 << 20, 'x'));
      fail(ExitCode::machine, "the chunk is damaged");
    };
  });
  CHECK(own.cause() == "the chunk is damaged");
  CHECK(own.code() == ExitCode::machine);
  const Error brief = attempt([](fetch::PushBlob& blob) {
    blob.open = nullptr;
    blob.write = [](int out) { write_all(out, "brief"); };
  });
  CHECK_THAT(brief.cause(), Contains("ended after 5 of 3145728 bytes"));
  const Error lengthy = attempt([&](fetch::PushBlob& blob) {
    blob.open = nullptr;
    blob.write = [&](int out) { write_all(out, fresh.layers[1] + "more"); };
  });
  CHECK_THAT(lengthy.cause(), Contains("is longer than 3145728 bytes"));
  const Error other = attempt(
      [](fetch::PushBlob& blob) { blob.open = [] { return file_of(noise(3 << 20, 99)); }; });
  CHECK_THAT(other.cause(), Contains("HTTP 400 Bad Request: DIGEST_INVALID"));
  const Error size =
      attempt([](fetch::PushBlob& blob) { blob.open = [] { return file_of("x"); }; });
  CHECK_THAT(size.cause(), Contains("is 1 bytes long, not 3145728"));
}

TEST_CASE("an error of the caller's ends a pull") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  const TestImage image({noise(1000, 12), noise(1000, 13)});
  (void)fetcher.push(image.push_to(plain().reference("ended:1")));
  const Error error = error_of([&] {
    fetcher.pull({plain().reference("ended:1"), image.descriptors},
                 [](const oci::Descriptor&, Fd) { fail(ExitCode::machine, "disk full"); });
  });
  CHECK(error.cause() == "disk full");
}

TEST_CASE("login keeps what the registry takes, over TLS of a CA of one's own") {
  NEEDS_REGISTRY();
  DockerRegistry registry(DockerRegistry::Kind::secure);
  const Fetcher fetcher = registry.fetcher();
  const TestImage image({noise(1000, 14)});
  const oci::Reference reference = registry.reference("private:1");
  const Error unknown = error_of([&] { (void)fetcher.push(image.push_to(reference)); });
  CHECK_THAT(unknown.cause(), Contains("certificate"));
  CHECK_THAT(unknown.hint(), Contains("SSL_CERT_FILE"));
  registry.trust();
  const Error denied = error_of([&] { (void)fetcher.push(image.push_to(reference)); });
  CHECK_THAT(denied.cause(), Contains("HTTP 401 Unauthorized"));
  CHECK(denied.hint() == "log in: slipway login " + registry.domain());

  const std::string file = registry.path("home/.docker/config.json");
  const Error wrong =
      error_of([&] { (void)log_in(fetcher, registry.domain(), "user", "wrong-one"); });
  CHECK(wrong.code() == ExitCode::outside);
  CHECK_THAT(wrong.what(), Contains("HTTP 401") && !Contains("wrong-one"));
  CHECK(wrong.hint() == "check the user name and the password or token");
  CHECK_FALSE(fs::exists(file));
  CHECK(log_in(fetcher, registry.domain(), registry.user, registry.password) == file);
  CHECK((fs::status(file).permissions() & fs::perms::all) == fs::perms(0600));
  CHECK((fs::status(fs::path(file).parent_path()).permissions() & fs::perms::all) ==
        fs::perms(0700));
  CHECK(Json::parse(read_file(file))["auths"][registry.domain()]["auth"] ==
        "dXNlcjpzM2NyZXQtd29yZA==");

  (void)fetcher.push(image.push_to(reference));
  CHECK(pull_all(fetcher, reference, image.descriptors).size() == 1);
  // The variables for bundles do as well, and one does not hide the other.
  fs::remove_all(registry.path("home/.config"));
  setenv("SSL_CERT_FILE", registry.path("ca.pem").c_str(), 1);
  setenv("CURL_CA_BUNDLE", registry.path("server.pem").c_str(), 1);
  CHECK(fetcher.resolve({reference, {}, {}}).top.digest == digest_of(image.manifest));
  unsetenv("SSL_CERT_FILE");
  unsetenv("CURL_CA_BUNDLE");
  // Asked for, even TLS that cannot be verified.
  Fetcher lax = registry.fetcher();
  lax.registry.insecure = {registry.domain()};
  CHECK(lax.resolve({reference, {}, {}}).top.digest == digest_of(image.manifest));

  registry.trust();
  CHECK(fetcher.logout(registry.domain()));
  CHECK_FALSE(fetcher.logout(registry.domain()));
  CHECK_THAT(read_file(file), !Contains("dXNlcjpz"));
  CHECK_THAT(error_of([&] {
               (void)fetcher.resolve({reference, {}, {}});
             }).cause(),
             Contains("HTTP 401"));
}

TEST_CASE("a registry that lets everybody in is told when one logs in") {
  NEEDS_REGISTRY();
  const Fetcher fetcher = plain().fetcher();
  plain().notes.clear();
  CHECK(log_in(fetcher, plain().domain(), "me", "anything") ==
        fs::path(std::getenv("HOME")) / ".docker/config.json");
  CHECK(plain().notes ==
        std::vector<std::string>{
            plain().domain() +
            " lets everybody in: whether the password is right could not be seen"});
  CHECK(fetcher.logout(plain().domain()));
}

TEST_CASE("skopeo reads what we pushed, and we what skopeo pushed") {
  NEEDS_REGISTRY();
  if (find_program("skopeo").empty()) {
    WARN("skipped: skopeo is not installed");
    return;
  }
  DockerRegistry& registry = plain();
  const Fetcher fetcher = registry.fetcher();
  const TestImage image({noise(200000, 15), noise(1000, 16)});
  (void)fetcher.push(image.push_to(registry.reference("shared:1")));
  const auto skopeo = [](std::vector<std::string> argv) {
    RunOptions options;
    options.argv = {"skopeo", "--insecure-policy"};
    options.argv.insert(options.argv.end(), argv.begin(), argv.end());
    return run_ok(options).out;
  };
  const std::string ours = "docker://" + registry.domain() + "/shared:1";
  CHECK(digest_of(skopeo({"inspect", "--raw", "--tls-verify=false", ours})) ==
        digest_of(image.manifest));
  skopeo({"copy", "--src-tls-verify=false", "--dest-tls-verify=false", ours,
          "docker://" + registry.domain() + "/from-skopeo:1"});
  // It compresses layers on the way.
  const oci::Reference theirs = registry.reference("from-skopeo:1");
  const auto found = fetcher.resolve({theirs, oci::Platform{}, {}});
  const auto layers = oci::parse_document(found.manifest->bytes).manifest->layers;
  REQUIRE(layers.size() == 2);
  CHECK(layers[0].media_type == oci::media_type::layer_gzip);
  CHECK(pull_all(fetcher, theirs, layers).size() == 2);
}
