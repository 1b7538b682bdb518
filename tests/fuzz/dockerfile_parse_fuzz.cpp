// links: dockerfile
// Any bytes are a Dockerfile or an error with its place; what was parsed stands where it says.
#include <algorithm>
#include <string>
#include <vector>

#include "base/json.h"
#include "dockerfile/instruction.h"
#include "dockerfile/json_form.h"
#include "dockerfile/lint.h"
#include "target.h"

using namespace slipway;
using namespace slipway::dockerfile;

namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  PhysicalLines physical(text);
  for (std::string_view line; physical.next(line);) lines.push_back(line);
  return lines;
}

class Checker {
 public:
  explicit Checker(const Dockerfile& file) : file_(file), lines_(lines_of(file.text)) {}

  void check() {
    demand(!file_.stages.empty());
    for (const Instruction& instruction : file_.global_args) one(instruction);
    for (const Stage& stage : file_.stages) {
      one(stage.instruction);
      stands(stage.from.image);
      for (const Instruction& instruction : stage.body) one(instruction);
    }
    for (const Finding& finding : file_.findings) {
      demand(find_rule(finding.rule) != nullptr);
      demand(finding.lines.first >= 1 && finding.lines.last <= count());
    }
    const auto told = told_findings(file_, {.skip_all = true}, file_.findings);
    demand(told.size() <= file_.findings.size());
  }

 private:
  int count() const { return static_cast<int>(lines_.size()); }

  /// The first byte of the word is the one at its place.
  void stands(const Word& word) const {
    demand(word.line >= 1 && word.line <= count() && word.column >= 1);
    if (word.text.empty()) return;
    const std::string_view line = lines_[static_cast<size_t>(word.line) - 1];
    demand(static_cast<size_t>(word.column) <= line.size());
    demand(line[static_cast<size_t>(word.column) - 1] == word.text[0]);
  }

  void one(const Instruction& instruction) {
    demand(instruction.lines.first > last_line_ &&
           instruction.lines.first <= instruction.lines.last);
    demand(instruction.lines.last <= count());
    last_line_ = instruction.lines.last;
    demand(instruction.text.starts_with(instruction.keyword));
    if (const Workdir* workdir = std::get_if<Workdir>(&instruction.kind)) stands(workdir->path);
    if (const Expose* expose = std::get_if<Expose>(&instruction.kind))
      for (const Word& port : expose->ports) stands(port);
    if (const Env* env = std::get_if<Env>(&instruction.kind))
      for (const auto& [key, value] : env->pairs) {
        stands(key);
        if (!value.text.empty()) stands(value);
      }
    if (const OnBuild* trigger = std::get_if<OnBuild>(&instruction.kind)) again(*trigger);
  }

  /// What an image stores is read back as one instruction.
  void again(const OnBuild& trigger) const {
    if (file_.directives.escape != '\\') return;
    const Instruction read = parse_trigger(trigger.text, "image");
    demand(!std::holds_alternative<OnBuild>(read.kind));
  }

  const Dockerfile& file_;
  std::vector<std::string_view> lines_;
  int last_line_ = 0;
};

void compare_with_library(std::string_view text) {
  // The library forgives a byte order mark, Go does not.
  if (text.starts_with("\xef")) return;
  const Json value = Json::parse(text, nullptr, false);
  if (!value.is_array()) return;
  const auto form = read_json_form(text, {0, text.size()});
  demand(form.has_value());
  const bool strings = std::all_of(value.begin(), value.end(),
                                   [](const Json& element) { return element.is_string(); });
  demand(strings == !form->other.has_value());
  if (!strings) return;
  demand(form->strings.size() == value.size());
  for (size_t i = 0; i < value.size(); ++i)
    demand(form->strings[i].text == value[i].get<std::string>());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  expect_answer(data, size, ExitCode::app_files, [](std::string_view text) {
    compare_with_library(text);
    try {
      const Dockerfile file = parse(text, "Dockerfile");
      Checker(file).check();
    } catch (const Error& error) {
      demand(error.pos().has_value() && error.pos()->line >= 1 && !error.hint().empty());
      throw;
    }
  });
  return 0;
}
