#include <algorithm>

#include "base/text.h"
#include "dockerfile/directives.h"
#include "dockerfile/lint.h"
#include "dockerfile/shown.h"
#include "dockerfile/statement.h"

namespace slipway::dockerfile {
namespace {

// A step each would be too many for any engine; it bounds what a hostile file makes us keep.
constexpr size_t instructions_max = 100'000;
constexpr size_t size_max_bytes = 64 << 20;
// A file of nothing but mistakes is not told in full.
constexpr size_t findings_max = 1'000;

std::string_view trimmed(std::string_view text) {
  const Span span = trim_blanks(text, {0, text.size()});
  return text.substr(span.begin, span.end - span.begin);
}

/// Walks over a text and hands out its instructions one by one.
class Reader {
 public:
  Reader(std::string_view text, const std::string& file, const Zone& zone,
         std::vector<Finding>& findings)
      : text_(text), file_(file), zone_(zone), findings_(findings), lines_(text) {}

  std::optional<Instruction> next() {
    std::string_view physical;
    while (lines_.next(physical)) {
      if (is_comment(physical)) {
        keep_comment(physical);
        continue;
      }
      const LogicalLine line = join_lines(lines_, physical, zone_.directives.escape);
      // A blank line; one that was continued into nothing is a mistake.
      if (trimmed(line.text).empty() && line.lines.first == line.lines.last &&
          trimmed(physical).empty())
        continue;
      return read(line);
    }
    return std::nullopt;
  }

 private:
  void keep_comment(std::string_view physical) {
    if (lines_.number() <= zone_.lines) return;
    const std::string_view comment = trimmed(physical.substr(1));
    if (comment.empty())
      comments_.clear();
    else
      comments_.emplace_back(comment);
  }

  Instruction read(const LogicalLine& line) {
    if (++count_ > instructions_max)
      throw place_error(text_, file_, line.place(0),
                        fmt::format("more than {} instructions", instructions_max),
                        "no image can be built of so many steps");
    const Context context{text_, file_, line, zone_.directives.escape, findings_};
    const Split split = split_instruction(line.text, 0, context.escape);
    const std::optional<Keyword> keyword = find_keyword(context.view(split.name));
    if (!keyword) throw unknown_instruction(context, split.name, suggestion_for_unknown());
    const Statement statement = read_statement(context, 0, *keyword);
    Instruction instruction;
    instruction.lines = line.lines;
    const Heredocs heredocs = read_heredocs(context, statement, instruction.lines.last);
    if (line.empty_continuation)
      findings_.push_back({"NoEmptyContinuation", "A blank line inside a continued instruction",
                           *line.empty_continuation});
    instruction.kind = build_instruction(context, statement, heredocs);
    instruction.keyword = context.view(split.name);
    instruction.column = line.place(split.name.begin).column;
    instruction.text = trimmed(line.text);
    instruction.comments = std::move(comments_);
    comments_.clear();
    return instruction;
  }

  Heredocs read_heredocs(const Context& context, const Statement& statement, int& last_line) {
    Heredocs heredocs;
    heredoc_problem_.clear();
    if (!statement.may_have_heredocs() || context.line.text.find("<<") == std::string::npos)
      return heredocs;
    heredocs.found = find_heredocs(context.line.text);
    if (!heredocs.found.problem.empty())
      heredoc_problem_ = fmt::format("line {} has '<<', but opens no heredoc: {}",
                                     context.line.lines.first, heredocs.found.problem);
    for (const HeredocWord& word : heredocs.found.words) {
      const std::string_view rest = lines_.rest();
      const int line = lines_.number();
      std::optional<Heredoc> body = read_body(word, lines_);
      if (!body)
        throw context.error(word.span.begin,
                            fmt::format("the heredoc '{}' has no end", shown(word.name)),
                            unterminated_hint(word, rest, line));
      heredocs.bodies.push_back(std::move(*body));
      last_line = lines_.number();
    }
    return heredocs;
  }

  std::string suggestion_for_unknown() const {
    if (!heredoc_problem_.empty()) return heredoc_problem_;
    if (count_ == 1 && zone_.lines == 0 && !zone_.directives.syntax.empty())
      return fmt::format("the file asks for another language, '{}'; only Dockerfiles are known",
                         shown(zone_.directives.syntax));
    return {};
  }

