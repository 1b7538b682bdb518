// Findings that need scopes, and which of them are told (dockerfile.md §5, P10).
#include "compile_helpers.h"
#include "dockerfile/lint.h"

using namespace compiling;

namespace {

Texts rules(const std::string& text, Given given = {}) {
  Texts told;
  for (const Finding& finding : given.compile(text).findings)
    told.push_back(fmt::format("{}@{}", finding.rule, finding.lines.first));
  return told;
}

}  // namespace

TEST_CASE("UndefinedVar: unset and not declared, with the nearest name (V14)") {
  CHECK(findings(compiled("FROM a\nENV FOO=1\nLABEL x=$FOOO y=${BAR:-z} z=$FOO\n")) ==
        Texts{"UndefinedVar@3: '$FOOO' is not set here; did you mean '$FOO'?"});
  CHECK(rules("FROM a\nARG X\nWORKDIR /$X\n").empty());
  CHECK(rules("FROM a\nCOPY $A $B\nEXPOSE 80$C\nCOPY <<E /\n$D\nE\n") ==
        Texts{"UndefinedVar@2", "UndefinedVar@2", "UndefinedVar@3", "UndefinedVar@4"});
  CHECK(rules("FROM a AS s\nARG X\nFROM s\nLABEL x=$X\n").empty());
  CHECK(rules("ARG X=1\nFROM a\nARG Y=$X\n") == Texts{"UndefinedVar@3"});
}

TEST_CASE("UndefinedArgInFrom, InvalidDefaultArgInFrom") {
  CHECK(rules("FROM a$NONE\n") == Texts{"UndefinedArgInFrom@1"});
  CHECK(rules("FROM --platform=${BUILDPLATFORM}$NONE a\n") == Texts{"UndefinedArgInFrom@1"});
  CHECK(rules("ARG X\nFROM a$X\n").empty());
  Given given;
  given.options.build_args = {{"VERSION", "12"}};
  CHECK(findings(given.compile("ARG VERSION\nFROM debian:${VERSION}\n")) ==
        Texts{"InvalidDefaultArgInFrom@2: with the defaults of its ARGs 'debian:${VERSION}' is no "
              "image's name"});
  CHECK(rules("ARG VERSION=11\nFROM debian:${VERSION}\n", given).empty());
  CHECK(rules("ARG VERSION\nFROM ${VERSION:+x}debian\n", given).empty());
}

TEST_CASE("RedundantTargetPlatform, FromPlatformFlagConstDisallowed") {
  CHECK(rules("FROM --platform=$TARGETPLATFORM a\n") == Texts{"RedundantTargetPlatform@1"});
  CHECK(rules("FROM --platform=${TARGETPLATFORM} a\n") == Texts{"RedundantTargetPlatform@1"});
  CHECK(rules("FROM --platform=$BUILDPLATFORM a\n").empty());
  CHECK(rules("FROM --platform=linux/amd64 a\n") == Texts{"FromPlatformFlagConstDisallowed@1"});
  CHECK(rules("FROM --platform=linux/amd64 a AS build-amd64\n").empty());
  CHECK(rules("FROM --platform=linux/amd64 a AS linux\n").empty());
}

TEST_CASE("SecretsUsedInArgOrEnv: parts of names between underscores") {
  for (const char* name : {"API_KEY", "DATABASE_PASSWORD", "GITHUB_TOKEN", "secret_MESSAGE", "AUTH",
                           "x_pword_y", "APIKEY", "CREDENTIALS"}) {
    CHECK(rules(fmt::format("FROM a\nARG {}\n", name)) == Texts{"SecretsUsedInArgOrEnv@2"});
    CHECK(rules(fmt::format("FROM a\nENV {}=1\n", name)) == Texts{"SecretsUsedInArgOrEnv@2"});
  }
  for (const char* name :
       {"KEYBOARD", "AUTHOR", "PUBLIC_KEY", "KEY_FILE", "TOKEN_VERSION", "MONKEY"})
    CHECK(rules(fmt::format("FROM a\nARG {}\n", name)).empty());
}

TEST_CASE("WorkdirRelativePath: until an absolute one was given in this file") {
  CHECK(rules("FROM a\nWORKDIR x\nWORKDIR y\n") == Texts{"WorkdirRelativePath@2"});
  CHECK(rules("FROM a\nWORKDIR /x\nWORKDIR y\n").empty());
  CHECK(rules("FROM a AS s\nWORKDIR /x\nFROM s\nWORKDIR y\n").empty());
}

