// Pushing to registries that break off, forget, limit and refuse.
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

const TestImage& image() {
  static const TestImage one({noise(1 << 20, 42), noise(10, 43)});
  return one;
}

fetch::PushResult push(const std::string& repository) {
  return mock().fetcher().push(image().push_to(mock().reference(repository)));
}

void check_arrived(const std::string& repository) {
  const auto found = mock().fetcher().resolve({mock().reference(repository), oci::Platform{}, {}});
  CHECK(found.manifest->bytes == image().manifest);
  const auto got = pull_all(mock().fetcher(), mock().reference(repository), image().descriptors);
  for (size_t i = 0; i < image().layers.size(); ++i)
    CHECK(got.at(image().descriptors[i].digest) == image().layers[i]);
}

std::vector<std::string> steps() {
  std::vector<std::string> list;
  for (const Json& request : mock().requests())
    if (request.contains("method")) {
      std::string path = request["path"];
      path = path.substr(0, path.find('?'));
      std::string step = request["method"].get<std::string>() + " " + path;
      if (request["content_range"].is_string())
        step += " " + request["content_range"].get<std::string>();
      list.push_back(step);
    }
  return list;
}

long count(const std::vector<std::string>& list, const std::string& part) {
  return std::count_if(list.begin(), list.end(),
                       [&](const std::string& text) { return text.find(part) != text.npos; });
}

}  // namespace

TEST_CASE("blobs go before the manifest that names them, the tag is last (N4)") {
  NEEDS_MOCK();
  mock().requests();
  const auto pushed = push("push-plain");
  CHECK(pushed.uploaded == 3);
  const auto list = steps();
  const auto manifest = std::find(list.begin(), list.end(), "PUT /v2/push-plain/manifests/1");
  REQUIRE(manifest != list.end());
  CHECK(std::next(manifest) == list.end());
  // Who tries an upload again shows in the list.
  for (const std::string& step : list) UNSCOPED_INFO(step);
  CHECK(count(list, "PUT /v2/push-plain/blobs/uploads/") == 3);
  check_arrived("push-plain");
}

TEST_CASE("an upload that breaks off goes on where the registry stands (N4)") {
  NEEDS_MOCK();
  mock().requests();
  Fetcher fetcher = mock().fetcher();
  fetcher.registry.parallel = 1;
  (void)fetcher.push(image().push_to(mock().reference("push-cut")));
  const auto list = steps();
  // Twice: the PUT of all, then the PATCH of the rest.
  CHECK(count(list, "GET /v2/push-cut/blobs/uploads/") == 2);
  CHECK(count(list, " 100000-1048575") == 1);
  CHECK(count(list, " 200000-1048575") == 1);
  check_arrived("push-cut");
}

TEST_CASE("an upload that always breaks off fails, and no tag is set") {
  NEEDS_MOCK();
  const Error error = error_of([&] { (void)push("push-cut-always"); });
  CHECK(error.code() == ExitCode::outside);
  CHECK_THAT(error.cause(), Contains("tried 3 times"));
  CHECK_THAT(error.what(), Contains("pushing " + mock().domain() + "/push-cut-always:1"));
  CHECK(count(steps(), "PUT /v2/push-cut-always/manifests/") == 0);
}

TEST_CASE("a forgotten session is opened anew, a lost answer is not a lost blob") {
  NEEDS_MOCK();
  (void)push("push-forgets");
  check_arrived("push-forgets");
  (void)push("push-lost-answer");
  check_arrived("push-lost-answer");
}

TEST_CASE("what is too large at once is sent in pieces of at least the size asked for (N4)") {
  NEEDS_MOCK();
  mock().requests();
  (void)push("push-chunked");
  const auto list = steps();
  CHECK(count(list, "PATCH /v2/push-chunked/blobs/uploads/") >= 3);
  // The session of the refused attempt is given up.
  CHECK(count(list, "DELETE /v2/push-chunked/blobs/uploads/") >= 1);
  check_arrived("push-chunked");
}

TEST_CASE("refusals are told with the registry's words") {
  NEEDS_MOCK();
  const Error denied = error_of([&] { (void)push("push-denied"); });
  CHECK_THAT(denied.cause(), Contains("HTTP 403 Forbidden: DENIED: read only"));
  CHECK(denied.hint() == "log in: slipway login " + mock().domain());
  CHECK_THAT(error_of([&] { (void)push("push-nowhere"); }).cause(),
             Contains("does not say where to send the blob"));
  CHECK_THAT(error_of([&] { (void)push("push-other"); }).cause(),
             Contains("the registry keeps sha256:111111"));
  (void)push("push-busy");
  check_arrived("push-busy");
}

TEST_CASE("sessions of a failed push are given up") {
  NEEDS_MOCK();
  mock().requests();
  fetch::PushRequest request = image().push_to(mock().reference("push-plain-failing"));
  request.blobs[0].open = [] { return file_of(noise(1 << 20, 7)); };
  CHECK_THAT(error_of([&] { (void)mock().fetcher().push(request); }).cause(),
             Contains("DIGEST_INVALID"));
  CHECK(count(steps(), "DELETE ") >= 1);
}

TEST_CASE("a repository that may not be read is not mounted from, the bytes are sent (N3)") {
  NEEDS_MOCK();
  fetch::PushRequest request = image().push_to(mock().reference("mounting/app"));
  for (fetch::PushBlob& blob : request.blobs) blob.mount_from = {"secret/app", "base"};
  mock().know(MockRegistry::password);
  CHECK(mock().fetcher().push(request).mounted == 3);
  mock().forget();
}

TEST_CASE("a manifest with a subject is listed where the registry keeps no list (N5)") {
  NEEDS_MOCK();
  const std::string subject = digest_of("subject");
  oci::Manifest note;
  note.config = image().config_descriptor;
  note.artifact_type = "application/x-note";
  note.subject = descriptor_of("subject", oci::media_type::manifest);
  const auto push_note = [&](const std::string& repository, const std::string& text) {
    note.annotations["text"] = text;
    fetch::PushRequest request = image().push_to(mock().reference(repository));
    request.documents = {{oci::media_type::manifest, oci::serialize_manifest(note)}};
    return mock().fetcher().push(request).digest;
  };
  const std::string first = push_note("push-notes", "one"), second = push_note("push-notes", "two");
  oci::Reference list = mock().reference("push-notes");
  list.tag = "sha256-" + subject.substr(7);
  const auto found = mock().fetcher().resolve({list, {}, {}});
  REQUIRE(found.index);
  const oci::Index index = *oci::parse_document(found.index->bytes).index;
  REQUIRE(index.manifests.size() == 2);
  CHECK(index.manifests[0].digest == first);
  CHECK(index.manifests[1].digest == second);
  CHECK(index.manifests[1].artifact_type == "application/x-note");
  CHECK(index.manifests[1].annotations.at("text") == "two");
  // A registry that says it keeps one is left alone.
  (void)push_note("push-referrers", "one");
  list.path = "push-referrers";
  CHECK_THROWS_AS(mock().fetcher().resolve({list, {}, {}}), Error);
}

TEST_CASE("a push is refused before anything is sent when a tag is none") {
  NEEDS_MOCK();
  fetch::PushRequest request = image().push_to(mock().reference("push-tags"));
  request.more_tags = {"-bad"};
  mock().requests();
  const Error error = error_of([&] { (void)mock().fetcher().push(request); });
  CHECK(error.code() == ExitCode::usage);
  CHECK(error.cause() == "'-bad' is no tag");
  CHECK(steps().empty());
}
