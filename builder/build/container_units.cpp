#include "build/container_units.h"

#include <unistd.h>

#include <memory>

#include "base/files.h"
#include "base/text.h"
#include "source/dockerignore.h"

namespace slipway::build {
namespace {

constexpr size_t dockerfile_bytes_max = 16 << 20;
constexpr size_t ignore_bytes_max = 4 << 20;
constexpr const char* hidden_value = "<config var>";
constexpr const char* lock_file = "slipway.lock";

/// A Dockerfile where it was found.
struct Found {
  std::string shown;  ///< for messages: as the user would name it
  std::string text;
  /// "<path>.dockerignore" beside it, when there is one (G1).
  std::optional<std::string> ignore;
  std::string ignore_shown;
};

// P1: any of these when none is named; the last two are buildah's (D14).
constexpr const char* default_names[] = {"Dockerfile", "dockerfile", "Containerfile"};

/// Below the app: links that leave it are refused (threat 9).
std::optional<Found> find_in(const fs::path& folder, const std::string& path) {
  const auto text = read_app_file(folder, path, dockerfile_bytes_max);
  if (!text) return std::nullopt;
  Found found{path, *text, read_app_file(folder, path + ".dockerignore", ignore_bytes_max),
              path + ".dockerignore"};
  return found;
}

Found read_named(const Project& project, const std::string& file) {
  if (file == "-" && project.source.identity == stdin_source)
    throw Error(ExitCode::usage, "-f - and the source - both want stdin");
  if (file == "-") return {"<stdin>", read_all(STDIN_FILENO, dockerfile_bytes_max), {}, {}};
  // Of a fetched source nothing lies where the caller is.
  if (!project.source.temporary && fs::exists(file)) {
    Found found{file, read_file(file, dockerfile_bytes_max), {}, file + ".dockerignore"};
    found.ignore = read_file_if_exists(found.ignore_shown, ignore_bytes_max);
    return found;
  }
  if (auto found = find_in(project.source.folder, file)) return *found;
  throw Error(ExitCode::usage, fmt::format("there is no Dockerfile '{}'", printable(file)))
      .set_hint("-f is looked for where you are, then in the source");
}

Found read_default(const Project& project) {
  if (project.source.dockerfile) return {"<stdin>", *project.source.dockerfile, {}, {}};
  for (const char* name : default_names)
    if (auto found = find_in(project.source.folder, name)) return *found;
  throw Error(ExitCode::not_detected,
              fmt::format("there is no Dockerfile in {}", project.source.folder.string()))
      .set_hint("name one with -f");
}

struct Context {
  engine::LocalDir directory;
  std::function<bool(const std::string& path)> surely_ignored;
};

/// A directory as a source of copies: never with our lock file, without what its ignore file hides.
Context make_context(const fs::path& folder, const std::string& identity,
                     const std::optional<std::string>& own_ignore, const std::string& own_shown) {
  Context context;
  context.directory.path = folder.string();
  context.directory.identity = identity;
  context.directory.context = true;
  std::optional<std::string> text = own_ignore;
  std::string shown = own_shown;
  for (const char* name : {".dockerignore", ".containerignore"})
    if (!text) {
      text = read_app_file(folder, name, ignore_bytes_max);
      shown = name;
    }
  const auto patterns = std::make_shared<const source::PathPatterns>(
      text ? source::PathPatterns::parse(*text, shown) : source::PathPatterns());
  context.directory.ignored = [patterns](const std::string& path, bool is_directory) {
    if (path == lock_file) return true;
    if (patterns->empty() || !patterns->hides(path)) return false;
    // A folder that may hold something re-included is walked (G6).
    return !is_directory || patterns->may_skip_directory(path);
  };
  if (!patterns->empty() && !patterns->has_exceptions())
    context.surely_ignored = [patterns](const std::string& path) { return patterns->hides(path); };
  return context;
}

void add_dockerfile_unit(ContainerPlan& plan, const Project& project, const BuildRequest& request) {
  const std::string& file = request.container.file;
  const Found found = file.empty() ? read_default(project) : read_named(project, file);
  ContainerUnit unit;
  unit.file = dockerfile::parse(found.text, found.shown);
  unit.target = request.container.target;
  unit.context = "context";
  unit.build_args = request.container.build_args;
  Context context = make_context(project.source.folder, project.source.identity, found.ignore,
                                 found.ignore_shown);
  unit.surely_ignored = std::move(context.surely_ignored);
  plan.locals[unit.context] = std::move(context.directory);
  plan.units.push_back(std::move(unit));
}

/// build.config as build args; config vars in place of their names (issue: the Phoenix guide).
void add_config(ContainerUnit& unit, const source::HerokuYml& yml, const BuildRequest& request) {
  for (const source::HerokuBuildArg& arg : yml.config) {
    if (arg.config_var.empty() || request.container.literal_config) {
      unit.build_args[arg.name] = arg.value;
      continue;
    }
    const auto var = request.config.find(arg.config_var);
    if (var == request.config.end())
      throw Error(ExitCode::app_files,
                  fmt::format("build.config.{} wants the config var {}, which is not set", arg.name,
                              arg.config_var))
          .set_pos(arg.pos)
          .set_hint(fmt::format("set it with -e {}=VALUE; --literal-config passes the text {} on",
                                arg.config_var, arg.value));
    unit.build_args[arg.name] = var->second;
    unit.hidden_args[arg.name] = hidden_value;
  }
  // What is typed wins over what is written.
  for (const auto& [name, value] : request.container.build_args) {
    unit.build_args[name] = value;
    unit.hidden_args.erase(name);
  }
}

void add_heroku_units(ContainerPlan& plan, const Project& project, const BuildRequest& request) {
  const fs::path& folder = project.source.folder;
  const auto text = read_app_file(folder, "heroku.yml");
  if (!text)
    throw Error(ExitCode::app_files, "Your app does not include a heroku.yml build manifest.")
        .set_hint("add a heroku.yml, or build with --strategy dockerfile or buildpack");
  plan.heroku_yml = source::parse_heroku_yml(*text);
  for (const auto& warning : plan.heroku_yml->warnings)
    plan.warnings.push_back(warning.to_string());
  for (const source::HerokuImage& image : plan.heroku_yml->images) {
    const auto found = find_in(folder, image.dockerfile);
    if (!found)
      throw Error(ExitCode::app_files, fmt::format("build.docker.{}: there is no file {}",
                                                   image.name, printable(image.dockerfile)))
          .set_pos(image.pos)
          .set_hint("the path starts at the app's folder");
    ContainerUnit unit;
    unit.name = image.name;
    unit.file = dockerfile::parse(found->text, found->shown);
    unit.target = image.target;
    // YML-4: the Dockerfile's folder is the context; images of one folder share it.
    unit.context = "context " + image.context();
    add_config(unit, *plan.heroku_yml, request);
    Context context = make_context((folder / image.context()).lexically_normal(),
                                   project.source.identity + "/" + image.context(), found->ignore,
                                   found->ignore_shown);
    unit.surely_ignored = std::move(context.surely_ignored);
    plan.locals.try_emplace(unit.context, std::move(context.directory));
    plan.units.push_back(std::move(unit));
  }
}

/// --build-context NAME=VALUE (S3).
void add_named_contexts(ContainerPlan& plan, const BuildRequest& request) {
  using Kind = dockerfile::NamedContext::Kind;
  for (const auto& [name, value] : request.container.contexts) {
    dockerfile::NamedContext context;
    const auto after = [&](std::string_view prefix) { return value.substr(prefix.size()); };
    if (starts_with(value, "docker-image://")) {
      context = {Kind::image, after("docker-image://")};
    } else if (starts_with(value, "oci-layout://")) {
      context = {Kind::oci_layout, "oci:" + after("oci-layout://")};
    } else if (starts_with(value, "stack:") || starts_with(value, "oci:") ||
               starts_with(value, "oci-archive:") || starts_with(value, "docker-archive:")) {
      context = {Kind::image, value};
    } else if (starts_with(value, "git@") || starts_with(value, "git://") ||
               starts_with(value, "ssh://") ||
               (value.find("://") != std::string::npos &&
                value.substr(0, value.find('#')).ends_with(".git"))) {
      context = {Kind::git, value};
    } else if (starts_with(value, "http://") || starts_with(value, "https://")) {
      context = {Kind::http, value};
    } else {
      std::error_code problem;
      if (!fs::is_directory(value, problem))
        throw Error(ExitCode::usage, fmt::format("--build-context {}: there is no folder '{}'",
                                                 printable(name), printable(value)))
            .set_hint(
                "a folder, docker-image://REF, stack:NAME/build, oci-layout://DIR or a git "
                "URL");
      const fs::path folder = fs::canonical(value);
      context = {Kind::local, "context:" + name};
      plan.locals[context.value] = make_context(folder, folder.string(), {}, {}).directory;
    }
    plan.named_contexts[name] = context;
  }
}

}  // namespace

ContainerPlan plan_containers(const Project& project, const BuildRequest& request,
                              Strategy strategy) {
  ContainerPlan plan;
  if (strategy == Strategy::heroku_yml)
    add_heroku_units(plan, project, request);
  else
    add_dockerfile_unit(plan, project, request);
  add_named_contexts(plan, request);
  return plan;
}

}  // namespace slipway::build