TEST_CASE("ExposeInvalidFormat, ExposeProtoCasing") {
  CHECK(rules("FROM a\nEXPOSE 127.0.0.1:80:80\n") == Texts{"ExposeInvalidFormat@2"});
  CHECK(rules("FROM a\nEXPOSE 80:80\n") == Texts{"ExposeInvalidFormat@2"});
  CHECK(rules("FROM a\nEXPOSE 80/TcP\n") == Texts{"ExposeProtoCasing@2"});
  CHECK(rules("FROM a\nEXPOSE 80/tcp\n").empty());
}

TEST_CASE(
    "JSONArgsRecommended: no SHELL was set; MultipleInstructionsDisallowed: the earlier one") {
  CHECK(rules("FROM a\nCMD x\n") == Texts{"JSONArgsRecommended@2"});
  CHECK(rules("FROM a\nSHELL [\"s\"]\nCMD x\n").empty());
  CHECK(rules("FROM a AS s\nSHELL [\"s\"]\nFROM s\nENTRYPOINT x\n").empty());
  CHECK(rules("FROM a\nCMD [\"x\"]\nRUN y\nCMD [\"z\"]\n") ==
        Texts{"MultipleInstructionsDisallowed@2"});
  CHECK(rules("FROM a AS s\nCMD [\"x\"]\nFROM s\nCMD [\"z\"]\n").empty());
}

TEST_CASE("L1: of unreachable stages nothing is told, unless all are examined") {
  const std::string text = "FROM a AS unused\nWORKDIR x\nFROM b\nRUN y\n";
  CHECK(rules(text).empty());
  Given given;
  given.options.all_stages = true;
  CHECK(rules(text, given) == Texts{"WorkdirRelativePath@2"});
}

TEST_CASE("P10: check skips rules, in the directive, the build arg and comments") {
  const std::string body = "FROM a\nWORKDIR x\nENV KEY=$Y\n";
  const Texts all{"WorkdirRelativePath@3", "UndefinedVar@4", "SecretsUsedInArgOrEnv@4"};
  CHECK(rules("# check=skip=NoSuch\n" + body) == all);
  CHECK(rules("# check=skip=UndefinedVar, WorkdirRelativePath\n" + body) ==
        Texts{"SecretsUsedInArgOrEnv@4"});
  CHECK(rules("# check=skip=all\n" + body).empty());
  Given given;
  given.options.build_args = {{"BUILDKIT_DOCKERFILE_CHECK", "skip=UndefinedVar"}};
  CHECK(rules("# check=skip=all\n" + body, given) ==
        Texts{"WorkdirRelativePath@3", "SecretsUsedInArgOrEnv@4"});
  CHECK(rules("FROM a\n# check=skip=WorkdirRelativePath\nWORKDIR x\n").empty());
  CHECK(rules("FROM a\n# check=skip=WorkdirRelativePath\nENV a=1\nWORKDIR x\n") ==
        Texts{"WorkdirRelativePath@4"});
}

TEST_CASE("P10: error=true turns what is told into a failure, after all else") {
  CHECK(refusal("# check=error=true\nFROM a\nWORKDIR x\nCMD y\n") ==
        "4 | Dockerfile:3: WorkdirRelativePath: 'x' counts from the base image's directory, which "
        "may change (check=error=true) | line 4: JSONArgsRecommended: CMD in shell form does not "
        "pass on signals; write it as a JSON array");
  CHECK(refusal("# check=skip=all;error=true\nFROM a\nWORKDIR x\n") == "no error");
  CHECK(refusal("# check=error=true\nFROM a\nWORKDIR x\nUSER -1\n").find("USER '-1'") !=
        std::string::npos);
  CHECK(refusal("# check=nope=1\nFROM a\n") ==
        "4 | Dockerfile:1: check has no option 'nope' | write '# check=skip=<rules>;error=true'");
  CHECK(
      refusal("# check=error=maybe\nFROM a\n").find("check: error is true or false, not 'maybe'") !=
      std::string::npos);
  Given given;
  given.options.build_args = {{"BUILDKIT_DOCKERFILE_CHECK", "nope"}};
  CHECK(refusal("FROM a\n", given)
            .find("2 | --build-arg BUILDKIT_DOCKERFILE_CHECK: check has no option 'nope'") == 0);
}

TEST_CASE("all that compile() finds is a rule") {
  Given given;
  given.options.all_stages = true;
  for (const Finding& finding :
       given
           .compile(
               "# check=experimental=all\n# x\nFROM --platform=linux/amd64 a$N AS b\nWORKDIR x\n"
               "CMD a\nCMD b\nENV KEY=$y\nEXPOSE 1:80/TCP\nCOPY --link --chown=me a b\n")
           .findings)
    CHECK(find_rule(finding.rule) != nullptr);
}

TEST_CASE("a file of mistakes alone is not told in full") {
  std::string text = "FROM a\n";
  for (int i = 0; i < 3000; ++i) text += fmt::format("LABEL x=$v{}\n", i);
  CHECK(compiled(text).findings.size() == 1000);
}
