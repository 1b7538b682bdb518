// FROM, stages, targets, named contexts, platforms (dockerfile.md §3.1, §6, I14).
#include "compile_helpers.h"

using namespace compiling;

namespace {

std::string pinned(const std::string& rest) {
  return hub(rest) + "@sha256:" + std::string(64, 'd');
}

const graph::ImageOp& image(const graph::NodeRef& node) {
  REQUIRE(node);
  REQUIRE(std::holds_alternative<graph::ImageOp>(node->op()));
  return std::get<graph::ImageOp>(node->op());
}

Given with_context(const std::string& name, NamedContext context) {
  Given given;
  given.options.contexts[name] = std::move(context);
  return given;
}

Given with_triggers(Texts triggers) {
  Given given;
  given.images[hub("base:latest")] = base_config();
  given.images[hub("base:latest")].config.on_build = std::move(triggers);
  return given;
}

}  // namespace

TEST_CASE("FROM: references are normalised and pinned (F4)") {
  Given given;
  const Compiled result = given.compile("FROM debian\nRUN x\n");
  CHECK(given.asked == Texts{hub("debian:latest") + " linux/amd64"});
  REQUIRE(result.base);
  CHECK(result.base->reference == hub("debian:latest"));
  const graph::NodeRef root = result.root->inputs().at(0);
  CHECK(image(root).reference == pinned("debian:latest"));
  CHECK(image(root).platform == "linux/amd64");
  CHECK(root->description().title == "[1/2] FROM " + pinned("debian:latest"));
  CHECK(result.layers.size() == 1);
  CHECK(result.layers[0] == result.root);
}

TEST_CASE("FROM: what is no reference names the place") {
  CHECK(refusal("FROM a\nFROM Debian:12\n").find("4 | Dockerfile:2:6: ") == 0);
  CHECK(refusal("FROM a:b:c\n").find("4 | Dockerfile:1:6: ") == 0);
  CHECK(refusal("ARG V\nFROM ${V}\n") ==
        "4 | Dockerfile:2:6: the image's name '${V}' expands to nothing | 'V' has no default: give "
        "it with --build-arg V=VALUE");
  CHECK(refusal("ARG VERSION=1\nFROM $VERISON\n") ==
        "4 | Dockerfile:2:6: the image's name '$VERISON' expands to nothing | did you mean "
        "'VERSION'?");
  // Only who starts the build points at images of this machine (threat 24).
  for (const char* text : {"oci:/etc", "stack:host/build", "docker-archive:/x/y.tar"})
    CHECK(refusal(fmt::format("FROM {}\n", text)).find("4 | Dockerfile:1:6: ") == 0);
}

TEST_CASE("F6: scratch is empty, with a working directory and a PATH; catalogue 72") {
  const Compiled result = compiled("FROM scratch\nENV foo=bar\n");
  CHECK(result.root == nullptr);
  CHECK(result.layers.empty());
  CHECK_FALSE(result.base);
  CHECK(result.config.diff_ids.empty());
  CHECK(result.config.config.working_dir == "/");
  CHECK(*oci::find_env(result.config.config.env, "PATH") == oci::default_path);
  REQUIRE(result.config.history.size() == 1);
  CHECK(result.config.history[0].empty_layer);
  CHECK(result.config.history[0].created_by == "ENV foo=bar");
  CHECK(result.config.history[0].comment == "buildkit.dockerfile.v0");
}

TEST_CASE("catalogue 72: an image without layers as base is empty too") {
  Given given;
  oci::ImageConfig config = base_config();
  config.diff_ids.clear();
  config.history = {{"", "ENV foo=bar", "", "", true}};
  config.config.labels = {{"a", "1"}, {"b", "2"}};
  given.images[hub("meta:latest")] = config;
  const Compiled result = given.compile("FROM meta\nLABEL b=3\nCOPY f /\n");
  CHECK(files(result.root).on_scratch);
  CHECK(result.layers.size() == 1);
  CHECK(result.config.config.labels == std::map<std::string, std::string>{{"a", "1"}, {"b", "3"}});
}

