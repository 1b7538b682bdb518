#include "source/selection.h"

#include <algorithm>
#include <functional>

#include "base/text.h"

namespace slipway::source {
namespace {

using Origin = Selection::Origin;

/// One place that may name buildpacks.
struct Candidate {
  Origin origin = Origin::flag;
  std::string place;  ///< "-b", "app.json": for the notes
  std::string reason;
  std::vector<std::string> texts;
  std::vector<SourcePos> positions;  ///< of the texts, for files of the app
};

/// ".." as a component, or an absolute path.
bool leaves_the_app(const std::string& path) {
  if (path.starts_with('/')) return true;
  const std::vector<std::string> parts = split(path, '/');
  return std::find(parts.begin(), parts.end(), "..") != parts.end();
}

void check_reach(const BuildpackRef& ref) {
  const bool outside = ref.kind == BuildpackRef::Kind::folder && leaves_the_app(ref.path);
  const bool file_url = ref.kind == BuildpackRef::Kind::git && ref.url.starts_with("file:");
  if (outside || file_url)
    throw Error(ExitCode::app_files,
                fmt::format("buildpack '{}': a file of the app may not name what lies outside it",
                            ref.display()))
        .set_hint(
            fmt::format("name it on the command line: -b {}", shell_quote(ref.public_name())));
}

std::vector<BuildpackRef> parse_all(const Candidate& candidate,
                                    const std::vector<std::string>& builtins) {
  std::vector<BuildpackRef> refs;
  for (size_t i = 0; i < candidate.texts.size(); ++i) {
    const bool in_file = i < candidate.positions.size();
    try {
      refs.push_back(parse_buildpack_ref(candidate.texts[i], builtins));
      if (in_file) check_reach(refs.back());
    } catch (Error& error) {
      if (in_file)
        throw Error(ExitCode::app_files, error.cause())
            .set_pos(candidate.positions[i])
            .set_hint(error.hint());
      error.add_context(candidate.place);
      throw;
    }
  }
  return refs;
}

std::vector<Candidate> candidates_of(const SelectionInputs& inputs) {
  std::vector<Candidate> found;
  const auto add = [&](Candidate candidate) {
    if (!candidate.texts.empty()) found.push_back(std::move(candidate));
  };
  add({Origin::flag, "-b", "named with -b", inputs.flags, {}});
  add({Origin::setting, "the app's setting", "set for the app", inputs.setting, {}});
  for (const char* key : {"BUILDPACK_URL", "LANGUAGE_PACK_URL"}) {
    const auto var = inputs.config.find(key);
    if (var != inputs.config.end() && !trim(var->second).empty())
      add({Origin::buildpack_url,
           fmt::format("config var {}", key),
           fmt::format("named by config var {}", key),
           {var->second},
           {}});
  }
  if (inputs.app_json != nullptr && inputs.app_json->buildpacks) {
    Candidate listed{Origin::app_json, "app.json", {}, {}, {}};
    for (const AppBuildpack& pack : *inputs.app_json->buildpacks) {
      listed.texts.push_back(pack.url);
      listed.positions.push_back(pack.pos);
    }
    if (!listed.positions.empty())
      listed.reason = fmt::format("listed in app.json (line {})", listed.positions[0].line);
    add(std::move(listed));
  }
  if (inputs.buildpacks_file != nullptr) {
    Candidate listed{Origin::buildpacks_file, ".buildpacks", "listed in .buildpacks", {}, {}};
    for (const BuildpacksFile::Entry& entry : inputs.buildpacks_file->entries) {
      listed.texts.push_back(entry.text);
      listed.positions.push_back(entry.pos);
    }
    add(std::move(listed));
  }
  return found;
}

}  // namespace

Selection select_buildpacks(const SelectionInputs& inputs) {
  const std::vector<Candidate> candidates = candidates_of(inputs);
  Selection selection;
  if (candidates.empty()) {
    selection.reason = "none named, so each built-in one is asked";
    for (const std::string& name : detection_order(inputs.builtins))
      selection.buildpacks.push_back(parse_buildpack_ref(name, inputs.builtins));
    return selection;
  }
  const Candidate& winner = candidates.front();
  selection.origin = winner.origin;
  selection.reason = winner.reason;
  selection.buildpacks = parse_all(winner, inputs.builtins);
  for (size_t i = 1; i < candidates.size(); ++i)
    selection.notes.push_back(
        fmt::format("{} names buildpacks too; {} wins", candidates[i].place, winner.place));
  return selection;
}

std::vector<std::string> detection_order(const std::vector<std::string>& builtins,
                                         const PublicNames& names) {
  std::vector<std::string> order;
  for (const std::string& name : names.detection_order)
    if (std::find(builtins.begin(), builtins.end(), name) != builtins.end()) order.push_back(name);
  std::vector<std::string> others;
  for (const std::string& name : builtins)
    if (std::find(order.begin(), order.end(), name) == order.end()) others.push_back(name);
  // By name; that puts elixir before phoenix-static, which needs the mix that elixir brings.
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  order.insert(order.end(), others.begin(), others.end());
  return order;
}

}  // namespace slipway::source
