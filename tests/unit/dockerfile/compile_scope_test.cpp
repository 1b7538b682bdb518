// ARG, ENV and what expands (dockerfile.md §2.2, §2.3; rows of the catalogue by number).
#include "compile_helpers.h"

using namespace compiling;

namespace {

// The environment of the last RUN without PATH.
std::string run_env(const std::string& text, Given given = {}) {
  std::string told = env(exec(given.compile(text).root));
  const std::string path = "PATH=/base/bin";
  REQUIRE(told.starts_with(path));
  return told.size() == path.size() ? "" : told.substr(path.size() + 1);
}

Given with_args(std::map<std::string, std::string> args) {
  Given given;
  given.options.build_args = std::move(args);
  return given;
}

}  // namespace

TEST_CASE("catalogue 26: a global default that demands a value (V2, V17)") {
  const std::string text = "ARG FOO=${FOO:?\"custom error\"}\nFROM a\nARG FOO\nRUN x\n";
  CHECK(refusal(text) == "4 | Dockerfile:1:9: FOO: custom error");
  CHECK(run_env(text, with_args({{"FOO", "f"}})) == "FOO=f");
}

TEST_CASE("catalogue 27: several ARGs in a line inherit the globals") {
  CHECK(run_env("ARG a1=1\nARG a2=2\nARG a3=\"$a2-foo\"\nFROM a\nARG a3 a4=\"123 456\" a1\n"
                "RUN x\n") == "a3=2-foo a4=123 456 a1=1");
}

TEST_CASE("catalogue 28: an ARG without a value is no variable, an empty one is") {
  CHECK(run_env("FROM a\nARG FOO\nARG BAR=\nRUN env\n") == "BAR=");
}

TEST_CASE("catalogue 29: proxies need no ARG and are outside the key (V21)") {
  const std::string text = "FROM a\nRUN echo $HTTP_PROXY\n";
  const Compiled plain = compiled(text);
  Given given = with_args({{"http_proxy", "http://p:1"}, {"NO_PROXY", "x"}});
  const Compiled proxied = given.compile(text);
  CHECK(proxied.root->digest() == plain.root->digest());
  CHECK(env(exec(proxied.root)) == "PATH=/base/bin");
  CHECK(exec(proxied.root).proxy_env ==
        std::vector<std::pair<std::string, std::string>>{{"HTTP_PROXY", "http://p:1"},
                                                         {"http_proxy", "http://p:1"},
                                                         {"NO_PROXY", "x"},
                                                         {"no_proxy", "x"}});
  CHECK(history(proxied) == history(plain));
  CHECK(proxied.unused_build_args.empty());
  // Declared, it is an ordinary ARG.
  CHECK(env(exec(given.compile("FROM a\nARG http_proxy\nRUN x\n").root)) ==
        "PATH=/base/bin http_proxy=http://p:1");
}

TEST_CASE("catalogue 30: TARGETSTAGE is the target, or 'default' (V22)") {
  const std::string text = "FROM a AS one\nRUN x\nFROM a\nARG TARGETSTAGE\nRUN y\n";
  CHECK(run_env(text) == "TARGETSTAGE=default");
  Given given;
  given.options.target = "one";
  CHECK(run_env("FROM a AS one\nRUN echo $TARGETSTAGE\n", given).empty());
  CHECK(run_env("FROM a AS one\nARG TARGETSTAGE\nRUN y\nFROM b\n", given) == "TARGETSTAGE=one");
  CHECK(run_env("FROM a AS last\nARG TARGETSTAGE\nRUN y\n") == "TARGETSTAGE=last");
}

TEST_CASE("catalogue 31: platform args are replaced one by one") {
  Given given = with_args({{"TARGETOS", "freebsd"}});
  given.options.platform = oci::parse_platform("darwin/ppc64le", {});
  CHECK(run_env("FROM a\nARG TARGETPLATFORM TARGETOS TARGETARCH BUILDPLATFORM\nRUN x\n", given) ==
        "TARGETPLATFORM=darwin/ppc64le TARGETOS=freebsd TARGETARCH=ppc64le "
        "BUILDPLATFORM=linux/amd64");
}