TEST_CASE("F7: a base's config is inherited, its created is not, PATH is added when missing") {
  Given given;
  oci::ImageConfig config = base_config();
  config.author = "them";
  config.config.env = {{"A", "1"}};
  config.config.user = "app";
  config.config.working_dir = "srv";
  config.config.cmd = Texts{"c"};
  config.config.entrypoint = Texts{"e"};
  config.config.shell = {"/bin/bash", "-c"};
  config.config.stop_signal = "QUIT";
  config.config.volumes = {"/v"};
  config.config.exposed_ports = {"1/tcp"};
  config.config.healthcheck = oci::Healthcheck{{"NONE"}, 0, 0, 0, 0, 0};
  config.config.unknown = {{"Image", "x"}};
  config.unknown = {{"os.features", {"f"}}, {"moby.buildkit.cache.v0", "x"}, {"container", "y"}};
  given.images[hub("base:latest")] = config;
  const Compiled result = given.compile("FROM base\nRUN x\n");
  const oci::RunConfig& run = result.config.config;
  CHECK(result.config.created.empty());
  CHECK(result.config.author == "them");
  CHECK(run.env == oci::EnvList{{"A", "1"}, {"PATH", oci::default_path}});
  CHECK(run.user == "app");
  CHECK(run.working_dir == "/srv");
  CHECK(run.cmd == Texts{"c"});
  CHECK(run.entrypoint == Texts{"e"});
  CHECK(run.stop_signal == "QUIT");
  CHECK(run.volumes.contains("/v"));
  CHECK(run.exposed_ports.contains("1/tcp"));
  CHECK(run.healthcheck->test == Texts{"NONE"});
  CHECK(run.unknown.empty());
  CHECK(result.config.unknown == Json{{"os.features", {"f"}}});
  CHECK(result.config.diff_ids == config.diff_ids);
  CHECK(result.config.history.size() == 2);
  CHECK(exec(result.root).argv == Texts{"/bin/bash", "-c", "x"});
  CHECK(exec(result.root).user == "app");
  CHECK(exec(result.root).cwd == "/srv");
}

TEST_CASE("S1: unreachable stages need no base and run nothing") {
  Given given;
  const Compiled result = given.compile(
      "FROM nobody/has-this AS unused\nRUN x\nFROM a AS used\nRUN y\nFROM b\nCOPY --from=used / "
      "/\n");
  CHECK(given.asked == Texts{hub("a:latest") + " linux/amd64", hub("b:latest") + " linux/amd64"});
  CHECK(titles(result) == Texts{"[used 1/2] FROM " + pinned("a:latest"), "[used 2/2] RUN y",
                                "[stage-2 1/2] FROM " + pinned("b:latest"),
                                "[stage-2 2/2] COPY --from=used / /"});
}

TEST_CASE("S1: all bases that are missing are asked for at once") {
  const Dockerfile file = parse(
      "FROM a AS x\nFROM b AS y\nFROM c\nCOPY --from=x / /\n"
      "COPY --from=d / /\nRUN --mount=from=e,target=/e f\n",
      "Dockerfile");
  const auto result = dockerfile::compile(file, Given().options);
  REQUIRE(std::holds_alternative<Missing>(result));
  Texts references;
  for (const BaseRequest& request : std::get<Missing>(result).bases)
    references.push_back(request.reference);
  CHECK(references == Texts{hub("a:latest"), hub("c:latest"), hub("d:latest"), hub("e:latest")});
}

TEST_CASE("catalogue 35: a stage hides the image of its name in --from") {
  Given given;
  const Compiled result =
      given.compile("FROM busybox AS golang\nRUN x\nFROM scratch\nCOPY --from=golang f /\n");
  CHECK(given.asked == Texts{hub("busybox:latest") + " linux/amd64"});
  CHECK(exec(result.root->inputs().at(0)).argv.back() == "x");
}