  std::string_view text_;
  const std::string& file_;
  const Zone& zone_;
  std::vector<Finding>& findings_;
  PhysicalLines lines_;
  size_t count_ = 0;
  std::vector<std::string> comments_;
  /// Why the instruction just read has no heredocs though it looks so.
  std::string heredoc_problem_;
};

std::string_view checked_text(std::string_view text, const std::string& file) {
  if (text.size() > size_max_bytes)
    throw Error(ExitCode::app_files, fmt::format("larger than {}", format_size(size_max_bytes)))
        .set_pos({file})
        .set_hint("files belong into the context, and are copied from there with COPY");
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff"))
    throw Error(ExitCode::app_files, "the file is UTF-16")
        .set_pos({file, 1, 1})
        .set_hint("save it as UTF-8");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    const size_t line_start = text.substr(0, nul).rfind('\n') + 1;
    const auto line =
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    throw place_error(text, file,
                      {static_cast<int>(line) + 1, static_cast<int>(nul - line_start) + 1},
                      "NUL byte in a text file", "save it as UTF-8 text");
  }
  return text;
}

void collect_findings(Dockerfile& file, const Zone& zone) {
  const std::string note = syntax_note(file.directives.syntax);
  if (!note.empty()) file.findings.push_back({"SyntaxIgnored", note, {1, std::max(1, zone.lines)}});
  for (Finding& finding : lint(file)) file.findings.push_back(std::move(finding));
  std::stable_sort(
      file.findings.begin(), file.findings.end(),
      [](const Finding& a, const Finding& b) { return a.lines.first < b.lines.first; });
  if (file.findings.size() > findings_max) file.findings.resize(findings_max);
}

}  // namespace

Dockerfile parse(std::string_view given, const std::string& file) {
  const std::string_view text = checked_text(given, file);
  const Zone zone = read_directives(text, file);
  Dockerfile result;
  result.file = file;
  result.text = text;
  result.directives = zone.directives;
  Reader reader(text, file, zone, result.findings);
  while (std::optional<Instruction> instruction = reader.next()) {
    if (const From* from = std::get_if<From>(&instruction->kind)) {
      Stage stage;
      stage.from = *from;
      stage.name = from->name;
      stage.instruction = std::move(*instruction);
      result.stages.push_back(std::move(stage));
      continue;
    }
    if (!result.stages.empty()) {
      result.stages.back().body.push_back(std::move(*instruction));
      continue;
    }
    if (!std::holds_alternative<Arg>(instruction->kind))
      throw error_at(result, instruction->lines.first, instruction->column,
                     fmt::format("{} stands before the first FROM", instruction->keyword),
                     "only ARG may; a stage begins with 'FROM image'");
    result.global_args.push_back(std::move(*instruction));
  }
  if (!result.stages.empty()) {
    collect_findings(result, zone);
    return result;
  }
  if (result.global_args.empty())
    throw place_error(text, file, {1, 1}, "the file has no instructions",
                      "it begins with 'FROM image'");
  const Instruction& last = result.global_args.back();
  throw error_at(result, last.lines.first, last.column,
                 "no FROM follows: there is no stage to build", "a stage begins with 'FROM image'");
}

Instruction parse_trigger(std::string_view given, const std::string& file) {
  const std::string_view text = checked_text(given, file);
  std::vector<Finding> findings;
  const Zone zone;
  Reader reader(text, file, zone, findings);
  std::optional<Instruction> trigger = reader.next();
  if (!trigger)
    throw Error(ExitCode::app_files, "an ONBUILD trigger is empty").set_pos({file, 1, 1});
  const bool refused = std::holds_alternative<From>(trigger->kind) ||
                       std::holds_alternative<Maintainer>(trigger->kind) ||
                       std::holds_alternative<OnBuild>(trigger->kind);
  if (refused)
    throw place_error(text, file, {1, trigger->column},
                      fmt::format("{} cannot be an ONBUILD trigger", trigger->keyword), {});
  if (const auto second = reader.next())
    throw place_error(text, file, {second->lines.first, second->column},
                      "an ONBUILD trigger is a single instruction", {});
  return std::move(*trigger);
}

}  // namespace slipway::dockerfile
