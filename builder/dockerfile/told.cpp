// What compile() tells of its findings and the file's (dockerfile.md P10, L1).
#include <algorithm>

#include "dockerfile/job.h"
#include "dockerfile/lint.h"

namespace slipway::dockerfile {
namespace {

Checks checks_of(const Job& job) {
  static const std::string name = "BUILDKIT_DOCKERFILE_CHECK";
  if (const std::optional<Text> given = job.args.find(name)) {
    try {
      return parse_checks(given->value);
    } catch (const Error& problem) {
      throw Error(ExitCode::usage, fmt::format("--build-arg {}: {}", name, problem.cause()))
          .set_hint(problem.hint());
    }
  }
  try {
    return parse_checks(job.file.directives.check);
  } catch (const Error& problem) {
    throw error_at(job.file, job.file.directives.check_line, 0, problem.cause(), problem.hint());
  }
}

}  // namespace

std::vector<Finding> told_findings(const Job& job, const std::vector<bool>& reachable) {
  const Checks checks = checks_of(job);
  std::vector<Finding> found = job.file.findings;
  found.insert(found.end(), job.findings.begin(), job.findings.end());
  std::erase_if(found, [&](const Finding& finding) {
    return finding.stage >= 0 && !reachable.at(static_cast<size_t>(finding.stage));
  });
  std::vector<Finding> told = told_findings(job.file, checks, std::move(found));
  std::stable_sort(told.begin(), told.end(), [](const Finding& a, const Finding& b) {
    return a.lines.first < b.lines.first;
  });
  if (!checks.error || told.empty()) return told;
  std::string others;
  for (size_t i = 1; i < std::min<size_t>(told.size(), 20); ++i)
    others += fmt::format("{}line {}: {}: {}", i == 1 ? "" : "\n", told[i].lines.first,
                          told[i].rule, told[i].text);
  throw error_at(job.file, told[0].lines.first, 0,
                 fmt::format("{}: {} (check=error=true)", told[0].rule, told[0].text), others);
}

}  // namespace slipway::dockerfile
