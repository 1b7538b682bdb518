#include "dockerfile/scope.h"

#include <array>

#include "base/error.h"
#include "dockerfile/keyword.h"
#include "dockerfile/word_lexer.h"

namespace slipway::dockerfile {
namespace {

constexpr std::array proxy_names{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"};
constexpr std::array platform_names{"BUILDPLATFORM", "BUILDOS",         "BUILDOSVERSION",
                                    "BUILDARCH",     "BUILDVARIANT",    "TARGETPLATFORM",
                                    "TARGETOS",      "TARGETOSVERSION", "TARGETARCH",
                                    "TARGETVARIANT", "TARGETSTAGE"};
constexpr std::array behaviour_names{"BUILDKIT_SYNTAX",
                                     "BUILDKIT_CACHE_MOUNT_NS",
                                     "BUILDKIT_MULTI_PLATFORM",
                                     "BUILDKIT_SANDBOX_HOSTNAME",
                                     "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
                                     "BUILDKIT_INLINE_CACHE",
                                     "BUILDKIT_BUILD_NAME",
                                     "BUILDKIT_DOCKERFILE_CHECK",
                                     "BUILDKIT_SBOM_SCAN_CONTEXT",
                                     "BUILDKIT_SBOM_SCAN_STAGE",
                                     "SOURCE_DATE_EPOCH"};

template <typename Names>
bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Lookup values_of(const Scope& scope) {
  return [&scope](std::string_view name) -> std::optional<std::string> {
    const Text* text = scope.find(name);
    return text == nullptr ? std::nullopt : std::optional(text->value);
  };
}
Lookup shown_of(const Scope& scope) {
  return [&scope](std::string_view name) -> std::optional<std::string> {
    const Text* text = scope.find(name);
    return text == nullptr ? std::nullopt : std::optional(text->shown);
  };
}

bool any_hidden(const std::set<std::string>& names, const Scope& scope) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    const Text* text = scope.find(name);
    return text != nullptr && text->hidden();
  });
}

// `process` is one of the expansion functions, bound to its word.
template <typename Process>
Expanded expand_with(const Scope& scope, Process process) {
  Expansion plain = process(values_of(scope));
  Expanded result;
  result.used = std::move(plain.used);
  result.unset = std::move(plain.unset);
  result.text.value = std::move(plain.text);
  result.text.shown = result.text.value;
  if (!any_hidden(result.used, scope)) return result;
  try {
    result.text.shown = process(shown_of(scope)).text;
  } catch (const Error&) {
    // What is shown may have another form than the value (a pattern, a '?').
    result.text.shown = "<hidden>";
  }
  return result;
}

}  // namespace

void Scope::set(const std::string& name, Text text) {
  entries_[name] = {std::move(text), ++next_};
}

void Scope::erase(const std::string& name) {
  entries_.erase(name);
}

const Text* Scope::find(std::string_view name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.text;
}

std::vector<std::pair<std::string, std::string>> Scope::environment() const {
  std::vector<const std::pair<const std::string, Entry>*> ordered;
  for (const auto& entry : entries_) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(),
            [](const auto* a, const auto* b) { return a->second.order < b->second.order; });
  std::vector<std::pair<std::string, std::string>> environment;
  for (const auto* entry : ordered)
    environment.emplace_back(entry->first, entry->second.text.value);
  return environment;
}

std::vector<std::string> Scope::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

Expanded expand(std::string_view word, char escape, const Scope& scope) {
  return expand_with(scope,
                     [&](const Lookup& lookup) { return expand_word(word, escape, lookup); });
}

Expanded expand_body(std::string_view body, const Scope& scope) {
  return expand_with(scope, [&](const Lookup& lookup) { return expand_heredoc(body, lookup); });
}

std::vector<Text> expand_list(std::string_view word, char escape, const Scope& scope) {
  const std::vector<std::string> values = expand_words(word, escape, values_of(scope));
  std::vector<std::string> shown;
  try {
    shown = expand_words(word, escape, shown_of(scope));
  } catch (const Error&) {
    shown.clear();
  }
  std::vector<Text> texts;
  for (size_t i = 0; i < values.size(); ++i)
    texts.emplace_back(values[i], shown.size() == values.size() ? shown[i] : "<hidden>");
  return texts;
}

std::string expand_title(std::string_view text, char escape, const Scope& scope) {
  try {
    return lex_words(
               text,
               {.escape = escape, .raw_quotes = true, .raw_escapes = true, .keep_unset = true},
               shown_of(scope))
        .text;
  } catch (const Error&) {
    // A title is no place to fail: commands need not be sound words.
    return std::string(text);
  }
}

BuildArgs::BuildArgs(const Options& options)
    : hidden_(options.hidden_args), values_(options.build_args) {
  if (options.source_date_epoch)
    values_.emplace("SOURCE_DATE_EPOCH", std::to_string(*options.source_date_epoch));
}

std::optional<Text> BuildArgs::find(const std::string& name) const {
  const auto value = values_.find(name);
  if (value == values_.end()) return std::nullopt;
  const auto shown = hidden_.find(name);
  return shown == hidden_.end() ? Text(value->second) : Text(value->second, shown->second);
}

Scope predefined_args(const oci::Platform& build, const oci::Platform& target,
                      const std::string& target_stage, const BuildArgs& args) {
  const std::array<std::string, platform_names.size()> values{
      build.to_string(),
      build.os,
      build.os_version,
      build.architecture,
      build.variant,
      target.to_full_string(),
      target.os,
      target.os_version,
      target.architecture,
      target.variant,
      target_stage.empty() ? "default" : target_stage};
  Scope scope;
  for (size_t i = 0; i < values.size(); ++i) {
    const std::optional<Text> given = args.find(platform_names[i]);
    scope.set(platform_names[i], given.value_or(Text(values[i])));
  }
  return scope;
}

std::vector<std::pair<std::string, std::string>> proxy_variables(const BuildArgs& args) {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const char* name : proxy_names) {
    // Of several spellings the last in order counts: lower case after upper.
    std::string value;
    for (const auto& [given, text] : args.all())
      if (upper_case(given) == name) value = text;
    if (value.empty()) continue;
    variables.emplace_back(name, value);
    variables.emplace_back(lower_case(name), value);
  }
  return variables;
}

bool is_predefined_arg(const std::string& name) {
  return among(proxy_names, upper_case(name)) || among(platform_names, name) ||
         among(behaviour_names, name);
}

bool is_no_variable(std::string_view name) {
  return name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE";
}

}  // namespace slipway::dockerfile
