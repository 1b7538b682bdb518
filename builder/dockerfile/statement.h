// One logical line taken apart and turned into its typed instruction (P19-P31).
#pragma once

#include <optional>
#include <vector>

#include "dockerfile/context.h"
#include "dockerfile/heredoc.h"
#include "dockerfile/instruction.h"
#include "dockerfile/json_form.h"
#include "dockerfile/keyword.h"
#include "dockerfile/split.h"

namespace slipway::dockerfile {

struct Statement {
  Keyword keyword = Keyword::run;
  Split split;
  std::optional<JsonForm> json;  ///< of the operands, where the instruction may have it (P23, P24)
  std::optional<Keyword> trigger;  ///< of ONBUILD
  size_t begin = 0;                ///< of ONBUILD's trigger in the line

  /// RUN, COPY and ADD in shell form, also as triggers (H1).
  bool may_have_heredocs() const;
  Keyword inner() const { return trigger.value_or(keyword); }
};

/// `keyword` is that of the line from `begin` on, which is known. Throws for JSON that is no array
/// of strings, and for a trigger that may be none or is unknown.
Statement read_statement(const Context& context, size_t begin, Keyword keyword);

/// The error for a name that is no instruction's; `above` is a suggestion that fits better than the
/// usual ones.
Error unknown_instruction(const Context& context, Span name, const std::string& above);

/// Heredocs of the line with their bodies, in order.
struct Heredocs {
  HeredocWords found;
  std::vector<Heredoc> bodies;
};

/// Checks flags and operands. Throws Error(app_files).
Kind build_instruction(const Context& context, const Statement& statement,
                       const Heredocs& heredocs);

}  // namespace slipway::dockerfile