TEST_CASE("BUILDPLATFORM has no OS version, TARGETPLATFORM has it (V22)") {
  Given given;
  given.options.build_platform = {"windows", "amd64", "", "10.0.1"};
  const Compiled result =
      given.compile("FROM a\nARG BUILDPLATFORM TARGETPLATFORM TARGETOSVERSION\nRUN x\n");
  CHECK(env(exec(result.root)) ==
        "PATH=/base/bin BUILDPLATFORM=windows/amd64 TARGETPLATFORM=windows(10.0.1)/amd64 "
        "TARGETOSVERSION=10.0.1");
}

TEST_CASE("catalogue 32: platform args name stages in FROM without ARG") {
  const Compiled result = compiled(
      "FROM a AS build-linux\nRUN one\nFROM a AS build-darwin\nRUN two\nFROM build-${TARGETOS}\n");
  CHECK(exec(result.root).argv == Texts{"/bin/sh", "-c", "one"});
}

TEST_CASE("V13: an instruction sees the environment from before it") {
  CHECK(run_env("FROM a\nENV a=1\nENV a=2 b=$a\nRUN x\n") == "a=2 b=1");
}

TEST_CASE(
    "V15: globals see platform args and earlier globals, build args replace them as they are") {
  Given given = with_args({{"A", "$B"}});
  CHECK(run_env("ARG B=1\nARG A=x\nARG C=$A-$TARGETARCH-$D\nARG D=2\nFROM a\nARG A B C D\nRUN x\n",
                given) == "A=$B B=1 C=$B-amd64- D=2");
  // A global is not visible in a stage that does not declare it.
  CHECK(run_env("ARG G=1\nFROM a\nENV x=[$G]\nRUN x\n") == "x=[]");
}

TEST_CASE("V16: build arg before the stage's default before the global") {
  const std::string text = "ARG X=global\nFROM a\nARG X=stage\nRUN x\n";
  CHECK(run_env(text) == "X=stage");
  CHECK(run_env(text, with_args({{"X", "given"}})) == "X=given");
  CHECK(run_env("ARG X=global\nFROM a\nARG X\nRUN x\n") == "X=global");
}

TEST_CASE("V17: a default that does not count is not looked at") {
  CHECK(run_env("FROM a\nARG BAR=${FOO:?missing}\nRUN x\n", with_args({{"BAR", "b"}})) == "BAR=b");
  CHECK(refusal("FROM a\nARG BAR=${FOO:?missing}\nRUN x\n") == "4 | Dockerfile:2:9: FOO: missing");
}

TEST_CASE("V18: an ARG counts from its line on, in stages on top too, and no further") {
  CHECK(run_env("FROM a AS one\nARG X=1\nFROM one\nRUN x\n") == "X=1");
  CHECK(run_env("FROM a AS one\nARG X=1\nFROM a\nCOPY --from=one /f /f\nRUN x\n").empty());
  const Compiled result = compiled("FROM a\nRUN one\nARG X=1\nRUN two\n");
  CHECK(env(exec(result.layers.at(0))) == "PATH=/base/bin");
  CHECK(env(exec(result.layers.at(1))) == "PATH=/base/bin X=1");
}

TEST_CASE("V19: of ENV and ARG the later one counts while building, ENV alone stays in the image") {
  const Compiled arg_last = compiled("FROM a\nENV X=env\nARG X=arg\nRUN x\n");
  CHECK(env(exec(arg_last.root)) == "PATH=/base/bin X=arg");
  CHECK(*oci::find_env(arg_last.config.config.env, "X") == "env");
  const Compiled env_last = compiled("FROM a\nARG X=arg\nENV X=env\nRUN x\n");
  CHECK(env(exec(env_last.root)) == "PATH=/base/bin X=env");
  const Compiled only = compiled("FROM a\nARG X=arg\nRUN x\n");
  CHECK(oci::find_env(only.config.config.env, "X") == nullptr);
  Given given;
  given.images[hub("a:latest")] = base_config();
  given.images[hub("a:latest")].config.env.emplace_back("X", "base");
  CHECK(env(exec(given.compile("FROM a\nARG X=arg\nRUN x\n").root)) == "PATH=/base/bin X=arg");
}

