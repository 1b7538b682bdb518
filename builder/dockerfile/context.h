// What the parts of the parser share while they look at one instruction: where it stands, and how
// to refuse it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "dockerfile/instruction.h"
#include "dockerfile/logical_line.h"
#include "dockerfile/split.h"

namespace slipway::dockerfile {

/// Error(app_files) at a place, the suggestion and the excerpt in its hint.
Error place_error(std::string_view text, const std::string& file, Place place, std::string cause,
                  const std::string& suggestion);

struct Context {
  std::string_view text;  ///< the whole file
  const std::string& file;
  const LogicalLine& line;
  char escape;
  std::vector<Finding>& findings;

  Error error(size_t offset, std::string cause, const std::string& suggestion = {}) const {
    return place_error(text, file, line.place(offset), std::move(cause), suggestion);
  }
  void find(std::string rule, std::string what) const {
    findings.push_back({std::move(rule), std::move(what), line.lines});
  }
  std::string_view view(Span span) const {
    return std::string_view(line.text).substr(span.begin, span.end - span.begin);
  }
  Word word(Span span) const { return word(std::string(view(span)), span.begin); }
  Word word(std::string word_text, size_t offset) const {
    const Place place = line.place(offset);
    return {std::move(word_text), place.line, place.column};
  }
};

}  // namespace slipway::dockerfile
