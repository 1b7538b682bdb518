#include "dockerfile/check.h"

#include <algorithm>

#include "base/error.h"
#include "base/text.h"
#include "dockerfile/job.h"
#include "dockerfile/keyword.h"
#include "dockerfile/paths.h"

namespace slipway::dockerfile {
namespace {

void read_rules(std::string_view value, bool& all, std::set<std::string>& rules) {
  for (const std::string& rule : split(value, ',')) {
    const std::string name(trim(rule));
    if (name == "all")
      all = true;
    else if (!name.empty())
      rules.insert(name);
  }
}

CheckOptions options_of(const Job& job) {
  static const std::string name = "BUILDKIT_DOCKERFILE_CHECK";
  if (const std::optional<Text> given = job.args.find(name)) {
    try {
      return parse_check(given->value);
    } catch (const Error& problem) {
      throw Error(ExitCode::usage, fmt::format("--build-arg {}: {}", name, problem.cause()))
          .set_hint(problem.hint());
    }
  }
  try {
    return parse_check(job.file.directives.check);
  } catch (const Error& problem) {
    throw error_at(job.file, 1, 0, problem.cause(), problem.hint());
  }
}

// Rules skipped by a comment, by the first line of the instruction below it.
std::map<int, CheckOptions> comments_of(const Dockerfile& file) {
  std::map<int, CheckOptions> found;
  const auto look = [&](const Instruction& instruction) {
    for (const std::string& comment : instruction.comments) {
      const std::string_view text = check_comment(comment);
      if (text.empty()) continue;
      try {
        const CheckOptions options = parse_check(text);
        CheckOptions& merged = found[instruction.lines.first];
        merged.skip_all |= options.skip_all;
        merged.skip.insert(options.skip.begin(), options.skip.end());
      } catch (const Error&) {
        // Only a comment after all.
      }
    }
  };
  for (const Instruction& instruction : file.global_args) look(instruction);
  for (const Stage& stage : file.stages) {
    look(stage.instruction);
    for (const Instruction& instruction : stage.body) look(instruction);
  }
  return found;
}

}  // namespace

bool CheckOptions::tells(const std::string& rule) const {
  if (rule == "InvalidDefinitionDescription" && !experimental_all && !experimental.contains(rule))
    return false;
  return !skip_all && !skip.contains(rule);
}

CheckOptions parse_check(std::string_view text) {
  CheckOptions options;
  if (trim(text).empty()) return options;
  for (const std::string& part : split(text, ';')) {
    const size_t equals = part.find('=');
    const std::string key(trim(std::string_view(part).substr(0, equals)));
    const std::string_view value =
        equals == std::string::npos ? "" : trim(std::string_view(part).substr(equals + 1));
    if (key == "skip") {
      read_rules(value, options.skip_all, options.skip);
    } else if (key == "experimental") {
      read_rules(value, options.experimental_all, options.experimental);
    } else if (key == "error") {
      const std::optional<bool> on = parse_bool(value);
      if (!on)
        throw Error(ExitCode::app_files,
                    fmt::format("check: error={} is neither true nor false", printable(value)));
      options.error = *on;
    } else {
      throw Error(ExitCode::app_files, fmt::format("check: unknown key '{}'", printable(key)))
          .set_hint("write skip=Rule,Rule; error=true; experimental=Rule");
    }
  }
  return options;
}

std::string_view check_comment(std::string_view comment) {
  const size_t equals = comment.find('=');
  if (equals == std::string_view::npos) return {};
  return lower_case(trim(comment.substr(0, equals))) == "check" ? trim(comment.substr(equals + 1))
                                                                : std::string_view();
}

std::vector<Finding> told_findings(const Job& job, const std::vector<bool>& reachable) {
  const CheckOptions options = options_of(job);
  const std::map<int, CheckOptions> comments = comments_of(job.file);
  std::vector<Finding> told;
  const auto add = [&](const Finding& finding) {
    if (finding.stage >= 0 && !reachable.at(static_cast<size_t>(finding.stage))) return;
    const auto comment = comments.find(finding.lines.first);
    const bool skipped = comment != comments.end() &&
                         (comment->second.skip_all || comment->second.skip.contains(finding.rule));
    if (!skipped && options.tells(finding.rule)) told.push_back(finding);
  };
  for (const Finding& finding : job.file.findings) add(finding);
  for (const Finding& finding : job.findings) add(finding);
  std::stable_sort(told.begin(), told.end(), [](const Finding& a, const Finding& b) {
    return a.lines.first < b.lines.first;
  });
  if (!options.error || told.empty()) return told;
  std::string others;
  for (size_t i = 1; i < std::min<size_t>(told.size(), 20); ++i)
    others += fmt::format("{}line {}: {}: {}", i == 1 ? "" : "\n", told[i].lines.first,
                          told[i].rule, told[i].text);
  throw error_at(job.file, told[0].lines.first, 0,
                 fmt::format("{}: {} (check=error=true)", told[0].rule, told[0].text), others);
}

}  // namespace slipway::dockerfile
