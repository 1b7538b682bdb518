#include "dockerfile/statement.h"

#include "base/text.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

bool tries_json(Keyword keyword) {
  switch (keyword) {
    case Keyword::add:
    case Keyword::cmd:
    case Keyword::copy:
    case Keyword::entrypoint:
    case Keyword::run:
    case Keyword::shell:
    case Keyword::volume:
      return true;
    default:
      return false;
  }
}

void refuse_other_values(const Context& context, const std::optional<JsonForm>& json) {
  if (json && json->other)
    throw context.error(*json->other, "in JSON form every element is a string",
                        "write it in double quotes");
}

}  // namespace

bool Statement::may_have_heredocs() const {
  const Keyword which = inner();
  return !json && (which == Keyword::run || which == Keyword::copy || which == Keyword::add);
}

Statement read_statement(const Context& context, size_t begin, Keyword keyword) {
  const std::string_view text = context.line.text;
  Statement statement;
  statement.keyword = keyword;
  statement.begin = begin;
  statement.split = split_instruction(text, begin, context.escape);
  const Span operands = statement.split.operands;
  if (tries_json(keyword)) {
    statement.json = read_json_form(text, operands);
    refuse_other_values(context, statement.json);
  }
  if (keyword != Keyword::onbuild || operands.empty()) return statement;

  const Split trigger = split_instruction(text, operands.begin, context.escape);
  const std::string name = upper_case(context.view(trigger.name));
  statement.trigger = find_keyword(name);
  if (!statement.trigger) throw unknown_instruction(context, trigger.name, {});
  if (*statement.trigger == Keyword::onbuild || *statement.trigger == Keyword::from ||
      *statement.trigger == Keyword::maintainer)
    throw context.error(trigger.name.begin, fmt::format("ONBUILD cannot hold {}", name),
                        "FROM, MAINTAINER and ONBUILD itself are no triggers");
  if (tries_json(*statement.trigger)) statement.json = read_json_form(text, trigger.operands);
  statement.begin = operands.begin;
  return statement;
}

Error unknown_instruction(const Context& context, Span name, const std::string& above) {
  const std::string written(context.view(name));
  std::string hint = above;
  // A slip of the finger is short; comparing takes time.
  const auto near =
      written.size() < 40 ? closest(upper_case(written), keyword_names()) : std::nullopt;
  if (hint.empty() && near) hint = fmt::format("did you mean '{}'?", *near);
  if (hint.empty() && !written.empty() && context.line.lines.first > 1 &&
      std::string_view("&|;-\"'()[]{}<>$=").find(written[0]) != std::string_view::npos)
    hint = fmt::format("if the line above goes on here, it must end with '{}'", context.escape);
  if (hint.empty())
    hint = fmt::format("an instruction is one of {}; a line goes on below when it ends with '{}'",
                       join(keyword_names(), ", "), context.escape);
  if (written.empty())
    return context.error(name.begin, "a continued line without an instruction", hint);
  return context.error(name.begin, fmt::format("unknown instruction '{}'", shown(written)), hint);
}

}  // namespace slipway::dockerfile
