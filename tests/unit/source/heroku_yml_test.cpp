#include "source/heroku_yml.h"

#include "helpers.h"

using namespace slipway;
using namespace slipway::source;

namespace {

// Each problem as "line:column text", in order.
std::vector<std::string> problems(const std::string& text) {
  std::vector<std::string> found;
  try {
    parse_heroku_yml(text);
  } catch (const HerokuYmlInvalid& error) {
    CHECK(error.code() == ExitCode::app_files);
    for (const auto& problem : error.problems())
      found.push_back(fmt::format("{}:{} {}", problem.pos.line, problem.pos.column, problem.text));
  }
  return found;
}

std::string refusal(const std::string& text) {
  return error_of([&] { parse_heroku_yml(text); });
}

const std::string web = "build: {docker: {web: Dockerfile}}\n";

}  // namespace

TEST_CASE("heroku.yml: the documented file is read whole") {
  const HerokuYml yml = parse_heroku_yml(R"(setup:
  addons:
    - plan: heroku-postgresql
      as: DATABASE
    - plan: heroku-redis:mini
  config:
    KEY: value
    FLAG: true
build:
  docker:
    web: Dockerfile
    worker: worker/Dockerfile
    test: {dockerfile: ./test/Dockerfile.ci, target: test}
  config:
    RAILS_ENV: production
    SECRET_KEY_BASE: $SECRET_KEY_BASE
release:
  command:
    - ./deploy-tasks.sh
  image: worker
run:
  web: bundle exec puma -C config/puma.rb
  sync:
    command: [python s.py]
    image: worker
)");
  REQUIRE(yml.addons.size() == 2);
  CHECK(yml.addons[0].plan == "heroku-postgresql");
  CHECK(yml.addons[0].as == "DATABASE");
  CHECK(yml.addons[1].as.empty());
  CHECK(yml.setup_config == std::map<std::string, std::string>{{"KEY", "value"}, {"FLAG", "true"}});
  REQUIRE(yml.images.size() == 3);
  CHECK(yml.images[0].name == "web");
  CHECK(yml.images[0].dockerfile == "Dockerfile");
  CHECK(yml.images[0].context() == ".");
  CHECK(yml.images[0].target.empty());
  CHECK(yml.images[0].pos.to_string() == "heroku.yml:11:10");
  CHECK(yml.images[1].context() == "worker");
  CHECK(yml.images[2].dockerfile == "test/Dockerfile.ci");
  CHECK(yml.images[2].context() == "test");
  CHECK(yml.images[2].target == "test");
  REQUIRE(yml.config.size() == 2);
  CHECK(yml.config[0].value == "production");
  CHECK(yml.config[0].config_var.empty());
  CHECK(yml.config[1].config_var == "SECRET_KEY_BASE");
  CHECK(yml.config[1].pos.to_string() == "heroku.yml:16:22");
  REQUIRE(yml.release);
  CHECK(yml.release->image == "worker");
  CHECK(yml.release->line() == "./deploy-tasks.sh");
  REQUIRE(yml.processes.size() == 4);
  CHECK(yml.processes[0].name == "web");
  CHECK(yml.processes[0].image == "web");
  CHECK(yml.processes[0].line() == "bundle exec puma -C config/puma.rb");
  CHECK(yml.processes[1].name == "sync");
  CHECK(yml.processes[1].image == "worker");
  CHECK(yml.processes[1].line() == "python s.py");
  // Images without an entry run their own CMD (YML-8).
  CHECK(yml.processes[2].name == "worker");
  CHECK(yml.processes[2].command.empty());
  CHECK(yml.processes[3].image == "test");
  CHECK(yml.warnings.empty());
}

