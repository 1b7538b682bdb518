#include <algorithm>
#include <optional>

#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/lint.h"
#include "dockerfile/paths.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

// What of BuildKit's names has more than this description stands in dockerfile.md §5.
const std::vector<Rule> all_rules = {
    {"ConsistentInstructionCasing", "All instructions are written in one case"},
    {"CopyIgnoredFile", "What COPY and ADD name is not hidden by the ignore file"},
    {"DuplicateStageName", "No two stages have the same name"},
    {"ExposeInvalidFormat", "EXPOSE names ports alone, no address and no port of the host"},
    {"ExposeProtoCasing", "The protocol of EXPOSE is in lower case"},
    {"FromAsCasing", "AS is written in the case of its FROM"},
    {"FromPlatformFlagConstDisallowed", "FROM --platform is no constant"},
    {"InvalidBaseImagePlatform", "The base is of the platform that is built for"},
    {"InvalidDefaultArgInFrom", "With its defaults alone, FROM names an image"},
    {"InvalidDefinitionDescription", "A comment above a stage or ARG begins with its name", true},
    {"InvalidJSONForm", "What begins like a JSON array is one", false, true},
    {"JSONArgsRecommended", "CMD and ENTRYPOINT are in JSON form, so that signals arrive"},
    {"LegacyKeyValueFormat", "ENV and LABEL are written key=value"},
    {"LinkWithNamedOwner", "COPY --link has an owner by number", false, true},
    {"MaintainerDeprecated", "The author stands in a label, not in MAINTAINER"},
    {"MissingCommand", "RUN, CMD and ENTRYPOINT name a command", false, true},
    {"MultipleInstructionsDisallowed", "CMD, ENTRYPOINT and HEALTHCHECK stand once in a stage"},
    {"NoEmptyContinuation", "No blank lines inside a continued instruction"},
    {"RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM is what happens anyway"},
    {"ReservedStageName", "No stage is named scratch or context"},
    {"SecretsUsedInArgOrEnv", "Secrets are mounted, not put into ARG or ENV"},
    {"StageNameCasing", "Names of stages are in lower case"},
    {"SyntaxIgnored", "The language asked for is the one known here", false, true},
    {"UndefinedArgInFrom", "Variables in FROM are declared"},
    {"UndefinedVar", "Variables are defined before they are used"},
    {"UnsupportedDevice", "RUN --device names a device that can be given", false, true},
    {"UnusedMountKey", "Keys of RUN --mount have a meaning for its type", false, true},
    {"WorkdirRelativePath", "The first WORKDIR of a stage is absolute"},
};

/// Names between commas; what follows a blank is a remark.
void read_names(std::string_view value, std::set<std::string>& names, bool& all) {
  if (trim(value) == "all") {
    all = true;
    return;
  }
  for (const std::string& part : split(value, ',')) {
    const std::string_view name = trim(part);
    if (!name.empty()) names.emplace(name.substr(0, name.find_first_of(" \t")));
  }
}

/// What the comments above an instruction skip; the first that is a directive counts, one that
/// cannot be read counts for nothing.
std::optional<Checks> checks_in(const std::vector<std::string>& comments) {
  for (const std::string& comment : comments) {
    const size_t equals = comment.find('=');
    if (equals == std::string::npos) continue;
    if (lower_case(trim(std::string_view(comment).substr(0, equals))) != "check") continue;
    try {
      return parse_checks(std::string_view(comment).substr(equals + 1));
    } catch (const Error&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

struct Exception {
  Lines lines;
  Checks checks;
};

/// In order of lines.
std::vector<Exception> exceptions_of(const Dockerfile& file) {
  std::vector<Exception> exceptions;
  const auto add = [&](const Instruction& instruction) {
    if (const auto checks = checks_in(instruction.comments))
      exceptions.push_back({instruction.lines, *checks});
  };
  for (const Instruction& instruction : file.global_args) add(instruction);
  for (const Stage& stage : file.stages) {
    add(stage.instruction);
    for (const Instruction& instruction : stage.body) add(instruction);
  }
  return exceptions;
}

bool asks_for(const Checks& checks, const Rule* rule, const std::string& name) {
  if (rule && rule->experimental)
    return checks.experimental_all || checks.experimental.contains(name);
  return !checks.skip_all && !checks.skip.contains(name);
}

}  // namespace

const std::vector<Rule>& rules() {
  return all_rules;
}

const Rule* find_rule(std::string_view name) {
  const auto found = std::find_if(all_rules.begin(), all_rules.end(),
                                  [&](const Rule& rule) { return rule.name == name; });
  return found == all_rules.end() ? nullptr : &*found;
}

Checks parse_checks(std::string_view value) {
  Checks checks;
  for (const std::string& option : split(value, ';')) {
    const std::string_view text = trim(option);
    if (text.empty()) continue;
    const size_t equals = text.find('=');
    const std::string key(trim(text.substr(0, equals)));
    const std::string_view setting =
        equals == std::string_view::npos ? std::string_view() : trim(text.substr(equals + 1));
    if (equals != std::string_view::npos && key == "skip") {
      read_names(setting, checks.skip, checks.skip_all);
    } else if (equals != std::string_view::npos && key == "experimental") {
      read_names(setting, checks.experimental, checks.experimental_all);
    } else if (equals != std::string_view::npos && key == "error") {
      const auto error = parse_bool(setting.substr(0, setting.find_first_of(" \t")));
      if (!error)
        throw Error(ExitCode::app_files,
                    fmt::format("check: error is true or false, not '{}'", shown(setting)))
            .set_hint("write '# check=error=true'");
      checks.error = *error;
    } else {
      const auto near =
          key.size() < 40 ? closest(key, {"skip", "error", "experimental"}) : std::nullopt;
      throw Error(ExitCode::app_files, fmt::format("check has no option '{}'", shown(key)))
          .set_hint(near && *near != key ? fmt::format("did you mean '{}='?", *near)
                                         : "write '# check=skip=<rules>;error=true'");
    }
  }
  return checks;
}

std::vector<Finding> told_findings(const Dockerfile& file, const Checks& checks,
                                   std::vector<Finding> findings) {
  const std::vector<Exception> exceptions = exceptions_of(file);
  const auto exception_for = [&](const Finding& finding) -> const Checks* {
    auto after = std::upper_bound(
        exceptions.begin(), exceptions.end(), finding.lines.first,
        [](int line, const Exception& exception) { return line < exception.lines.first; });
    if (after == exceptions.begin()) return nullptr;
    --after;
    return finding.lines.first <= after->lines.last ? &after->checks : nullptr;
  };
  std::erase_if(findings, [&](const Finding& finding) {
    const Rule* rule = find_rule(finding.rule);
    const Checks* exception = exception_for(finding);
    if (rule && rule->experimental)
      return !asks_for(checks, rule, finding.rule) &&
             !(exception && asks_for(*exception, rule, finding.rule));
    return !asks_for(checks, rule, finding.rule) ||
           (exception && !asks_for(*exception, rule, finding.rule));
  });
  return findings;
}

}  // namespace slipway::dockerfile
