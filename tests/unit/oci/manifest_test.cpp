#include "oci/manifest.h"

#include "base/error.h"
#include "base/json.h"

using namespace slipway;
using namespace slipway::oci;
using Catch::Matchers::Contains;

namespace {

std::string digest_of(char digit) {
  return "sha256:" + std::string(64, digit);
}

Json entry(const char* type, char digit, int64_t size = 10) {
  return {{"mediaType", type}, {"digest", digest_of(digit)}, {"size", size}};
}

Json manifest_json() {
  return {{"schemaVersion", 2},
          {"mediaType", media_type::manifest},
          {"config", entry(media_type::config, 'c')},
          {"layers", {entry(media_type::layer_gzip, '1'), entry(media_type::layer_zstd, '2')}}};
}

Json index_json() {
  Json amd = entry(media_type::manifest, 'a');
  amd["platform"] = {{"os", "linux"}, {"architecture", "amd64"}};
  Json attestation = entry(media_type::manifest, 'f');
  attestation["platform"] = {{"os", "unknown"}, {"architecture", "unknown"}};
  return {
      {"schemaVersion", 2}, {"mediaType", media_type::index}, {"manifests", {attestation, amd}}};
}

std::string refusal(const Json& document, std::string_view expected = {}) {
  try {
    (void)parse_document(document.is_string() ? document.get<std::string>() : document.dump(),
                         expected);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::outside);
    return error.what();
  }
  FAIL("accepted: " << document.dump());
  return {};
}

}  // namespace

TEST_CASE("a manifest is read with what it has") {
  Json json = manifest_json();
  json["annotations"] = {{"k", "v"}};
  json["layers"][0]["urls"] = {"https://h.example/x"};
  json["layers"][0]["annotations"] = {{"a", "b"}};
  const Document document = parse_document(json.dump(), media_type::manifest);
  REQUIRE(document.manifest);
  CHECK_FALSE(document.index);
  CHECK(document.manifest->config.digest == digest_of('c'));
  REQUIRE(document.manifest->layers.size() == 2);
  CHECK(document.manifest->layers[0].urls == std::vector<std::string>{"https://h.example/x"});
  CHECK(document.manifest->layers[0].annotations == Annotations{{"a", "b"}});
  CHECK(document.manifest->layers[1].size_bytes == 10);
  CHECK(document.manifest->annotations == Annotations{{"k", "v"}});
}

TEST_CASE("an index is read with its platforms") {
  const Document document = parse_document(index_json().dump());
  REQUIRE(document.index);
  REQUIRE(document.index->manifests.size() == 2);
  CHECK(document.index->manifests[1].platform->architecture == "amd64");
  CHECK(document.index->manifests[1].platform->variant.empty());
}

TEST_CASE("the own media type may be missing, and is then the sender's word") {
  Json json = manifest_json();
  json.erase("mediaType");
  CHECK(parse_document(json.dump()).manifest->media_type == media_type::manifest);
  CHECK(parse_document(json.dump(), media_type::docker_manifest).manifest->media_type ==
        media_type::docker_manifest);
  CHECK_THAT(refusal(json, media_type::index), Contains("has the form of a manifest"));
}

TEST_CASE("documents that mean two things are refused (threat 19)") {
  Json both = manifest_json();
  both["manifests"] = index_json()["manifests"];
  CHECK_THAT(refusal(both), Contains("an index and a manifest at once"));
  Json layered_index = index_json();
  layered_index["layers"] = Json::array();
  CHECK_THAT(refusal(layered_index), Contains("an index and a manifest at once"));

  Json wrong = manifest_json();
  wrong["mediaType"] = media_type::index;
  CHECK_THAT(refusal(wrong), Contains("has the form of a manifest, but the type"));
  CHECK_THAT(refusal(manifest_json(), media_type::docker_manifest),
             Contains(std::string("but '") + media_type::docker_manifest + "' was promised"));

  // Another reader may take the other one of two keys.
  std::string twice = manifest_json().dump();
  twice.insert(twice.size() - 1, R"(,"layers":[])");
  CHECK_THAT(refusal(twice), Contains("'layers' stands in it twice"));
  Json cased = manifest_json();
  cased["Layers"] = Json::array();
  CHECK_THAT(refusal(cased), Contains("'Layers' is written in another case"));
}

TEST_CASE("malformed documents are refused with the reason (threats 7, 19)") {
  const auto with_layer = [](const char* key, const Json& value) {
    Json json = manifest_json();
    json["layers"][0][key] = value;
    return refusal(json);
  };
  CHECK_THAT(with_layer("digest", "sha256:../../../etc/passwd"), Contains("is not a digest"));
  CHECK_THAT(with_layer("digest", digest_of('A')), Contains("is not a digest"));
  CHECK_THAT(with_layer("digest", 5), Contains("'digest' is not a text"));
  CHECK_THAT(with_layer("size", -1), Contains("has no size"));
  CHECK_THAT(with_layer("size", 1.5), Contains("has no size"));
  CHECK_THAT(with_layer("size", "10"), Contains("has no size"));
  CHECK_THAT(with_layer("size", UINT64_MAX), Contains("has no size"));
  CHECK_THAT(with_layer("mediaType", ""), Contains("has no media type"));
  CHECK_THAT(with_layer("mediaType", "a\r\nb"), Contains("is no media type"));
  CHECK_THAT(with_layer("urls", "https://x"), Contains("'urls' is not a list"));
  CHECK_THAT(with_layer("annotations", Json::array()), Contains("'annotations' is not an object"));
  CHECK_THAT(with_layer("platform", "linux"), Contains("'platform' is not an object"));
  CHECK_THAT(refusal(Json::array()), Contains("not an object"));
  CHECK_THAT(refusal(Json::object()), Contains("lists neither manifests nor"));
  CHECK_THAT(refusal("{\"layers\": "), Contains("not valid JSON"));
  CHECK_THAT(refusal(std::string(300, '[') + std::string(300, ']')), Contains("200 levels"));
  Json version = manifest_json();
  version["schemaVersion"] = 3;
  CHECK_THAT(refusal(version), Contains("schemaVersion is 3"));
  Json config = manifest_json();
  config["config"] = Json::array();
  CHECK_THAT(refusal(config), Contains("the config is not an object"));
}