TEST_CASE("catalogue 36: stage names match in any case in --from and --target, not in FROM") {
  const std::string text =
      "FROM a AS STAge0\nRUN zero\nFROM scratch AS StaGE1\nCOPY --from=staGE0 f /\n";
  CHECK(exec(compiled(text).root->inputs().at(0)).argv.back() == "zero");
  Given given;
  given.options.target = "Stage0";
  CHECK(exec(given.compile(text).root).argv.back() == "zero");
  CHECK(refusal("FROM a AS STAge0\nFROM STAge0\n").find("4 | Dockerfile:2:6: ") == 0);
  CHECK(refusal("FROM a AS STAge0\nFROM STAge0\n")
            .find("stages are named in lower case in FROM: 'stage0'") != std::string::npos);
}

TEST_CASE("catalogue 37: --from of a later stage, an unknown target") {
  CHECK(refusal("FROM a AS one\nCOPY --from=two f /\nFROM b AS two\n",
                [] {
                  Given given;
                  given.options.target = "one";
                  return given;
                }()) ==
        "4 | Dockerfile:2:1: stage 'two' must stand above stage 'one', which takes files from it | "
        "move the stage up");
  Given given;
  given.options.target = "bulid";
  CHECK(refusal("FROM a AS build\nFROM b AS other\n", given) ==
        "2 | Dockerfile has no stage 'bulid' for --target | did you mean 'build'?");
  given.options.target = "0";
  CHECK(refusal("FROM a AS build\n", given) ==
        "2 | Dockerfile has no stage '0' for --target | stages are: build");
  given.options.target = "x";
  CHECK(refusal("FROM a\n", given) ==
        "2 | Dockerfile has no stage 'x' for --target | no stage has "
        "a name; write 'FROM image AS name'");
}

TEST_CASE("C2: --from takes a number, counted in the file's order") {
  CHECK(exec(compiled("FROM a\nRUN zero\nFROM b\nRUN one\nFROM scratch\nCOPY --from=1 f /\n")
                 .root->inputs()
                 .at(0))
            .argv.back() == "one");
  CHECK(refusal("FROM a\nFROM b\nCOPY --from=2 f /\n") ==
        "4 | Dockerfile:3:13: there is no stage 2 | stages count from 0; the file has 2");
  CHECK(refusal("FROM a\nCOPY --from=-1 f /\n").find("there is no stage -1") != std::string::npos);
}

TEST_CASE("C2: of stages with one name the last is meant by --from, an earlier one by FROM") {
  CHECK(refusal("FROM a AS x\nFROM b AS y\nCOPY --from=x f /\nFROM c AS x\n",
                [] {
                  Given given;
                  given.options.target = "y";
                  return given;
                }())
            .find("stage 'x' must stand above stage 'y'") != std::string::npos);
  CHECK(exec(compiled("FROM a AS x\nRUN first\nFROM x\nRUN second\nFROM c AS x\nFROM x AS end\n"
                      "COPY --from=1 f /\n")
                 .root->inputs()
                 .at(1))
            .argv.back() == "second");
}

TEST_CASE("F3: a stage's own name in its FROM is an image") {
  Given given;
  given.compile("FROM debian AS debian\nRUN x\n");
  CHECK(given.asked == Texts{hub("debian:latest") + " linux/amd64"});
}

