// The flags of an instruction against the table of those it takes (P21).
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/context.h"

namespace slipway::dockerfile {

struct FlagSpec {
  enum class Kind { boolean, text, texts };
  const char* name;
  Kind kind;
};

class Flags {
 public:
  /// Throws for an unknown or repeated flag, a missing value, a value that is no boolean. `keyword`
  /// is for the message.
  Flags(const Context& context, const std::vector<FlagWord>& words, std::string_view keyword,
        std::initializer_list<FlagSpec> specs);

  std::optional<bool> boolean(std::string_view name) const;
  std::optional<Word> text(std::string_view name) const;
  std::vector<Word> texts(std::string_view name) const;

 private:
  struct Given {
    const char* name;
    Word value;
    bool on;
  };
  std::vector<Given> given_;
};

}  // namespace slipway::dockerfile
