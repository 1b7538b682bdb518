#include "source/buildpacks_file.h"

namespace slipway::source {
namespace {

constexpr size_t entries_max = 100;

}  // namespace

BuildpacksFile parse_buildpacks_file(std::string_view text, const std::string& file) {
  BuildpacksFile result;
  for_each_line(text, file, result.warnings, [&](int number, std::string_view line) {
    size_t at = 0;
    while (at < line.size()) {
      if (is_blank(line[at])) {
        ++at;
        continue;
      }
      if (line[at] == '#') return;
      size_t end = at;
      while (end < line.size() && !is_blank(line[end])) ++end;
      const SourcePos pos{file, number, static_cast<int>(at) + 1};
      if (result.entries.size() == entries_max)
        throw Error(ExitCode::app_files, fmt::format("more than {} buildpacks", entries_max))
            .set_pos(pos);
      result.entries.push_back({std::string(line.substr(at, end - at)), pos});
      at = end;
    }
  });
  return result;
}

}  // namespace slipway::source
