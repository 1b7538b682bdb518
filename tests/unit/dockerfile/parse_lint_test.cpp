// Findings of the written form and what `check=` makes of them (dockerfile.md §5, P10).
#include "dockerfile/lint.h"

#include "parse_helpers.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

/// Findings that are told under the file's own check directive.
Strings told(const std::string& text, const std::string& override_with = {}) {
  const Dockerfile file = parse(text, "Dockerfile");
  const Checks checks = parse_checks(override_with.empty() ? file.directives.check : override_with);
  Strings all;
  for (const Finding& finding : told_findings(file, checks, file.findings))
    all.push_back(fmt::format("{} {}", finding.rule, finding.lines.first));
  return all;
}

std::string check_error(const std::string& value) {
  return error_of([&] { parse_checks(value); });
}

}  // namespace

TEST_CASE("parse lint: StageNameCasing") {
  CHECK(told("FROM a AS Build\n") == Strings{"StageNameCasing 1"});
  CHECK(told("FROM a AS build\n").empty());
}

TEST_CASE("parse lint: FromAsCasing") {
  CHECK(told("FROM a as b\n") == Strings{"FromAsCasing 1"});
  CHECK(told("from a AS b\nrun x\n") == Strings{"FromAsCasing 1"});
  CHECK(told("FROM a \\\n As b\n") == Strings{"FromAsCasing 1"});
  CHECK(told("from a as b\n").empty());
  CHECK(told("From a as b\n") == Strings{"ConsistentInstructionCasing 1"});
}

TEST_CASE("parse lint: ConsistentInstructionCasing follows the majority, a tie is for capitals") {
  CHECK(told("FROM a\nrun x\nRUN y\n") == Strings{"ConsistentInstructionCasing 2"});
  CHECK(told("from a\nrun x\nRUN y\n") == Strings{"ConsistentInstructionCasing 3"});
  CHECK(told("FROM a\nrun x\n") == Strings{"ConsistentInstructionCasing 2"});
  CHECK(told("FROM a\nRun x\n") == Strings{"ConsistentInstructionCasing 2"});
  CHECK(told("arg x\nFROM a\nRUN y\n").empty());
}

TEST_CASE("parse lint: DuplicateStageName and ReservedStageName") {
  CHECK(told("FROM a AS b\nFROM a AS c\nFROM a AS B\n") ==
        Strings{"StageNameCasing 3", "DuplicateStageName 3"});
  CHECK(told("FROM a AS scratch\nFROM a AS context\n") ==
        Strings{"ReservedStageName 1", "ReservedStageName 2"});
}

TEST_CASE("parse lint: MaintainerDeprecated") {
  CHECK(told("FROM a\nMAINTAINER m\n") == Strings{"MaintainerDeprecated 2"});
}

TEST_CASE("parse lint: LegacyKeyValueFormat") {
  CHECK(told("FROM a\nENV a b\nLABEL c d\nENV e=f\n") ==
        Strings{"LegacyKeyValueFormat 2", "LegacyKeyValueFormat 3"});
}

TEST_CASE("parse lint: NoEmptyContinuation") {
  CHECK(told("FROM a\nRUN x \\\n\n y\n") == Strings{"NoEmptyContinuation 3"});
}

TEST_CASE("parse lint: our own: broken JSON, no command, a foreign language") {
  CHECK(told("FROM a\nRUN ['x']\nRUN [ -f x ] || y\nCOPY [\"a\", 'b'] c\n") ==
        Strings{"InvalidJSONForm 2", "InvalidJSONForm 4"});
  CHECK(told("FROM a\nRUN\n") == Strings{"MissingCommand 2"});
  CHECK(told("# syntax=other/thing:1\nFROM a\n") == Strings{"SyntaxIgnored 1"});
  for (const char* ours :
       {"docker/dockerfile", "docker/dockerfile:1", "docker/dockerfile:1.26", "dockerfile.v0",
        "docker/dockerfile:1.7-labs", "docker/dockerfile:labs", "docker/dockerfile:1.4.3",
        "reg.example:5000/docker/dockerfile:1", "docker/dockerfile-upstream:master",
        "docker/dockerfile:1@sha256:00", "docker/dockerfile:1 --flag"}) {
    CAPTURE(ours);
    CHECK(told(fmt::format("# syntax={}\nFROM a\n", ours)).empty());
  }
  for (const char* other : {"docker/dockerfile:1.27", "docker/dockerfile:2",
                            "mydocker/dockerfile:1", "docker/dockerfilex", "x"}) {
    CAPTURE(other);
    CHECK(told(fmt::format("# syntax={}\nFROM a\n", other)) == Strings{"SyntaxIgnored 1"});
  }
}