TEST_CASE("S2: circles and stages that need themselves are refused before anything is asked for") {
  const std::string text =
      "FROM a AS one\nCOPY --from=two f /\nFROM b AS two\nCOPY --from=three f /\nFROM c AS three\n"
      "COPY --from=one f /\n";
  const Dockerfile file = parse(text, "Dockerfile");
  CHECK_THROWS_WITH(dockerfile::compile(file, Given().options),
                    "Dockerfile:6:1: stages need each other in a circle: one → two → three → one");
  CHECK(refusal("FROM a AS x\nCOPY --from=x f /\n") ==
        "4 | Dockerfile:2:1: stage 'x' needs itself | files of the same stage are there already; "
        "another stage or image is meant");
  CHECK(refusal("FROM a\nRUN x\nCOPY --from=0 f /\n")
            .find("4 | Dockerfile:3:1: the stage at line 1 needs itself") == 0);
  CHECK(refusal("FROM a AS one\nRUN --mount=from=two,target=/x y\nFROM one AS two\n")
            .find("stages need each other in a circle: one → two → one") != std::string::npos);
}

TEST_CASE("S5: without cache are all steps, or those of the stages named") {
  const std::string text = "FROM a AS s1\nRUN x\nFROM a AS s2\nRUN y\nCOPY --from=s1 f /\n";
  const auto ignoring = [&](Given given) {
    Texts found;
    for (const Step& step : given.compile(text).steps)
      if (step.node->description().ignore_cache) found.push_back(step.title.substr(0, 8));
    return found;
  };
  CHECK(ignoring({}).empty());
  Given all, one;
  all.options.no_cache = true;
  one.options.no_cache_stages = {"S1"};
  CHECK(ignoring(all) == Texts{"[s1 2/2]", "[s2 2/3]", "[s2 3/3]"});
  CHECK(ignoring(one) == Texts{"[s1 2/2]"});
  // It says nothing about what the step is.
  CHECK(all.compile(text).root->digest() == one.compile(text).root->digest());
}

TEST_CASE("S7: titles count the base and the steps, numbers are padded") {
  std::string text = "FROM a AS build\nENV x=1\n";
  for (int i = 0; i < 9; ++i) text += "RUN x\n";
  const Compiled result = compiled(text + "FROM scratch\nCOPY --from=build f /\n");
  CHECK(titles(result).at(0) == "[build  1/10] FROM " + pinned("a:latest"));
  CHECK(titles(result).at(9) == "[build 10/10] RUN x");
  CHECK(titles(result).at(10) == "[stage-1 1/1] COPY --from=build f /");
  Given given;
  given.options.several_platforms = true;
  given.options.platform = oci::parse_platform("linux/arm64", {});
  CHECK(titles(given.compile("from a\nrun echo \\\n  two\n")).at(1) ==
        "[linux/arm64 2/2] RUN echo   two");
  CHECK(given.compile("FROM a\nRUN x\n").root->description().file == "Dockerfile:2");
}

TEST_CASE("catalogue 76: a named context replaces the stage of its name") {
  Given given = with_context("base", {NamedContext::Kind::image, "x:1"});
  given.options.contexts["unused"] = {NamedContext::Kind::image, "No Reference"};
  const Compiled result = given.compile("FROM busybox AS base\nRUN skipped\nFROM base\nRUN kept\n");
  CHECK(given.asked == Texts{hub("x:1") + " linux/amd64"});
  CHECK(image(result.root->inputs().at(0)).reference == pinned("x:1"));
  CHECK(result.steps.size() == 2);
}

TEST_CASE("S3: named contexts stand for images in FROM, --from and mounts, in any spelling") {
  for (const char* name : {"alpine", "alpine:latest"}) {
    Given given = with_context(name, {NamedContext::Kind::image, "mirror.example/a:2"});
    const Compiled result = given.compile("FROM alpine\nCOPY --from=" + hub("alpine") +
                                          " f /\nRUN --mount=from=alpine:latest,target=/m x\n");
    CHECK(given.asked == Texts{"mirror.example/a:2 linux/amd64"});
    CHECK(result.root->inputs().size() == 2);
  }
  Given given = with_context("alpine", {NamedContext::Kind::image, "mirror.example/a:2"});
  given.compile("FROM alpine:3\n");
  CHECK(given.asked == Texts{hub("alpine:3") + " linux/amd64"});
}

