// What the parser's tests share.
#pragma once

#include <string>

#include "dockerfile/instruction.h"

/// "code | what() | first line of the hint", or "no error".
template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const slipway::Error& error) {
    return fmt::format("{} | {} | {}", static_cast<int>(error.code()), error.what(),
                       error.hint().substr(0, error.hint().find('\n')));
  }
  return "no error";
}

inline std::string parse_error(const std::string& text) {
  return error_of([&] { slipway::dockerfile::parse(text, "Dockerfile"); });
}

/// The error of one instruction behind "FROM a", its code and position checked and cut off.
inline std::string error_in(const std::string& instruction) {
  const std::string error = parse_error("FROM a\n" + instruction + "\n");
  const std::string start = "4 | Dockerfile:2:";
  return error.rfind(start, 0) == 0 ? error.substr(start.size()) : error;
}

/// The instructions behind "FROM a", on line 2 and later.
inline std::vector<slipway::dockerfile::Instruction> body_of(const std::string& text) {
  return slipway::dockerfile::parse("FROM a\n" + text, "Dockerfile").stages.at(0).body;
}

/// The only instruction, as its kind.
template <typename Kind>
Kind only(const std::string& text) {
  const auto body = body_of(text);
  REQUIRE(body.size() == 1);
  REQUIRE(std::holds_alternative<Kind>(body[0].kind));
  return std::get<Kind>(body[0].kind);
}

using Strings = std::vector<std::string>;

inline Strings texts(const std::vector<slipway::dockerfile::Word>& words) {
  Strings all;
  for (const slipway::dockerfile::Word& word : words) all.push_back(word.text);
  return all;
}

/// "text@line:column"
inline std::string at(const slipway::dockerfile::Word& word) {
  return fmt::format("{}@{}:{}", word.text, word.line, word.column);
}

/// "rule line[-last]" of each finding.
inline Strings findings_of(const std::string& text) {
  Strings all;
  for (const auto& finding : slipway::dockerfile::parse(text, "Dockerfile").findings)
    all.push_back(
        finding.lines.first == finding.lines.last
            ? fmt::format("{} {}", finding.rule, finding.lines.first)
            : fmt::format("{} {}-{}", finding.rule, finding.lines.first, finding.lines.last));
  return all;
}