TEST_CASE("schema 1 is named") {
  CHECK_THAT(refusal({{"schemaVersion", 1}, {"fsLayers", Json::array()}}), Contains("schema 1"));
}

TEST_CASE("long lists and long documents are refused (threat 21)") {
  Json json = manifest_json();
  for (int i = 0; i < 999; ++i) json["layers"].push_back(entry(media_type::layer, '3'));
  CHECK_THAT(refusal(json), Contains("it has 1001 layers, at most 1000 are allowed"));
  CHECK_THAT(refusal("\"" + std::string(document_bytes_max, 'x') + "\""), Contains("bytes long"));
}

TEST_CASE("what is written is read back the same") {
  Manifest manifest;
  manifest.config = {media_type::config, digest_of('c'), 7};
  manifest.layers = {{media_type::layer_gzip, digest_of('1'), 8}};
  manifest.layers[0].annotations = {{"x", "y"}};
  manifest.annotations = {{"b", "2"}, {"a", "1"}};
  const std::string text = serialize_manifest(manifest);
  CHECK(text ==
        "{\n  \"schemaVersion\": 2,\n  \"mediaType\": "
        "\"application/vnd.oci.image.manifest.v1+json\",\n"
        "  \"config\": {\n    \"mediaType\": \"application/vnd.oci.image.config.v1+json\",\n"
        "    \"digest\": \"" +
            digest_of('c') +
            "\",\n    \"size\": 7\n  },\n"
            "  \"layers\": [\n    {\n      \"mediaType\": "
            "\"application/vnd.oci.image.layer.v1.tar+gzip\",\n"
            "      \"digest\": \"" +
            digest_of('1') +
            "\",\n      \"size\": 8,\n"
            "      \"annotations\": {\n        \"x\": \"y\"\n      }\n    }\n  ],\n"
            "  \"annotations\": {\n    \"a\": \"1\",\n    \"b\": \"2\"\n  }\n}");
  const Manifest back = *parse_document(text, media_type::manifest).manifest;
  CHECK(serialize_manifest(back) == text);

  manifest.subject = Descriptor{media_type::manifest, digest_of('5'), 3};
  manifest.artifact_type = "application/x";
  CHECK(parse_document(serialize_manifest(manifest)).manifest->subject->digest == digest_of('5'));

  Index index = *parse_document(index_json().dump()).index;
  index.annotations = {{"k", "v"}};
  const Index same = *parse_document(serialize_index(index)).index;
  CHECK(serialize_index(same) == serialize_index(index));
  CHECK(same.manifests[1].platform->os == "linux");
}

TEST_CASE("Docker's types carry no annotations (M8)") {
  Manifest manifest;
  manifest.media_type = media_type::docker_manifest;
  manifest.config = {media_type::docker_config, digest_of('c'), 7};
  manifest.layers = {{media_type::docker_layer, digest_of('1'), 8}};
  manifest.layers[0].annotations = {{"x", "y"}};
  manifest.annotations = {{"a", "1"}};
  CHECK_THAT(serialize_manifest(manifest), !Contains("annotations"));
  Index index;
  index.media_type = media_type::docker_list;
  index.annotations = {{"a", "1"}};
  CHECK_THAT(serialize_index(index), !Contains("annotations"));
}

TEST_CASE("texts that are not UTF-8 do not stop the writing") {
  Manifest manifest;
  manifest.config = {media_type::config, digest_of('c'), 7};
  manifest.annotations = {{"a", "\xff"}};
  CHECK_NOTHROW(parse_document(serialize_manifest(manifest)));
}

TEST_CASE("the entry of a platform is found, attestations are not (N1)") {
  Index index = *parse_document(index_json().dump()).index;
  const Descriptor* found = pick_platform(index, {"linux", "amd64", "", ""});
  REQUIRE(found != nullptr);
  CHECK(found->digest == digest_of('a'));
  CHECK(pick_platform(index, {"linux", "s390x", "", ""}) == nullptr);
  CHECK(pick_platform(index, {"unknown", "unknown", "", ""}) == nullptr);
  CHECK(platforms_text(index) == "linux/amd64");

  const auto arm = [](char digit, const char* variant) {
    Descriptor entry{media_type::manifest, digest_of(digit), 1};
    entry.platform = Platform{"linux", "arm", variant, ""};
    return entry;
  };
  index.manifests = {arm('5', "v5"), arm('7', "v7"), arm('6', "v6")};
  CHECK(pick_platform(index, {"linux", "arm", "v7", ""})->digest == digest_of('7'));
  index.manifests.erase(index.manifests.begin() + 1);
  CHECK(pick_platform(index, {"linux", "arm", "v7", ""})->digest == digest_of('6'));
}

TEST_CASE("an entry without a platform serves only where none names one") {
  Index index;
  index.manifests = {{media_type::manifest, digest_of('1'), 1}};
  CHECK(pick_platform(index, {})->digest == digest_of('1'));
  Descriptor named{media_type::manifest, digest_of('2'), 1};
  named.platform = Platform{"linux", "arm64", "", ""};
  index.manifests.push_back(named);
  CHECK(pick_platform(index, {"linux", "amd64", "", ""}) == nullptr);
}