TEST_CASE(
    "heroku.yml: build args keep their written text, references are whole values (YML-6, 7)") {
  const HerokuYml yml = parse_heroku_yml(
      "build:\n  docker: {web: D}\n  config:\n    T: true\n    N: 1.10\n    H: 0x1F\n"
      "    Q: \"a b\"\n    E: ''\n    R1: $NAME\n    R2: ${NAME_2}\n    R3: \"$QUOTED\"\n"
      "    L1: a$NAME\n    L2: $NAME-x\n    L3: ${NAME\n    L4: $1A\n    L5: $\n    L6: '${}'\n");
  std::vector<std::string> seen;
  for (const HerokuBuildArg& arg : yml.config)
    seen.push_back(arg.name + "=" + arg.value +
                   (arg.config_var.empty() ? "" : " var " + arg.config_var));
  CHECK(seen == std::vector<std::string>{"T=true", "N=1.10", "H=0x1F", "Q=a b",
                                         "E=", "R1=$NAME var NAME", "R2=${NAME_2} var NAME_2",
                                         "R3=$QUOTED var QUOTED", "L1=a$NAME", "L2=$NAME-x",
                                         "L3=${NAME", "L4=$1A", "L5=$", "L6=${}"});
}

TEST_CASE("heroku.yml: an image is chosen as the platform chooses it (YML-8, YML-9)") {
  const std::string two = "build: {docker: {api: a/Dockerfile, job: b/Dockerfile}}\n";
  CHECK(parse_heroku_yml(web + "run: {clock: tick}\n").processes[0].image == "web");
  CHECK(parse_heroku_yml("build: {docker: {api: Dockerfile}}\nrun: {clock: tick}\n")
            .processes[0]
            .image == "api");
  CHECK(parse_heroku_yml(two + "run: {job: tick}\n").processes[0].image == "job");
  CHECK(parse_heroku_yml(web + "release: {command: x}\n").release->image == "web");
  CHECK(parse_heroku_yml(web + "run: {web: {image: web}}\n").processes[0].command.empty());
  CHECK(problems(two + "run:\n  clock: tick\n") ==
        std::vector<std::string>{
            "3:10 run.clock.image in body is required: none of api, job is called 'clock' or "
            "'web'"});
  CHECK(problems(two + "release: {command: x}\n") ==
        std::vector<std::string>{
            "2:10 release.image in body is required: none of api, job is called 'release' or "
            "'web'"});
  CHECK(refusal(two + "run: {clock: {command: x, image: jbo}}\n") ==
        "4 | heroku.yml:2:34: the manifest is invalid: run.clock.image: 'jbo' is no image of "
        "build.docker | did you mean 'job'?");
}

TEST_CASE("heroku.yml: a list is one command line (YML-8)") {
  CHECK(
      parse_heroku_yml(web + "run: {web: {command: [bundle, exec, puma]}}\n").processes[0].line() ==
      "bundle exec puma");
  const HerokuYml yml =
      parse_heroku_yml(web + "release:\n  command:\n    - rake db:migrate\n    - rake x y\n");
  REQUIRE(yml.warnings.size() == 1);
  CHECK(yml.warnings[0].to_string() ==
        "heroku.yml:4:5: the items of release.command make one command line, with blanks between "
        "them; join commands with '&&' in one item");
}

