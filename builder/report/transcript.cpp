#include "report/transcript.h"

#include <algorithm>

#include "base/text.h"

namespace slipway::report {
namespace {

std::string indented(std::string_view text) {
  return fmt::format("       {}", text);
}
std::string warned(std::string_view text) {
  return fmt::format(" !     {}", text);
}

uint64_t megabytes(uint64_t bytes) {
  return (bytes + (1ULL << 19)) >> 20;
}

std::string type_line(const std::string& label, size_t width,
                      const std::vector<std::string>& names) {
  return indented(
      fmt::format("{:<{}} -> {}", label, width, names.empty() ? "(none)" : join(names, ", ")));
}

}  // namespace

std::vector<std::string> process_type_lines(const std::map<std::string, std::string>& procfile,
                                            const std::map<std::string, std::string>& defaults) {
  std::vector<std::string> declared;
  std::vector<std::string> added;
  for (const auto& entry : procfile) declared.push_back(entry.first);
  for (const auto& entry : defaults)
    if (!procfile.contains(entry.first)) added.push_back(entry.first);
  const std::string first = "Procfile declares types";
  const std::string second = "Default types for buildpack";
  if (added.empty()) return {type_line(first, first.size(), declared)};
  const size_t width = std::max(first.size(), second.size());
  return {type_line(first, width, declared), type_line(second, width, added)};
}

std::string compressed_text(uint64_t size_bytes) {
  return "Done: " + format_size(size_bytes);
}

std::string slug_size_warning(uint64_t size_bytes, uint64_t soft_limit_bytes) {
  return fmt::format(
      "Warning: Your slug size ({} MB) exceeds our soft limit ({} MB) which may affect boot time.",
      megabytes(size_bytes), megabytes(soft_limit_bytes));
}

std::vector<std::string> slug_too_large(uint64_t size_bytes, uint64_t limit_bytes) {
  return {fmt::format("Compiled slug size: {} is too large (max is {}).", format_size(size_bytes),
                      format_size(limit_bytes)),
          "See: http://devcenter.heroku.com/articles/slug-size"};
}

std::vector<std::string> several_languages(const std::vector<std::string>& names) {
  std::vector<std::string> lines;
  lines.push_back(warned(
      "Warning: Multiple default buildpacks reported the ability to handle this app. The first "
      "buildpack in the list below will be used."));
  lines.push_back("\t\t\tDetected buildpacks: " + join(names, ","));
  lines.emplace_back(
      "\t\t\tSee https://devcenter.heroku.com/articles/buildpacks#buildpack-detect-order");
  return lines;
}

std::vector<std::string> no_default_language() {
  std::vector<std::string> lines;
  lines.push_back(warned("No default language could be detected for this app."));
  lines.emplace_back(
      "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application "
      "automatically.");
  lines.emplace_back("\t\t\tSee https://devcenter.heroku.com/articles/buildpacks");
  return lines;
}

std::vector<std::string> not_compatible(const std::string& buildpack, const std::string& output) {
  std::vector<std::string> lines;
  lines.push_back("-----> App not compatible with buildpack: " + buildpack);
  std::string_view said = output;
  while (said.ends_with('\n') || said.ends_with('\r')) said.remove_suffix(1);
  if (!said.empty()) {
    const std::vector<std::string> words = split(said, '\n');
    lines.push_back(indented(words[0]));
    lines.insert(lines.end(), words.begin() + 1, words.end());
  }
  lines.emplace_back();
  lines.push_back(indented(
      "More info: https://devcenter.heroku.com/articles/buildpacks#buildpack-auto-detection"));
  return lines;
}

std::vector<std::string> compile_failed(const std::string& detected_name) {
  std::vector<std::string> lines(1);
  lines.push_back(warned(fmt::format("Push rejected, failed to compile {} app.", detected_name)));
  lines.emplace_back();
  lines.push_back(warned("Push failed"));
  return lines;
}

std::vector<std::string> compile_timed_out(const std::string& detected_name, int minutes) {
  return {fmt::format("Timed out compiling {} app ({} minutes)", detected_name, minutes),
          "See https://devcenter.heroku.com/articles/slug-compiler#time-limit"};
}

}  // namespace slipway::report
