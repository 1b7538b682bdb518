// What the passes of one compilation share.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dockerfile/compile.h"
#include "dockerfile/scope.h"

namespace slipway::dockerfile {

/// Where an instruction stands, for errors and findings. A trigger of ONBUILD stands at the FROM
/// that fired it: its own text is somewhere else.
struct Site {
  const Dockerfile* file = nullptr;
  Lines lines;
  int column = 1;
  int stage = -1;       ///< index of the stage; -1 = before the first
  std::string trigger;  ///< its text; empty = an instruction of the file

  Error error(std::string cause, const std::string& suggestion = {}) const;
  /// At the word, unless it is one of a trigger's.
  Error error(const Word& word, std::string cause, const std::string& suggestion = {}) const;
  /// An error that knows no place, or only an offset inside the word, as expand_word() throws it.
  Error placed(const Error& problem, const Word& word) const;
};

struct Job {
  Job(const Dockerfile& file, const Options& options);

  const Dockerfile& file;
  const Options& options;
  BuildArgs args;
  oci::Platform target_platform;
  Scope global;                        ///< platform args and ARG before the first FROM
  std::set<std::string> global_names;  ///< those declared, with a value or without
  std::set<std::string> declared;      ///< by any ARG seen so far
  std::optional<int64_t> epoch;        ///< V25
  std::vector<Finding> findings;
  std::deque<Instruction> triggers;  ///< of ONBUILD; they stay where they are

  char escape() const { return file.directives.escape; }
  void find(const Site& site, std::string rule, std::string text) {
    if (may_find_more())
      findings.push_back({std::move(rule), std::move(text), site.lines, site.stage});
  }
  /// A file of nothing but mistakes is not told in full.
  bool may_find_more() const { return findings.size() < 1'000; }
  /// Expands a word of an instruction that may stand before any FROM or in one.
  Expanded expand_global(const Site& site, const Word& word);
};

/// SecretsUsedInArgOrEnv (§5).
void check_secret_name(Job& job, const Site& site, const char* instruction,
                       const std::string& name);

/// Findings of the file and of the job that are to be told: of reachable stages, without what
/// "# check" and comments skip. Throws Error(app_files) when the check says that findings fail.
std::vector<Finding> told_findings(const Job& job, const std::vector<bool>& reachable);

}  // namespace slipway::dockerfile
