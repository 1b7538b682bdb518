#include "source/app_json.h"

#include "helpers.h"
#include "source/json_position.h"

using namespace slipway;
using namespace slipway::source;

TEST_CASE("app.json: everything a builder needs, unknown keys left alone") {
  const AppJson app = parse_app_json(R"({
  "name": "My Shop", "description": 7, "stack": "heroku-24",
  "buildpacks": [ {"url": "heroku/nodejs", "extra": 1}, {"url": " https://host/x.git#v1 "} ],
  "env": {
    "A": "1",
    "B": {"description": "d", "value": "2", "required": false},
    "SECRET": {"generator": "secret"}
  },
  "scripts": {"postdeploy": "rake db:migrate"},
  "environments": {"test": {"buildpacks": [], "env": {"A": "t"}, "scripts": {"test": "x"}}}
})");
  CHECK(app.name == "My Shop");
  CHECK(app.stack == "heroku-24");
  REQUIRE(app.buildpacks->size() == 2);
  CHECK((*app.buildpacks)[1].url == "https://host/x.git#v1");
  CHECK((*app.buildpacks)[0].pos.to_string() == "app.json:3:27");
  CHECK(app.env.at("A").value == "1");
  CHECK_FALSE(app.env.at("B").required);
  CHECK(app.env.at("SECRET").generated);
  CHECK_FALSE(app.env.at("SECRET").value);
  const AppOverlay test = app.for_environment("test");
  CHECK(test.buildpacks->empty());
  CHECK(test.env.at("A").value == "t");
  CHECK(test.env.at("B").value == "2");
  CHECK(test.scripts.at("test") == "x");
  CHECK(app.for_environment("other").buildpacks->size() == 2);
}

TEST_CASE("app.json: an empty object is fine and says nothing") {
  const AppJson app = parse_app_json("{}");
  CHECK_FALSE(app.name);
  CHECK_FALSE(app.buildpacks);
}

TEST_CASE("app.json: errors name the place and what was expected") {
  const auto error = [](const std::string& text) {
    return error_of([&] { parse_app_json(text); });
  };
  CHECK(error("[1]") == "4 | app.json:1:1: the file must be an object, not a list");
  CHECK(error("{\n  \"stack\": 22\n}") ==
        "4 | app.json:2:12: stack must be a string, not a number");
  CHECK(error("{\"name\": null}") == "4 | app.json:1:10: name must be a string, not null");
  CHECK(error("{\"buildpacks\": [\n  \"heroku/nodejs\"]}") ==
        "4 | app.json:2:3: buildpacks[0] must be an object with a \"url\", not a string | "
        "write {\"url\": \"heroku/nodejs\"}");
  CHECK(error("{\"buildpacks\": {\"url\": \"x\"}}") ==
        "4 | app.json:1:16: buildpacks must be a list, not an object");
  CHECK(error("{\"buildpacks\": [{\"name\": \"x\"}]}") ==
        "4 | app.json:1:17: buildpacks[0] has no \"url\"");
  CHECK(error("{\"buildpacks\": [{\"url\": \" \"}]}") ==
        "4 | app.json:1:25: buildpacks[0].url is empty");
  CHECK(error("{\"env\": {\"A\": 1}}") ==
        "4 | app.json:1:15: env.A must be a string or an object, not a number");
  CHECK(error("{\"env\": {\"A\": {\"value\": true}}}") ==
        "4 | app.json:1:25: env.A.value must be a string, not true or false");
  CHECK(error("{\"env\": {\"A\": {\"generator\": \"x\"}}}") ==
        "4 | app.json:1:29: env.A.generator must be \"secret\", not \"x\"");
  CHECK(error("{\"env\": {\"A B\": \"\"}}") ==
        "4 | app.json:1:17: 'A B' cannot be the name of a config var | a name has letters, digits "
        "and underscores and does not begin with a digit");
  CHECK(error("{\"environments\": {\"test\": {\"buildpacks\": [1]}}}") ==
        "4 | app.json:1:43: environments.test.buildpacks[0] must be an object with a \"url\", not "
        "a number");
  CHECK(error("{\"name\": \"a\\u0000b\"}") == "4 | app.json:1:10: name holds a NUL byte");
}

TEST_CASE("app.json: broken JSON, bombs and giants are refused") {
  CHECK(error_of([] { parse_app_json("{\n \"name\" \"x\"}"); }).find("4 | app.json:2:1") == 0);
  CHECK(error_of([] { parse_app_json(std::string(100'000, '[')); }).find("200 levels") !=
        std::string::npos);
  CHECK(error_of([] { parse_app_json(std::string(2 << 20, ' ')); }) ==
        "4 | app.json:1:1: larger than 1 MiB");
  std::string many = "{\"buildpacks\": [1";
  for (int i = 0; i < 200; ++i) many += ",1";
  CHECK(error_of([&] { parse_app_json(many + "]}"); }) ==
        "4 | app.json:1:16: buildpacks has more than 100 entries");
}

TEST_CASE("json_position: escapes, equal keys, pointers that lead nowhere") {
  const std::string text = "{\"a\\\"/b\": [0, {\"x\": 1}],\n \"k\": 1, \"k\": {\"y\": [] } }";
  CHECK(json_position(text, "f", "/a\"~1b/1/x").to_string() == "f:1:21");
  CHECK(json_position(text, "f", "/k/y").to_string() == "f:2:21");
  CHECK(json_position(text, "f", "/k/none").to_string() == "f:2:15");
  CHECK(json_position(text, "f", "").to_string() == "f:1:1");
  CHECK(json_position("\xef\xbb\xbf {\"a\":1}", "f", "/a").to_string() == "f:1:10");
  CHECK(json_position("{\"a\":", "f", "/a/b/c").line == 1);
}