TEST_CASE("heroku.yml: anchors, merge keys and several documents (YML-7)") {
  const HerokuYml yml = parse_heroku_yml(R"(build:
  docker:
    web: &main {dockerfile: Dockerfile, target: app}
    worker:
      <<: *main
      target: worker
    both:
      <<: [{target: first}, *main]
run:
  web: &command {command: [a b]}
  worker: *command
--- nothing of this is read: [
)");
  REQUIRE(yml.images.size() == 3);
  CHECK(yml.images[1].dockerfile == "Dockerfile");
  CHECK(yml.images[1].target == "worker");
  CHECK(yml.images[2].target == "first");
  CHECK(yml.images[2].dockerfile == "Dockerfile");
  CHECK(yml.processes[1].line() == "a b");
  CHECK(problems("build: {docker: {web: {<<: 5, dockerfile: D}}}\n") ==
        std::vector<std::string>{"1:28 text where a merge key needs a map or a list of maps"});
  CHECK(problems("build: {docker: {web: {<<: [5], dockerfile: D}}}\n") ==
        std::vector<std::string>{"1:29 text where a merge key needs a map"});
  CHECK(problems("build: {docker: {web: {\"<<\": {target: x}, dockerfile: D}}}\n") ==
        std::vector<std::string>{"1:24 build.docker.web.<< in body is a forbidden property"});
}

TEST_CASE("heroku.yml: mistakes are told in the platform's words, with their places (YML-2)") {
  CHECK(problems("build:\n  dokcer: {web: Dockerfile}\n") ==
        std::vector<std::string>{"2:3 build.dokcer in body is a forbidden property",
                                 "2:3 build.docker in body is required"});
  CHECK(refusal("build: {docker: {web: Dockerfile}, x: 1}\nrnu: {}\n") ==
        "4 | heroku.yml:1:36: the manifest is invalid: build.x in body is a forbidden property "
        "(and 1 more) | known here: docker, config\nheroku.yml:2:1: rnu in body is a forbidden "
        "property");
  CHECK(problems("") ==
        std::vector<std::string>{"1:1 heroku.yml in body must be of type object: \"null\""});
  CHECK(problems("- a\n") ==
        std::vector<std::string>{"1:1 heroku.yml in body must be of type object: \"array\""});
  CHECK(problems("run: {web: x}\n") == std::vector<std::string>{"1:1 build in body is required"});
  CHECK(problems("build: x\n") ==
        std::vector<std::string>{"1:8 build in body must be of type object: \"string\""});
  CHECK(problems("build: {docker: [Dockerfile]}\n") ==
        std::vector<std::string>{"1:17 build.docker in body must be of type object: \"array\""});
  CHECK(problems("build: {docker: {}}\n") ==
        std::vector<std::string>{"1:17 build.docker in body should have at least 1 properties"});
  CHECK(problems("build: {docker: {web: [a]}}\n") ==
        std::vector<std::string>{
            "1:23 build.docker.web in body must be of type string or object: \"array\""});
  CHECK(problems("build: {docker: {web: {target: x}}}\n") ==
        std::vector<std::string>{"1:23 build.docker.web.dockerfile in body is required"});
  CHECK(problems("build: {docker: {web: {dockerfile: [x]}}}\n") ==
        std::vector<std::string>{
            "1:36 build.docker.web.dockerfile in body must be of type string: \"array\""});
  CHECK(problems("build: {docker: {\"a b\": Dockerfile}}\n") ==
        std::vector<std::string>{"1:18 build.docker.a b in body is a forbidden property"});
  CHECK(problems(web + "build: {}\n").at(0) == "2:1 the key 'build' is given twice");
  CHECK(problems(web + "[a, b]: c\n") ==
        std::vector<std::string>{"2:1 a list where a key was expected"});
  CHECK(problems(web + "run: {web: [x]}\n") ==
        std::vector<std::string>{"2:12 run.web in body must be of type string or object: "
                                 "\"array\""});
  CHECK(problems(web + "run: {web: {}}\n") ==
        std::vector<std::string>{"2:12 run.web.command in body is required"});
  CHECK(problems(web + "run: {web: \" \"}\n") ==
        std::vector<std::string>{"2:12 run.web in body should be at least 1 chars long"});
  CHECK(problems(web + "run: {web: {command: []}}\n") ==
        std::vector<std::string>{"2:22 run.web.command in body should have at least 1 items"});
  CHECK(problems(web + "run: {web: {command: {a: b}}}\n") ==
        std::vector<std::string>{
            "2:22 run.web.command in body must be of type string or array: \"object\""});
  CHECK(problems(web + "release: {image: web}\n") ==
        std::vector<std::string>{"2:10 release.command in body is required"});
  CHECK(problems(web + "release: x\n") ==
        std::vector<std::string>{"2:10 release in body must be of type object: \"string\""});
  CHECK(problems(web + "setup: {addons: {}}\n") ==
        std::vector<std::string>{"2:17 setup.addons in body must be of type array: \"object\""});
  CHECK(problems(web + "setup: {addons: [{as: X}]}\n") ==
        std::vector<std::string>{"2:18 setup.addons.plan in body is required"});
  CHECK(problems("build: {docker: {web: D}, config: {A-B: x}}\n") ==
        std::vector<std::string>{"1:36 build.config.A-B in body is a forbidden property"});
  CHECK(problems("build: {docker: {web: D}, config: {A: ~}}\n") ==
        std::vector<std::string>{"1:39 build.config.A in body must be of type string: \"null\""});
  CHECK(problems("build: {docker: {web: D}, config: {A: [x]}}\n") ==
        std::vector<std::string>{"1:39 build.config.A in body must be of type string: \"array\""});
}

TEST_CASE("heroku.yml: keys of the withdrawn preview are refused by name (YML-3)") {
  const std::string hint =
      " | building with buildpacks through heroku.yml was withdrawn (YML-3): build images with "
      "build.docker, or remove heroku.yml and use buildpacks";
  CHECK(refusal("build:\n  languages: [ruby]\n  packages: [imagemagick]\n  pre: [x]\n") ==
        "4 | heroku.yml:2:3: the manifest is invalid: build.languages in body is a forbidden "
        "property (and 3 more)" +
            hint +
            "\nheroku.yml:2:3: build.docker in body is required\n"
            "heroku.yml:3:3: build.packages in body is a forbidden property\n"
            "heroku.yml:4:3: build.pre in body is a forbidden property");
  CHECK(refusal("build: {docker: {web: D}, languages: [ruby]}\n") ==
        "4 | heroku.yml:1:27: the manifest is invalid: build.languages in body is a forbidden "
        "property" +
            hint);
}

TEST_CASE("heroku.yml: unknown keys of setup do not stop a build (YML-16)") {
  const HerokuYml yml = parse_heroku_yml(web + "setup: {app-features: [preboot]}\n");
  REQUIRE(yml.warnings.size() == 1);
  CHECK(yml.warnings[0].to_string() ==
        "heroku.yml:2:9: setup.app-features is not known here and is left alone");
}

TEST_CASE("heroku.yml: a Dockerfile's path does not leave the app (threat 24, YML-4)") {
  for (const char* path : {"../Dockerfile", "/etc/passwd", "a/../../x", ".."})
    CHECK(
        problems(fmt::format("build: {{docker: {{web: {}}}}}\n", path)) ==
        std::vector<std::string>{fmt::format("1:23 build.docker.web: '{}' leaves the app", path)});
  for (const char* path : {"''", ".", "a/", "./"})
    CHECK(problems(fmt::format("build: {{docker: {{web: {}}}}}\n", path))
              .at(0)
              .find("is no path of a Dockerfile") != std::string::npos);
  CHECK(parse_heroku_yml("build: {docker: {web: a/../b/./Dockerfile}}\n").images[0].dockerfile ==
        "b/Dockerfile");
}

TEST_CASE("heroku.yml: what is no YAML names the place") {
  CHECK(refusal("build: {docker\n")
            .find("4 | heroku.yml:2:1: the manifest is invalid: it is no YAML: ") == 0);
  CHECK(refusal("build: *nobody\n").find("it is no YAML: ") != std::string::npos);
  CHECK(refusal(std::string("build:\n \0", 9)) ==
        "4 | heroku.yml:2:2: the manifest is invalid: it holds a NUL byte | save it as UTF-8");
}

TEST_CASE("heroku.yml: bombs are refused or harmless (threats 7, 21)") {
  CHECK(refusal(std::string((1 << 20) + 1, ' ')) ==
        "4 | heroku.yml:1:1: the manifest is invalid: it is larger than 1 MiB");
  CHECK(refusal(std::string(500'000, '[')).find("it is no YAML") != std::string::npos);
  CHECK(problems("build: &x {<<: *x}\n").at(0) ==
        "1:8 merge keys within merge keys more than 20 deep");
  std::string laughs = "x0: &a0 {k: v}\n";
  for (int i = 1; i < 15; ++i)
    laughs += fmt::format("x{0}: &a{0} {{<<: [*a{1},*a{1},*a{1},*a{1},*a{1},*a{1}]}}\n", i, i - 1);
  const std::vector<std::string> found = problems(laughs + "build: {<<: *a14}\n");
  CHECK(found.size() <= 20);
  CHECK(std::any_of(found.begin(), found.end(), [](const std::string& text) {
    return text.find("more than 10,000 entries, counting what merge keys add") != std::string::npos;
  }));
}
