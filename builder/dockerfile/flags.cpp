#include "dockerfile/flags.h"

#include <algorithm>

#include "base/text.h"
#include "dockerfile/keyword.h"
#include "dockerfile/shown.h"

namespace slipway::dockerfile {
namespace {

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "--" : ", --") + name;
  return list;
}

std::string suggestion(std::string_view name, std::string_view keyword,
                       std::initializer_list<FlagSpec> specs) {
  std::vector<std::string> names;
  for (const FlagSpec& spec : specs) names.emplace_back(spec.name);
  // A slip of the finger is short; comparing takes time.
  if (const auto near = name.size() < 40 ? closest(lower_case(name), names) : std::nullopt)
    return fmt::format("did you mean '--{}'?", *near);
  if (names.empty()) return fmt::format("{} takes no flags", keyword);
  return fmt::format("{} takes {}", keyword, list_of(names));
}

}  // namespace

Flags::Flags(const Context& context, const std::vector<FlagWord>& words, std::string_view keyword,
             std::initializer_list<FlagSpec> specs) {
  for (const FlagWord& word : words) {
    const size_t equals = word.text.find('=');
    const bool has_value = equals != std::string::npos;
    const std::string name = word.text.substr(2, has_value ? equals - 2 : equals);
    const std::string value = has_value ? word.text.substr(equals + 1) : "";
    const auto* spec = std::find_if(specs.begin(), specs.end(),
                                    [&](const FlagSpec& one) { return name == one.name; });
    const auto error = [&](std::string cause, const std::string& hint = {}) {
      return context.error(word.span.begin, std::move(cause), hint);
    };
    if (spec == specs.end())
      throw error(fmt::format("{} has no flag '--{}'", keyword, shown(name)),
                  suggestion(name, keyword, specs));
    const bool repeated = std::any_of(given_.begin(), given_.end(), [&](const Given& before) {
      return before.name == spec->name;
    });
    if (repeated && spec->kind != FlagSpec::Kind::texts)
      throw error(fmt::format("'--{}' is given twice", name), "keep one of the two");
    bool on = true;
    if (spec->kind == FlagSpec::Kind::boolean) {
      const std::string lower = lower_case(value);
      if (has_value && lower != "true" && lower != "false")
        throw error(fmt::format("'--{}' is true or false, not '{}'", name, shown(value)),
                    fmt::format("write '--{}' or '--{}=false'", name, name));
      on = lower != "false";
    } else if (!has_value) {
      throw error(fmt::format("'--{}' has no value", name),
                  fmt::format("the value follows an equals sign: '--{}=…'", name));
    }
    given_.push_back({spec->name, context.word(value, word.value_begin), on});
  }
}

std::optional<bool> Flags::boolean(std::string_view name) const {
  for (const Given& given : given_)
    if (given.name == name) return given.on;
  return std::nullopt;
}

std::optional<Word> Flags::text(std::string_view name) const {
  for (const Given& given : given_)
    if (given.name == name) return given.value;
  return std::nullopt;
}

std::vector<Word> Flags::texts(std::string_view name) const {
  std::vector<Word> all;
  for (const Given& given : given_)
    if (given.name == name) all.push_back(given.value);
  return all;
}

}  // namespace slipway::dockerfile
