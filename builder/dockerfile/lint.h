// Lint: the rules there are (dockerfile.md §5), those that need only the written form, and which
// findings a file asks to be told (`check=`, P10).
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/instruction.h"

namespace slipway::dockerfile {

/// Names are an interface: `# check=skip=<name>` and readers of reports know them.
struct Rule {
  const char* name;
  const char* description;    ///< one line
  bool experimental = false;  ///< told only when asked for
  bool ours = false;          ///< Slipway's own: BuildKit does not know it
};
/// All of them, also those that compile() finds; by name.
const std::vector<Rule>& rules();
/// Null when there is none of that name.
const Rule* find_rule(std::string_view name);

/// The rules that the written form alone decides: StageNameCasing, FromAsCasing,
/// ConsistentInstructionCasing, DuplicateStageName, ReservedStageName, MaintainerDeprecated,
/// LegacyKeyValueFormat, InvalidDefinitionDescription. parse() has appended them to
/// Dockerfile::findings already; it adds NoEmptyContinuation, InvalidJSONForm, MissingCommand and
/// SyntaxIgnored on the way. All others need variables, bases or triggers and are compile()'s. In
/// order of lines, 1,000 at most.
std::vector<Finding> lint(const Dockerfile& file);

/// The value of a check directive.
struct Checks {
  std::set<std::string> skip, experimental;
  bool skip_all = false, experimental_all = false;
  bool error = false;  ///< findings that are told fail the build, after it was evaluated (L1)
};
/// "skip=A,B;error=true;experimental=all". Throws Error(app_files) without a position for an
/// unknown key or a value that is no boolean.
Checks parse_checks(std::string_view value);

/// The findings that are told: without what `checks` or a comment "# check=skip=…" above their
/// instruction skips, and without experimental ones nobody asked for. `checks` are those of the
/// file, parse_checks(file.directives.check), or what replaces them (BUILDKIT_DOCKERFILE_CHECK).
/// The stage of a finding is not looked at.
std::vector<Finding> told_findings(const Dockerfile& file, const Checks& checks,
                                   std::vector<Finding> findings);

}  // namespace slipway::dockerfile
