// `.buildpacks`, the list buildpack-multi made common (heroku.md SRC-11).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "source/lines.h"

namespace slipway::source {

struct BuildpacksFile {
  struct Entry {
    std::string text;  ///< one reference, not yet judged
    SourcePos pos;
  };
  std::vector<Entry> entries;
  std::vector<Warning> warnings;
};

/// One reference per whitespace-separated word. A word that begins with '#' makes the rest of its
/// line a comment; the '#ref' of a URL is part of its word. Throws Error(app_files) for NUL bytes
/// and for more than 100 entries.
BuildpacksFile parse_buildpacks_file(std::string_view text,
                                     const std::string& file = ".buildpacks");

}  // namespace slipway::source
