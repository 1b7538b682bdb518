#include "dockerfile/lint.h"

#include <algorithm>
#include <set>

#include "dockerfile/keyword.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

constexpr size_t findings_max = 1'000;

bool is_lower(std::string_view word) {
  return word == lower_case(word);
}
bool is_upper(std::string_view word) {
  return word == upper_case(word);
}

class Linter {
 public:
  explicit Linter(const Dockerfile& file) : file_(file) {}

  std::vector<Finding> run() {
    casing();
    for (const Instruction& instruction : file_.global_args)
      description(instruction, "ARG", arg_names(instruction));
    for (stage_ = 0; stage_ < static_cast<int>(file_.stages.size()); ++stage_) {
      const Stage& stage = file_.stages[static_cast<size_t>(stage_)];
      stage_name(stage);
      body(stage);
      if (!stage.name.empty()) names_.insert(stage.name);
    }
    std::stable_sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) {
      return a.lines.first < b.lines.first;
    });
    return std::move(findings_);
  }

 private:
  void find(const char* rule, const Instruction& instruction, std::string text, int stage = -1) {
    if (findings_.size() < findings_max)
      findings_.push_back({rule, std::move(text), instruction.lines, stage});
  }

  template <typename Call>
  void for_each_instruction(Call call) const {
    for (const Stage& stage : file_.stages) {
      call(stage.instruction);
      for (const Instruction& instruction : stage.body) call(instruction);
    }
  }

  /// The majority of those written in one case decides; a tie is for capitals.
  void casing() {
    size_t lower = 0;
    size_t upper = 0;
    for_each_instruction([&](const Instruction& instruction) {
      if (is_lower(instruction.keyword))
        ++lower;
      else if (is_upper(instruction.keyword))
        ++upper;
    });
    const bool expect_lower = lower > upper;
    for_each_instruction([&](const Instruction& instruction) {
      const std::string& keyword = instruction.keyword;
      if (expect_lower ? is_lower(keyword) : is_upper(keyword)) return;
      find("ConsistentInstructionCasing", instruction,
           fmt::format("'{}' should be in {}, as most instructions are", keyword,
                       expect_lower ? "lower case" : "capitals"));
    });
  }

  void stage_name(const Stage& stage) {
    if (stage.name.empty()) return;
    const From& from = stage.from;
    if (!is_lower(from.name_written))
      find("StageNameCasing", stage.instruction,
           fmt::format("The stage's name '{}' should be in lower case", from.name_written));
    // FROM image AS name: the word before the last.
    const std::vector<std::string> words = split_words(stage.instruction.text);
    const std::string& keyword = stage.instruction.keyword;
    const std::string& as = words[words.size() - 2];
    if ((is_lower(keyword) && !is_lower(as)) || (is_upper(keyword) && !is_upper(as)))
      find("FromAsCasing", stage.instruction,
           fmt::format("'{}' and '{}' should be in the same case", keyword, as));
    if (stage.name == "scratch" || stage.name == "context")
      find("ReservedStageName", stage.instruction,
           fmt::format("'{}' has a meaning of its own and should not name a stage", stage.name));
    if (names_.contains(stage.name))
      find("DuplicateStageName", stage.instruction,
           fmt::format("Another stage is named '{}' already", stage.name));
    description(stage.instruction, "FROM", {stage.name});
  }

  static std::vector<std::string> split_words(std::string_view text) {
    std::vector<std::string> words;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = text.find_first_not_of(" \t\v\f\r", at);
      if (begin == std::string_view::npos) break;
      at = std::min(text.find_first_of(" \t\v\f\r", begin), text.size());
      words.emplace_back(text.substr(begin, at - begin));
    }
    return words;
  }

  void body(const Stage& stage) {
    for (const Instruction& instruction : stage.body) {
      if (const Env* env = std::get_if<Env>(&instruction.kind)) {
        legacy(instruction, *env);
      } else if (const Label* label = std::get_if<Label>(&instruction.kind)) {
        legacy(instruction, *label);
      } else if (std::holds_alternative<Maintainer>(instruction.kind)) {
        find("MaintainerDeprecated", instruction,
             "MAINTAINER is deprecated; write LABEL org.opencontainers.image.authors=…");
      } else if (std::holds_alternative<Arg>(instruction.kind)) {
        description(instruction, "ARG", arg_names(instruction));
      }
    }
  }

  void legacy(const Instruction& instruction, const KeyValues& values) {
    if (!values.legacy) return;
    const std::string keyword = upper_case(instruction.keyword);
    find("LegacyKeyValueFormat", instruction,
         fmt::format("'{} key value' should be written '{} key=value'", keyword, keyword), stage_);
  }

  static std::vector<std::string> arg_names(const Instruction& instruction) {
    std::vector<std::string> names;
    for (const Arg::One& arg : std::get<Arg>(instruction.kind).args) names.push_back(arg.name);
    return names;
  }

  void description(const Instruction& instruction, const char* keyword,
                   const std::vector<std::string>& names) {
    if (instruction.comments.empty()) return;
    const std::string& comment = instruction.comments.back();
    const std::string word = comment.substr(0, comment.find(' '));
    if (std::find(names.begin(), names.end(), word) != names.end()) return;
    find("InvalidDefinitionDescription", instruction,
         fmt::format("The comment above {} should begin with '{}', or be parted from it by '#'",
                     keyword, names[0]));
  }

  const Dockerfile& file_;
  int stage_ = 0;
  std::vector<Finding> findings_;
  std::set<std::string> names_;
};

}  // namespace

std::vector<Finding> lint(const Dockerfile& file) {
  return Linter(file).run();
}

}  // namespace slipway::dockerfile
