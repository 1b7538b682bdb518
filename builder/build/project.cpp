#include "build/project.h"

#include "base/files.h"
#include "build/packs.h"
#include "source/app_name.h"
#include "source/buildpacks_file.h"

namespace slipway::build {

fetch::Fetcher make_fetcher(const Session& session) {
  fetch::Fetcher fetcher;
  fetcher.temp_dir = (session.store.root() / "tmp").string();
  fetcher.cancel = &session.cancel;
  fetcher.registry = session.registries;
  report::Stream* stream = &session.stream;
  fetcher.on_note = [stream](const std::string& text) { stream->warning(text); };
  fetcher.on_progress = [stream](const std::string& what, uint64_t done, uint64_t total) {
    stream->emit(report::Progress{0, what, done, total, total != 0 && done == total});
  };
  return fetcher;
}

AppState AppState::load(const cache::Store& store, const std::string& id) {
  AppState state;
  state.id = id;
  if (const auto value = store.find_value("app", id)) {
    state.name = value->value("name", std::string());
    state.where = value->value("where", std::string());
    state.buildpacks = value->value("buildpacks", std::vector<std::string>{});
    state.last = value->value("last", Json());
  }
  return state;
}

void AppState::save(cache::Store& store) const {
  store.put_value("app", id,
                  {{"name", name}, {"where", where}, {"buildpacks", buildpacks}, {"last", last}});
}

Project open_project(const Session& session, const BuildRequest& request) {
  Project project;
  project.source = bring_source(request.source, make_fetcher(session), session.stream);
  const fs::path& folder = project.source.folder;
  if (const auto text = read_app_file(folder, "app.json"))
    project.app_json = source::parse_app_json(*text);
  const source::AppJson* app_json = project.app_json ? &*project.app_json : nullptr;
  std::optional<source::BuildpacksFile> list;
  if (const auto text = read_app_file(folder, ".buildpacks"))
    list = source::parse_buildpacks_file(*text);

  project.app = source::choose_app_name(request.app, app_json, project.source.naming).name;
  // Two apps in folders of one name must not share a cache, unless --app says that they are one.
  project.app_id = request.app ? project.app : project.app + "@" + project.source.identity;
  project.state = AppState::load(session.store, project.app_id);
  project.state.name = project.app;
  project.state.where = project.source.identity;

  source::SelectionInputs inputs;
  inputs.flags = request.buildpacks;
  inputs.setting = project.state.buildpacks;
  inputs.config = request.config;
  inputs.app_json = app_json;
  inputs.buildpacks_file = list ? &*list : nullptr;
  inputs.builtins = builtin_packs();
  project.selection = source::select_buildpacks(inputs);
  return project;
}

StrategyChoice choose_strategy(const Project& project, const BuildRequest& request) {
  StrategyInputs inputs;
  inputs.forced = request.strategy;
  if (!request.buildpacks.empty())
    inputs.buildpack_flag = "-b";
  else if (request.slug)
    inputs.buildpack_flag = "--slug";
  inputs.dockerfile_flag = request.container.deciding_flag;
  if (request.stack == container_stack) {
    inputs.container_stack = true;
    inputs.container_reason = "--stack container";
  } else if (request.stack.empty() && project.app_json &&
             project.app_json->stack == container_stack) {
    inputs.container_stack = true;
    inputs.container_reason = "app.json says so";
  }
  if (project.selection.origin != source::Selection::Origin::detection)
    inputs.configured_buildpacks = project.selection.reason;
  const fs::path& folder = project.source.folder;
  inputs.heroku_yml = fs::exists(folder / "heroku.yml");
  inputs.dockerfile = project.source.dockerfile || fs::exists(folder / "Dockerfile") ||
                      fs::exists(folder / "dockerfile");
  const StrategyChoice choice = choose_strategy(inputs);
  // Its CACHE_DIR would be every nameless app's.
  if (choice.strategy == Strategy::buildpack && project.source.identity == stdin_source &&
      !request.app)
    throw Error(ExitCode::usage, "an app that comes on stdin needs a name").set_hint("--app NAME");
  return choice;
}

}  // namespace slipway::build
