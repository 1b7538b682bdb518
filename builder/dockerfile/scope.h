// Build-time variables: where ARG and ENV put their values and what expansion finds (dockerfile.md
// §2.2, §2.3). A value knows what may be told of it, so that a hidden build arg is hidden wherever
// it went.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dockerfile/compile.h"
#include "dockerfile/words.h"

namespace slipway::dockerfile {

/// A value and what history and titles say instead; the two differ when a hidden one went into it.
struct Text {
  std::string value, shown;
  Text() = default;
  explicit Text(std::string text) : value(text), shown(std::move(text)) {}
  Text(std::string text, std::string told) : value(std::move(text)), shown(std::move(told)) {}
  bool hidden() const { return value != shown; }
};

class Scope {
 public:
  /// The name becomes the last in order, as in LLB: what is set again moves to the end.
  void set(const std::string& name, Text text);
  void erase(const std::string& name);
  const Text* find(std::string_view name) const;
  /// Ordered as set.
  std::vector<std::pair<std::string, std::string>> environment() const;
  std::vector<std::string> names() const;

 private:
  struct Entry {
    Text text;
    uint64_t order = 0;
  };
  std::map<std::string, Entry, std::less<>> entries_;
  uint64_t next_ = 0;
};

struct Expanded {
  Text text;
  std::set<std::string> used, unset;  ///< as Expansion
};

/// Throws as expand_word() does.
Expanded expand(std::string_view word, char escape, const Scope& scope);
Expanded expand_body(std::string_view body, const Scope& scope);
/// For EXPOSE: every word of its own (V10); names that are unset count as in expand().
std::vector<Text> expand_list(std::string_view word, char escape, const Scope& scope);

/// The text of an instruction for a title: set variables are replaced, all else stays as written;
/// hidden values are not told.
std::string expand_title(std::string_view text, char escape, const Scope& scope);

/// Build args as they count: those given, with what is shown of hidden ones.
class BuildArgs {
 public:
  BuildArgs(const Options& options);
  std::optional<Text> find(const std::string& name) const;
  void set(const std::string& name, const std::string& value) { values_[name] = value; }
  void erase(const std::string& name) { values_.erase(name); }
  const std::map<std::string, std::string>& all() const { return values_; }

 private:
  const std::map<std::string, std::string>& hidden_;
  std::map<std::string, std::string> values_;
};

/// V22: the platform args and TARGETSTAGE, each replaced by a build arg of its name.
Scope predefined_args(const oci::Platform& build, const oci::Platform& target,
                      const std::string& target_stage, const BuildArgs& args);

/// V21: those that were given, in upper and lower case.
std::vector<std::pair<std::string, std::string>> proxy_variables(const BuildArgs& args);

/// Names that need no ARG to count: proxies, platform args, those of V24.
bool is_predefined_arg(const std::string& name);
/// BUILDKIT_SBOM_SCAN_*: declared, but in no environment (V24).
bool is_no_variable(std::string_view name);

}  // namespace slipway::dockerfile