TEST_CASE("V20: build args that nothing declares are told, not refused") {
  Given given = with_args({{"X", "1"}, {"Y", "2"}, {"TARGETOS", "x"}, {"BUILDKIT_SYNTAX", "s"}});
  const Compiled result = given.compile("ARG Y\nFROM a\nRUN x\nFROM a\nRUN z\n");
  CHECK(result.unused_build_args == std::set<std::string>{"X"});
  CHECK(env(exec(result.root)) == "PATH=/base/bin");
}

TEST_CASE("V24: BUILDKIT_SBOM_SCAN_STAGE is in no environment") {
  const Compiled result = compiled("FROM a\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n");
  CHECK(env(exec(result.root)) == "PATH=/base/bin");
  CHECK(history(result).back() == "RUN |1 BUILDKIT_SBOM_SCAN_STAGE=true /bin/sh -c x # buildkit");
}

TEST_CASE("V25: SOURCE_DATE_EPOCH as build arg, global default, option; numbers alone") {
  const std::string text = "FROM a\nARG SOURCE_DATE_EPOCH\nWORKDIR /w\nRUN x\n";
  const auto epoch = [](Given given, const std::string& dockerfile) {
    return given.compile(dockerfile).source_date_epoch;
  };
  CHECK(epoch(with_args({{"SOURCE_DATE_EPOCH", "100"}}), text) == 100);
  CHECK(epoch({}, "ARG SOURCE_DATE_EPOCH=7\n" + text) == 7);
  CHECK(epoch(with_args({{"SOURCE_DATE_EPOCH", ""}}), "ARG SOURCE_DATE_EPOCH=7\n" + text) ==
        std::nullopt);
  CHECK(epoch({}, text) == std::nullopt);
  Given given;
  given.options.source_date_epoch = 1234567890;
  const Compiled result = given.compile(text);
  CHECK(env(exec(result.root)) == "PATH=/base/bin SOURCE_DATE_EPOCH=1234567890");
  CHECK(result.config.history.at(0).created == "2020-01-01T00:00:00Z");
  CHECK(result.config.history.at(1).created == "2009-02-13T23:31:30Z");
  CHECK(action(result.layers.at(0)).timestamp_ns == 1'234'567'890'000'000'000);
  // A local directory has no time of its own; other names would have to be asked.
  CHECK(epoch(with_args({{"SOURCE_DATE_EPOCH", "context"}}), text) == std::nullopt);
  for (const char* bad : {"yesterday", "1.5", "-1", "99999999999999999999", "9223372037"})
    CHECK(refusal(text, with_args({{"SOURCE_DATE_EPOCH", bad}}))
              .find(fmt::format("4 | Dockerfile: SOURCE_DATE_EPOCH is '{}'; only seconds since "
                                "1970 are understood",
                                bad)) == 0);
}

TEST_CASE("V11: what expands") {
  Given given;
  const Compiled result = given.compile(
      "FROM a\nARG v=x u=1000\nENV k$v=$v\nLABEL l$v=$v\nWORKDIR /$v\nUSER $u\nVOLUME /$v\n"
      "STOPSIGNAL SIG${v:+TERM}\nEXPOSE ${u}/tcp\n"
      "COPY --chown=$u --chmod=${u} s$v d$v\n"
      "ADD --checksum=sha256:${v:+" +
      std::string(64, 'a') + "} http://h/$v /$v\n");
  const oci::RunConfig& config = result.config.config;
  CHECK(*oci::find_env(config.env, "kx") == "x");
  CHECK(config.labels.at("lx") == "x");
  CHECK(config.working_dir == "/x");
  CHECK(config.user == "1000");
  CHECK(config.volumes == std::set<std::string>{"/x"});
  CHECK(config.stop_signal == "SIGTERM");
  CHECK(config.exposed_ports == std::set<std::string>{"1000/tcp"});
}