TEST_CASE("S3: a context for the platform comes first") {
  Given given = with_context("alpine", {NamedContext::Kind::image, "any"});
  given.options.contexts["alpine::linux/aarch64"] = {NamedContext::Kind::image, "arm"};
  given.compile("FROM --platform=linux/arm64 alpine AS x\nFROM alpine\nCOPY --from=x / /\n");
  CHECK(given.asked ==
        Texts{hub("any:latest") + " linux/amd64", hub("arm:latest") + " linux/arm64"});
}

TEST_CASE("S3: scratch and context cannot be replaced, an image may be scratch") {
  Given given = with_context("scratch", {NamedContext::Kind::image, "x"});
  CHECK(given.compile("FROM scratch\n").root == nullptr);
  CHECK(with_context("base", {NamedContext::Kind::image, "scratch"})
            .compile("FROM base\nENV a=b\n")
            .root == nullptr);
}

TEST_CASE("S3: directories, git repositories, URLs and layouts as contexts") {
  Given local = with_context("assets", {NamedContext::Kind::local, "assets-dir"});
  const Compiled copied = local.compile("FROM scratch\nCOPY --from=assets f /\n");
  CHECK(std::get<graph::LocalOp>(copied.root->inputs().at(0)->op()).name == "assets-dir");
  CHECK(copied.local_contexts == std::set<std::string>{"assets-dir"});
  CHECK(copied.context_paths.empty());

  const Compiled based = local.compile("FROM assets\nRUN x\n");
  CHECK(based.layers.size() == 2);
  CHECK(*oci::find_env(based.config.config.env, "PATH") == oci::default_path);

  Given git = with_context("src", {NamedContext::Kind::git, "https://h.example/r.git#v1:sub"});
  const Compiled from_git = git.compile("FROM scratch\nCOPY --from=src f /\n");
  const auto& op = std::get<graph::GitOp>(from_git.root->inputs().at(0)->op());
  CHECK(op.url == "https://h.example/r.git");
  CHECK(op.ref == "v1");
  CHECK(op.subdir == "sub");

  Given http = with_context("tar", {NamedContext::Kind::http, "https://u:p@h.example/a.tgz"});
  const graph::NodeRef tree =
      http.compile("FROM scratch\nCOPY --from=tar f /\n").root->inputs().at(0);
  CHECK(action(tree).unpack);
  CHECK(std::get<graph::HttpOp>(tree->inputs().at(0)->op()).filename == "context");
  CHECK(tree->description().title.find("u:p") == std::string::npos);

  Given layout = with_context("base", {NamedContext::Kind::oci_layout, "oci:/srv/base"});
  layout.compile("FROM base\n");
  CHECK(layout.asked == Texts{"oci:/srv/base linux/amd64"});
  Given stack = with_context("debian:12", {NamedContext::Kind::image, "stack:debian-12/build"});
  stack.compile("FROM debian:12\n");
  CHECK(stack.asked == Texts{"stack:debian-12/build linux/amd64"});
}

TEST_CASE("F5: --platform, else the target's; what is none is refused") {
  Given given;
  given.options.platform = oci::parse_platform("linux/arm64", {});
  const Compiled result = given.compile(
      "FROM --platform=$BUILDPLATFORM a AS tools\nRUN x\nFROM b\nCOPY --from=tools f /\n"
      "COPY --from=c f /\n");
  CHECK(given.asked == Texts{hub("a:latest") + " linux/amd64", hub("b:latest") + " linux/arm64",
                             hub("c:latest") + " linux/arm64"});
  CHECK(result.config.platform.to_string() == "linux/arm64");
  CHECK(refusal("FROM --platform= a\n").find("4 | Dockerfile:1:") == 0);
  CHECK(refusal("FROM --platform=$NONE a\n").find("--platform=$NONE expands to nothing") !=
        std::string::npos);
  CHECK(refusal("FROM --platform=$BUILDPLATFROM a\n").find("did you mean 'BUILDPLATFORM'?") !=
        std::string::npos);
  CHECK(refusal("FROM --platform=lin/ux/a/b a\n") ==
        "4 | Dockerfile:1:17: 'lin/ux/a/b' is no platform: it has more than three parts | write "
        "os/architecture, such as linux/amd64 or linux/arm64");
}

