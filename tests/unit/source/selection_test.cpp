#include "source/selection.h"

#include "helpers.h"
#include "source/app_name.h"

using namespace slipway;
using namespace slipway::source;

namespace {

const std::vector<std::string> builtins{"phoenix-static", "nodejs", "elixir"};

std::vector<std::string> names(const Selection& selection) {
  std::vector<std::string> shown;
  for (const BuildpackRef& ref : selection.buildpacks) shown.push_back(ref.public_name());
  return shown;
}

}  // namespace

TEST_CASE("selection: the first place that names buildpacks wins, the others are told") {
  const AppJson app = parse_app_json("{\n\"buildpacks\": [{\"url\": \"heroku/python\"}]}");
  const BuildpacksFile file = parse_buildpacks_file("elixir\nphoenix-static\n");
  SelectionInputs inputs{.flags = {"nodejs"},
                         .setting = {"heroku/go"},
                         .config = {{"BUILDPACK_URL", "https://h/r.git"}},
                         .app_json = &app,
                         .buildpacks_file = &file,
                         .builtins = builtins};
  Selection selection = select_buildpacks(inputs);
  CHECK(selection.origin == Selection::Origin::flag);
  CHECK(names(selection) == std::vector<std::string>{"nodejs"});
  CHECK(selection.reason == "named with -b");
  CHECK(selection.notes ==
        std::vector<std::string>{"the app's setting names buildpacks too; -b wins",
                                 "config var BUILDPACK_URL names buildpacks too; -b wins",
                                 "app.json names buildpacks too; -b wins",
                                 ".buildpacks names buildpacks too; -b wins"});
  inputs.flags.clear();
  CHECK(select_buildpacks(inputs).reason == "set for the app");
  inputs.setting.clear();
  CHECK(select_buildpacks(inputs).reason == "named by config var BUILDPACK_URL");
  CHECK(names(select_buildpacks(inputs)) == std::vector<std::string>{"https://h/r.git"});
  inputs.config = {{"BUILDPACK_URL", " "}};
  CHECK(select_buildpacks(inputs).reason == "listed in app.json (line 2)");
  inputs.app_json = nullptr;
  CHECK(select_buildpacks(inputs).reason == "listed in .buildpacks");
  CHECK(names(select_buildpacks(inputs)) == std::vector<std::string>{"elixir", "phoenix-static"});
  inputs.buildpacks_file = nullptr;
  selection = select_buildpacks(inputs);
  CHECK(selection.origin == Selection::Origin::detection);
  CHECK(names(selection) == std::vector<std::string>{"nodejs", "elixir", "phoenix-static"});
}

TEST_CASE("selection: empty lists name nothing") {
  const AppJson app = parse_app_json("{\"buildpacks\": []}");
  const BuildpacksFile file = parse_buildpacks_file("# none\n");
  CHECK(select_buildpacks({.app_json = &app, .buildpacks_file = &file, .builtins = builtins})
            .origin == Selection::Origin::detection);
}

TEST_CASE("selection: a bad name is charged to the place that gave it") {
  CHECK(error_of([] {
          select_buildpacks({.flags = {"nodesj"}, .builtins = builtins});
        }).find("2 | -b: buildpack 'nodesj': there is no built-in") == 0);
  const AppJson app = parse_app_json("{\n\"buildpacks\": [{\"url\": \"nodesj\"}]}");
  CHECK(error_of([&] { select_buildpacks({.app_json = &app, .builtins = builtins}); }) ==
        "4 | app.json:2:24: buildpack 'nodesj': there is no built-in buildpack of that name | did "
        "you mean 'nodejs'? A folder is written ./nodesj");
}

TEST_CASE("selection: files of the app cannot name what lies outside it (threat 24)") {
  for (const char* text : {"/etc", "../x", "./a/../../x", "file:///srv/other.git"}) {
    const BuildpacksFile file = parse_buildpacks_file(text);
    INFO(text);
    CHECK(error_of([&] {
            select_buildpacks({.buildpacks_file = &file, .builtins = builtins});
          }).find("4 | .buildpacks:1:1: buildpack '") == 0);
    CHECK(select_buildpacks({.flags = {text}, .builtins = builtins}).buildpacks.size() == 1);
  }
  const BuildpacksFile inside = parse_buildpacks_file("./packs/mine");
  CHECK(names(select_buildpacks({.buildpacks_file = &inside, .builtins = builtins})) ==
        std::vector<std::string>{"./packs/mine"});
}

TEST_CASE("selection: detection order is the platform's, ours after (SRC-13)") {
  CHECK(detection_order({"php", "elixir", "ruby", "python", "acme", "nodejs"}) ==
        std::vector<std::string>{"ruby", "nodejs", "python", "php", "acme", "elixir"});
  CHECK(detection_order({}).empty());
}

TEST_CASE("app name: flag, app.json, folder") {
  const AppJson app = parse_app_json("{\"name\": \"My Shop!\"}");
  CHECK(choose_app_name("shop", &app, "/src/x").name == "shop");
  CHECK(choose_app_name(std::nullopt, &app, "/src/x").name == "my-shop");
  CHECK(choose_app_name(std::nullopt, nullptr, "/src/Hello_World/").name == "hello-world");
  CHECK(choose_app_name(std::nullopt, nullptr, "https://h/o/Repo.git#main").name == "repo");
  CHECK(choose_app_name(std::nullopt, nullptr, "git@h:repo.git").name == "repo");
  CHECK(choose_app_name(std::nullopt, nullptr, "/tmp/app-1.tar.gz").name == "app-1");
  CHECK(choose_app_name(std::nullopt, nullptr, "/").name == "app");
  CHECK(choose_app_name(std::nullopt, nullptr, "/src/\xd0\xbf").name == "app");
  CHECK(choose_app_name(std::nullopt, &app, "x").origin == AppName::Origin::app_json);
  CHECK(error_of([] { choose_app_name("My Shop", nullptr, "/x"); }) ==
        "2 | --app: 'My Shop' cannot be an app's name | use lower-case letters, digits and '-', "
        "for example my-shop");
  CHECK(sanitise_app_name(std::string(100, 'a')).size() == 63);
}

TEST_CASE("app name: BUILD_DIR follows from it and never changes") {
  CHECK(build_dir_hex("shop").size() == 8);
  CHECK(build_dir("shop") == "/tmp/build_" + build_dir_hex("shop"));
  CHECK(build_dir_hex("shop") != build_dir_hex("shop2"));
}
