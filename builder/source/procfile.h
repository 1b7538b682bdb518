// Procfile: which process types an app has (heroku.md §7). The platform's parser is one lax regular
// expression per line; what it does not match vanishes without a word. We keep its results exactly
// and warn where a person would be surprised by them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "source/lines.h"

namespace slipway::source {

/// Process type → shell text, untouched (REL-4). Sorted by name, as the transcript lists them.
using ProcessTypes = std::map<std::string, std::string>;

struct Procfile {
  ProcessTypes types;
  std::map<std::string, int> lines;  ///< line of the entry that won, from 1
  std::vector<Warning> warnings;     ///< in the file's order
};

/// PROC-2, per line: ^[[:space:]]*([a-zA-Z0-9_-]+):?\s+(.*)[[:space:]]*
/// The colon is optional, a blank after it is not; the command keeps its trailing blanks. A bare
/// "web" or "web:" is a type with an empty command (the line's newline is the blank). Last wins,
/// CRLF and a byte order mark are forgiven (PROC-3). Throws Error(app_files) only for NUL bytes.
Procfile parse_procfile(std::string_view text, const std::string& file = "Procfile");

/// PROC-4: the buildpack's default types overlaid by the Procfile's entries.
ProcessTypes merge_process_types(const ProcessTypes& defaults, const ProcessTypes& procfile);

/// True for [A-Za-z0-9_-]+, the names PROC-2 can match.
bool is_process_type_name(std::string_view name);

}  // namespace slipway::source