TEST_CASE("F5: without --platform a base for another platform that runs here is adopted") {
  Given given;
  oci::ImageConfig config = base_config();
  config.platform = {"linux", "arm64", "v8", ""};
  given.images[hub("arm:latest")] = config;
  given.options.emulated_platforms = {{"linux", "arm64", "", ""}};
  const Compiled adopted = given.compile("FROM arm\nRUN x\n");
  CHECK(image(adopted.root->inputs().at(0)).platform == "linux/arm64");
  CHECK(adopted.findings.empty());
  CHECK(adopted.config.platform.to_string() == "linux/arm64");

  given.options.emulated_platforms.clear();
  const Compiled mismatch = given.compile("FROM arm\nRUN x\n");
  CHECK(image(mismatch.root->inputs().at(0)).platform == "linux/amd64");
  CHECK(
      findings(mismatch) ==
      Texts{"InvalidBaseImagePlatform@1: arm is an image for linux/arm64/v8, not for linux/amd64"});
}

TEST_CASE("F8: with --platform the image says so, variants are kept when the rest agrees") {
  Given given;
  oci::ImageConfig config = base_config();
  config.platform = {"linux", "arm", "v6", ""};
  given.images[hub("arm:latest")] = config;
  given.options.platform = oci::Platform{"linux", "arm", "", ""};
  CHECK(given.compile("FROM arm\n").config.platform.to_string() == "linux/arm/v6");
  given.options.platform = oci::Platform{"linux", "amd64", "", ""};
  CHECK(given.compile("FROM arm\n").config.platform.to_string() == "linux/amd64");
}

TEST_CASE("catalogue 67: triggers of a base stage run once, before the stage's own steps (I14)") {
  const Compiled result = compiled(
      "FROM a AS base\nONBUILD RUN trigger\nRUN own\nFROM base AS mid\nRUN mid\nFROM mid\nRUN "
      "last\n");
  Texts commands;
  for (const graph::NodeRef& layer : result.layers) commands.push_back(exec(layer).argv.back());
  CHECK(commands == Texts{"own", "trigger", "mid", "last"});
  CHECK(titles(result).at(2) == "[mid 1/2] ONBUILD RUN trigger");
  CHECK(result.config.config.on_build.empty());
  // ONBUILD and FROM leave no history.
  CHECK(history(result).size() == 5);
  Given given;
  given.options.target = "base";
  CHECK(given.compile("FROM a AS base\nONBUILD RUN trigger\nFROM b\n").config.config.on_build ==
        Texts{"RUN trigger"});
}

TEST_CASE("catalogue 67: a base image's triggers may ask for more images") {
  Given given = with_triggers({"COPY --from=alpine /f /f", "ENV t=1", "RUN <<E\necho $t\nE"});
  const Compiled result = given.compile("FROM base\nRUN own\n");
  CHECK(given.asked ==
        Texts{hub("base:latest") + " linux/amd64", hub("alpine:latest") + " linux/amd64"});
  REQUIRE(result.layers.size() == 3);
  CHECK(action(result.layers[0]).source == "/f");
  CHECK(exec(result.layers[1]).argv.back() == "echo $t\n");
  CHECK(env(exec(result.layers[2])) == "PATH=/base/bin t=1");
  CHECK(result.config.config.on_build.empty());
  // Names mean the child's stages.
  const Compiled named = given.compile("FROM scratch AS alpine\nCOPY f /\nFROM base\nRUN own\n");
  CHECK(files(named.layers[0]).actions.at(0).source == "/f");
  CHECK(files(named.layers[0].get()->inputs().at(1)).on_scratch);
}