TEST_CASE("V12: what does not expand") {
  const Compiled result = compiled(
      "FROM a\nARG v=x\nSHELL [\"/bin/$v\", \"-c\"]\nRUN echo $v\nCMD $v\nENTRYPOINT [\"$v\"]\n"
      "HEALTHCHECK CMD $v\nCOPY --exclude=$v . /\nONBUILD RUN $v\nMAINTAINER $v\n");
  const oci::RunConfig& config = result.config.config;
  CHECK(exec(result.layers.at(0)).argv == Texts{"/bin/$v", "-c", "echo $v"});
  CHECK(config.entrypoint == Texts{"$v"});
  CHECK(config.cmd == Texts{"/bin/$v", "-c", "$v"});
  CHECK(config.healthcheck->test == Texts{"CMD-SHELL", "$v"});
  CHECK(action(result.layers.at(1)).exclude == Texts{"$v"});
  CHECK(config.on_build == Texts{"RUN $v"});
  CHECK(result.config.author == "$v");
}

TEST_CASE("hidden build args are in the environment and the config, never in history or titles") {
  Given given = with_args({{"SECRET_KEY_BASE", "s3cret"}, {"OPEN", "o"}});
  given.options.hidden_args = {{"SECRET_KEY_BASE", "<config var>"}};
  const Compiled result = given.compile(
      "ARG SECRET_KEY_BASE\nFROM a\nARG SECRET_KEY_BASE OPEN\nARG DERIVED=\"a-$SECRET_KEY_BASE\"\n"
      "ENV COPIED=$DERIVED PLAIN=$OPEN\nLABEL l=$COPIED\nRUN use $SECRET_KEY_BASE $OPEN\n"
      "COPY f$COPIED /$SECRET_KEY_BASE/\nVOLUME /v/$SECRET_KEY_BASE\n");
  CHECK(env(exec(result.layers.at(0))) ==
        "PATH=/base/bin SECRET_KEY_BASE=s3cret OPEN=o DERIVED=a-s3cret COPIED=a-s3cret PLAIN=o");
  CHECK(history(result) ==
        Texts{"ADD rootfs", "ARG SECRET_KEY_BASE=<config var> OPEN=o", "ARG DERIVED=a-<config var>",
              "ENV COPIED=a-<config var> PLAIN=o", "LABEL l=a-<config var>",
              "RUN |3 SECRET_KEY_BASE=<config var> OPEN=o DERIVED=a-<config var> /bin/sh -c use "
              "$SECRET_KEY_BASE $OPEN # buildkit",
              "COPY fa-<config var> /<config var>/ # buildkit", "VOLUME [/v/<config var>]"});
  CHECK(titles(result) == Texts{"[1/3] FROM " + hub("a:latest") + "@sha256:" + std::string(64, 'd'),
                                "[2/3] RUN use <config var> o",
                                "[3/3] COPY fa-<config var> /<config var>/"});
  CHECK(*oci::find_env(result.config.config.env, "COPIED") == "a-s3cret");
}

TEST_CASE("hidden build args: a pattern that fits the value alone hides the whole word") {
  Given given = with_args({{"K", "value"}});
  given.options.hidden_args = {{"K", ""}};
  const Compiled result = given.compile("FROM a\nARG K\nENV X=${K:?must}\n");
  CHECK(*oci::find_env(result.config.config.env, "X") == "value");
  CHECK(history(result).back() == "ENV X=<hidden>");
}

TEST_CASE("variables that grow without end are refused (threat 21)") {
  std::string text = "FROM a\nARG a=0123456789abcdef\n";
  for (int i = 0; i < 16; ++i) text += "ARG a=$a$a\n";
  CHECK(refusal(text + "LABEL x=$a$a$a$a$a\n") ==
        "4 | Dockerfile:19:17: the values of variables here are longer than 4M together");
  for (int i = 0; i < 40; ++i) text += "ARG a=$a$a\n";
  CHECK(refusal(text).find("4 | Dockerfile:19:1: the image's history is larger than 4M") == 0);
}

TEST_CASE("ARG cycles are none: every default sees what stands above it alone") {
  CHECK(
      run_env("ARG a=1$b\nARG b=2$a\nARG a=3$b\nFROM x\nARG a b\nARG c=$c$d\nARG d=4$c\nRUN x\n") ==
      "a=321 b=21 c= d=4");
  CHECK(run_env("FROM x\nENV a=$a$a\nENV a=1$a b=$b\nRUN x\n") == "a=1 b=");
}