TEST_CASE("parse lint: a finding says which stage must be built for it (L1)") {
  const Dockerfile file = parse("FROM a AS B\nENV a b\nFROM b\nENV a b\n", "Dockerfile");
  REQUIRE(file.findings.size() == 3);
  CHECK(file.findings[0].rule == "StageNameCasing");
  CHECK(file.findings[0].stage == -1);
  CHECK(file.findings[1].stage == 0);
  CHECK(file.findings[2].stage == 1);
}

TEST_CASE("parse lint: what the check directive skips (P10)") {
  const std::string body = "FROM a AS B\nENV a b\nMAINTAINER m\n";
  CHECK(told(body).size() == 3);
  CHECK(told("# check=skip=all\n" + body).empty());
  CHECK(told("# check = skip = LegacyKeyValueFormat , MaintainerDeprecated ; error=false\n" +
             body) == Strings{"StageNameCasing 2"});
  CHECK(told("# check=skip=Nothing\n" + body).size() == 3);
  CHECK(told("# check=skip=StageNameCasing for old names\n" + body).size() == 2);
  CHECK(told("# check=skip=all\n" + body, "error=true").size() == 3);
}

TEST_CASE("parse lint: a comment above an instruction skips for it alone (P10)") {
  CHECK(told("FROM a\n# check=skip=LegacyKeyValueFormat\nENV a b\nLABEL a b\n") ==
        Strings{"LegacyKeyValueFormat 4"});
  CHECK(told("FROM a\n# words\n# Check=skip=all;error=true\n\nENV \\\n\n a b\n").empty());
  CHECK(told("FROM a\n# check=nonsense\nENV a b\n") == Strings{"LegacyKeyValueFormat 3"});
  CHECK(told("FROM a\n# check=skip=Other\nENV a b\n") == Strings{"LegacyKeyValueFormat 3"});
  CHECK(told("# check=skip=all\n\nFROM a\n# check=skip=Other\nENV a b\n").empty());
}

TEST_CASE("parse lint: experimental rules are told when asked for") {
  const std::string body = "# the base\nFROM a AS b\n# x the x\nARG x\n# wrong\nARG y\n";
  const Strings both = {"InvalidDefinitionDescription 3", "InvalidDefinitionDescription 7"};
  CHECK(told(body).empty());
  CHECK(told("# check=experimental=all\n" + body) == both);
  CHECK(told("# check=skip=all;experimental=InvalidDefinitionDescription\n" + body) == both);
  CHECK(told("# check=experimental=Other\n" + body).empty());
}

TEST_CASE("parse lint: mistakes in the check directive (P10)") {
  CHECK(parse_checks("error=true").error);
  CHECK_FALSE(parse_checks("error=F").error);
  CHECK_FALSE(parse_checks("").error);
  CHECK(check_error("skp=all") == "4 | check has no option 'skp' | did you mean 'skip='?");
  CHECK(check_error("skip") ==
        "4 | check has no option 'skip' | write '# check=skip=<rules>;error=true'");
  CHECK(check_error("error=maybe") ==
        "4 | check: error is true or false, not 'maybe' | write '# check=error=true'");
  CHECK(check_error("skip=all;error=true;") == "no error");
  CHECK(parse("#!x\n# check=nonsense\nFROM a\n", "f").directives.check_line == 2);
}

TEST_CASE("parse lint: rules are values, sorted by name, and findings name none else") {
  Strings names;
  for (const Rule& rule : rules()) {
    names.emplace_back(rule.name);
    CHECK(std::string(rule.description).size() > 10);
  }
  CHECK(std::is_sorted(names.begin(), names.end()));
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
  CHECK(find_rule("UndefinedVar") != nullptr);
  CHECK(find_rule("undefinedvar") == nullptr);
  for (const Finding& finding :
       parse("# syntax=x\nfrom a As SCRATCH\nCMD [']\nCMD\nENV a b\nMAINTAINER m\nWORKDIR x\n"
             "# d\nARG x\nRUN a \\\n\nb\n",
             "f")
           .findings)
    CHECK(find_rule(finding.rule) != nullptr);
}

TEST_CASE("parse lint: a file of nothing but mistakes is not told in full") {
  std::string text = "FROM a\n";
  for (int i = 0; i < 5000; ++i) text += "ENV a b\n";
  CHECK(parse(text, "f").findings.size() == 1000);
}