TEST_CASE("I14: mistakes in a trigger stand at the FROM that fired it") {
  CHECK(refusal("FROM a\nFROM base AS x\n", with_triggers({"COPY --from=$X a b"}))
            .find("4 | Dockerfile:2:1: --from=$X holds a variable or quotes (in the base's trigger "
                  "'ONBUILD COPY --from=$X a b')") == 0);
  CHECK(refusal("FROM base\n", with_triggers({"NOSUCH a"}))
            .find("4 | Dockerfile:1:1: unknown instruction 'NOSUCH' (in the base's trigger "
                  "'ONBUILD NOSUCH a')") == 0);
  CHECK(refusal("FROM base\n", with_triggers({"ONBUILD RUN x"}))
            .find("4 | Dockerfile:1:1: ONBUILD cannot ") == 0);
  CHECK(refusal("FROM base\n", with_triggers({"RUN a\nRUN b"}))
            .find("an ONBUILD trigger is a single instruction") != std::string::npos);
  CHECK(refusal("FROM base\n", with_triggers({"RUN a"})) == "no error");
}

TEST_CASE("I14: named contexts fire triggers too") {
  Given given = with_triggers({"RUN trigger"});
  given.options.contexts["ctx"] = {NamedContext::Kind::image, "base"};
  CHECK(exec(given.compile("FROM ctx\n").root).argv.back() == "trigger");
  CHECK(exec(given.compile("FROM a AS ctx\nRUN no\nFROM ctx AS x\n").root).argv.back() ==
        "trigger");
}

TEST_CASE("labels of the command line win (I4)") {
  Given given;
  given.options.labels = {{"a", "line"}, {"c", "new"}};
  CHECK(given.compile("FROM a\nLABEL a=file b=file\n").config.config.labels ==
        std::map<std::string, std::string>{{"a", "line"}, {"b", "file"}, {"c", "new"}});
}

TEST_CASE("a thousand stages, one on the other and all from one, cost no stack and little time") {
  std::string chain = "FROM a AS s0\nRUN x\n", star = "FROM a AS base\nENV x=1\n";
  for (int i = 1; i < 1000; ++i) {
    chain += fmt::format("FROM s{0} AS s{1}\nENV e{1}=1\nRUN x\nCOPY --from=s{0} f /\n", i - 1, i);
    star += fmt::format("FROM base AS s{}\nRUN x\n", i);
  }
  star += "FROM scratch\n";
  for (int i = 1; i < 1000; ++i) star += fmt::format("COPY --from=s{0} f /{0}\n", i);
  const auto start = std::chrono::steady_clock::now();
  const Compiled chained = compiled(chain);
  CHECK(chained.layers.size() == 1999);
  CHECK(chained.config.history.size() == 2999);
  CHECK(compiled(star).layers.size() == 999);
  // 10,000 stages that lead nowhere, and a circle through all of them.
  std::string round;
  for (int i = 0; i < 10'000; ++i)
    round += fmt::format("FROM a AS r{}\nCOPY --from=r{} f /\n", i, (i + 1) % 10'000);
  CHECK(refusal(round).find("stages need each other in a circle") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("targets: names with the comments above them, the last is the default") {
  const std::vector<Target> found = targets(
      parse("# build compiles it\nFROM a AS build\n# something else\nFROM b AS Run\nFROM c\n",
            "Dockerfile"));
  REQUIRE(found.size() == 3);
  CHECK(found[0].name == "build");
  CHECK(found[0].description == "compiles it");
  CHECK_FALSE(found[0].is_default);
  CHECK(found[1].name == "run");
  CHECK(found[1].description.empty());
  CHECK(found[2].is_default);
}
