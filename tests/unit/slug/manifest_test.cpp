#include "slug/slug.h"

#include "base/error.h"

using namespace slipway;
using namespace slipway::slug;

TEST_CASE("a manifest has the Platform API's names and survives the way there and back (SLUG-6)") {
  Manifest manifest;
  manifest.app = "shop";
  manifest.stack = "heroku-22";
  manifest.commit = "0123456789abcdef0123456789abcdef01234567";
  manifest.buildpack_provided_description = "Elixir";
  manifest.process_types = {{"web", "mix phx.server"}, {"worker", ""}};
  manifest.buildpacks = {{.name = "elixir", .detected = "Elixir", .digest = "abc"},
                         {.name = "https://x.test/y.git", .url = "https://x.test/y.git"}};
  manifest.checksum = "SHA256:00";
  manifest.size_bytes = 12345678901;
  manifest.raw_size_bytes = 5;
  manifest.compressor = "gzip";
  manifest.isolation = "oci";
  manifest.source_time = 1'500'000'000;
  const Json json = manifest.to_json();
  CHECK(json["stack"]["name"] == "heroku-22");
  CHECK(json["process_types"]["web"] == "mix phx.server");
  CHECK(json["size"] == 12345678901);
  CHECK(json["commit_description"].is_null());
  CHECK(json["buildpack_provided_description"] == "Elixir");
  const Manifest back = Manifest::from_json(json);
  CHECK(back.to_json() == json);
  CHECK(back.buildpacks[1].url == "https://x.test/y.git");
  CHECK(back.commit_description.empty());
}

TEST_CASE("a manifest that lacks fields is fine, one with wrong types is not") {
  CHECK(Manifest::from_json(Json::object()).process_types.empty());
  CHECK(Manifest::from_json({{"stack", "cedar-14"}}).stack == "cedar-14");
  const auto cause = [](const Json& value) -> std::string {
    try {
      (void)Manifest::from_json(value);
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::app_files);
      return error.cause();
    }
    return "accepted";
  };
  CHECK(cause(Json::array()) == "slug manifest is no object");
  CHECK(cause({{"size", "big"}}) == "slug manifest: 'size' must be a size in bytes");
  CHECK(cause({{"size", -1}}) == "slug manifest: 'size' must be a size in bytes");
  CHECK(cause({{"process_types", {{"web", 1}}}}) ==
        "slug manifest: process type 'web' must be text");
  CHECK(cause({{"stack", {{"name", 1}}}}) == "slug manifest: 'stack': 'name' must be text");
  CHECK(cause({{"buildpacks", {1}}}) == "slug manifest: a buildpack is no object");
}
