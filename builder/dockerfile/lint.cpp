#include "dockerfile/lint.h"

#include <algorithm>
#include <map>

#include "dockerfile/keyword.h"
#include "dockerfile/shown.h"
#include "dockerfile/words.h"

namespace slipway::dockerfile {
namespace {

constexpr size_t findings_max = 1'000;

bool is_lower(std::string_view word) {
  return word == lower_case(word);
}
bool is_upper(std::string_view word) {
  return word == upper_case(word);
}

/// What a stage hands on to those built FROM it, as far as the text tells.
struct Handed {
  bool shell = false;    ///< SHELL was given
  bool workdir = false;  ///< a WORKDIR was given
};

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
      // FROM knows stages by the name in lower case, the last of several.
      if (!stage.name.empty()) names_[stage.name] = handed_;
      any_.shell = any_.shell || handed_.shell;
      any_.workdir = any_.workdir || handed_.workdir;
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
  void find_in_stage(const char* rule, const Instruction& instruction, std::string text) {
    find(rule, instruction, std::move(text), stage_);
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

  Handed inherited(const Stage& stage) const {
    const std::string& image = stage.from.image.text;
    const auto base = names_.find(image);
    if (base != names_.end()) return base->second;
    // A name that is not known yet may be any of the stages above.
    return image.find('$') == std::string::npos ? Handed{} : any_;
  }

  void body(const Stage& stage) {
    handed_ = inherited(stage);
    const Instruction* cmd = nullptr;
    const Instruction* entrypoint = nullptr;
    const Instruction* health = nullptr;
    for (const Instruction& instruction : stage.body) {
      if (const Cmd* given = std::get_if<Cmd>(&instruction.kind)) {
        once(cmd, instruction);
        json_form(instruction, given->command);
      } else if (const Entrypoint* start = std::get_if<Entrypoint>(&instruction.kind)) {
        once(entrypoint, instruction);
        json_form(instruction, start->command);
      } else if (std::holds_alternative<HealthCheck>(instruction.kind)) {
        once(health, instruction);
      } else if (std::holds_alternative<Shell>(instruction.kind)) {
        handed_.shell = true;
      } else if (const Workdir* workdir = std::get_if<Workdir>(&instruction.kind)) {
        relative_path(instruction, workdir->path.text);
      } else if (const Env* env = std::get_if<Env>(&instruction.kind)) {
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

  /// The place is that of the one before, which has no effect.
  void once(const Instruction*& before, const Instruction& instruction) {
    if (before)
      find_in_stage("MultipleInstructionsDisallowed", *before,
                    fmt::format("This {} has no effect: another one follows in the stage",
                                upper_case(before->keyword)));
    before = &instruction;
  }

  void json_form(const Instruction& instruction, const Command& command) {
    if (command.exec_form || handed_.shell) return;
    find_in_stage("JSONArgsRecommended", instruction,
                  fmt::format("{} should be in JSON form: signals end at the shell that is started "
                              "otherwise",
                              upper_case(instruction.keyword)));
  }

  void relative_path(const Instruction& instruction, const std::string& written) {
    const bool first = !handed_.workdir;
    handed_.workdir = true;
    if (!first) return;
    std::string path = written;
    try {
      path = unquote_word(written, file_.directives.escape);
    } catch (const Error&) {
      return;  // compile() says what is wrong with it
    }
    if (path.starts_with('/') || path.starts_with('$')) return;
    find_in_stage(
        "WorkdirRelativePath", instruction,
        fmt::format("Where '{}' lies depends on the base image; make it absolute", shown(path)));
  }

  void legacy(const Instruction& instruction, const KeyValues& values) {
    if (!values.legacy) return;
    const std::string keyword = upper_case(instruction.keyword);
    find_in_stage("LegacyKeyValueFormat", instruction,
                  fmt::format("'{} key value' should be written '{} key=value'", keyword, keyword));
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
  std::map<std::string, Handed> names_;
  Handed any_, handed_;
};

}  // namespace

std::vector<Finding> lint(const Dockerfile& file) {
  return Linter(file).run();
}

}  // namespace slipway::dockerfile
