#include "source/heroku_yml.h"

#include <filesystem>
#include <set>

#include "base/text.h"
#include "source/env_file.h"
#include "source/procfile.h"
#include "source/yaml_members.h"

namespace slipway::source {
namespace {

namespace fs = std::filesystem;

constexpr size_t size_max_bytes = 1 << 20;
constexpr size_t problems_max = 20;

using Members = std::vector<YamlMember>;

// The schema's names of types, as the platform's messages have them.
const char* schema_type(const YAML::Node& node) {
  if (node.IsSequence()) return "array";
  if (node.IsMap()) return "object";
  return node.IsScalar() ? "string" : "null";
}

const YamlMember* find(const Members& members, std::string_view key) {
  for (const YamlMember& member : members)
    if (member.key == key) return &member;
  return nullptr;
}

// "$NAME" or "${NAME}" and nothing else.
std::string config_var(std::string_view value) {
  if (!value.starts_with('$')) return {};
  value.remove_prefix(1);
  if (value.size() >= 2 && value.front() == '{' && value.back() == '}')
    value = value.substr(1, value.size() - 2);
  return is_config_key(value) ? std::string(value) : std::string();
}

class Reader {
 public:
  explicit Reader(const std::string& file)
      : file_(file), members_([this](const YAML::Node& node, const std::string& problem) {
          complain(node.Mark(), problem);
        }) {}

  HerokuYml read(std::string_view text) {
    const YAML::Node root = load(text);
    if (!root.IsMap())
      complain(root.Mark(),
               fmt::format("heroku.yml in body must be of type object: \"{}\"", schema_type(root)),
               "write a map with build, and setup, release or run beside it");
    else
      read_top(members_.of(root));
    finish();
    return std::move(yml_);
  }

 private:
  void complain(const YAML::Mark& mark, std::string text, std::string hint = {}) {
    complain(yaml_position(mark, file_), std::move(text), std::move(hint));
  }
  void complain(SourcePos pos, std::string text, std::string hint = {}) {
    if (problems_.size() < problems_max)
      problems_.push_back({std::move(pos), std::move(text), std::move(hint)});
  }

  // Ends the reading when something was wrong so far.
  void finish() {
    if (problems_.empty()) return;
    std::stable_sort(problems_.begin(), problems_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.pos.line, a.pos.column) < std::pair(b.pos.line, b.pos.column);
    });
    throw HerokuYmlInvalid(std::move(problems_));
  }

  YAML::Node load(std::string_view text) {
    if (text.size() > size_max_bytes) {
      complain(SourcePos{file_, 1, 1}, "it is larger than 1 MiB");
      finish();
    }
    const size_t nul = text.find('\0');
    if (nul != std::string_view::npos) {
      const std::string_view before = text.substr(0, nul);
      const int line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
      const size_t start = before.rfind('\n');
      const size_t column = start == std::string_view::npos ? nul + 1 : nul - start;
      problems_.push_back(
          {{file_, line, static_cast<int>(column)}, "it holds a NUL byte", "save it as UTF-8"});
      finish();
    }
    YAML::Node root;
    try {
      root = YAML::Load(std::string(text));
    } catch (const YAML::Exception& problem) {
      complain(problem.mark, "it is no YAML: " + printable(problem.msg));
    }
    finish();
    return root;
  }

  void forbid(const YamlMember& member, const std::string& path, std::string hint = {}) {
    complain(member.key_node.Mark(), printable(path) + " in body is a forbidden property",
             std::move(hint));
  }

  void wrong_type(const YAML::Node& node, const std::string& path, const char* expected,
                  std::string hint = {}) {
    complain(node.Mark(),
             fmt::format("{} in body must be of type {}: \"{}\"", printable(path), expected,
                         schema_type(node)),
             std::move(hint));
  }

  std::optional<Members> map(const YAML::Node& node, const std::string& path) {
    if (node.IsMap()) return members_.of(node);
    wrong_type(node, path, "object");
    return std::nullopt;
  }

  std::optional<std::string> scalar(const YAML::Node& node, const std::string& path,
                                    std::string hint = {}) {
    if (node.IsScalar()) return node.Scalar();
    wrong_type(node, path, "string", std::move(hint));
    return std::nullopt;
  }

  void read_top(const Members& top) {
    // Images first: release and run name them.
    const YamlMember* build = find(top, "build");
    if (build != nullptr) read_build(build->value);
    for (const YamlMember& member : top) {
      if (member.key == "setup")
        read_setup(member.value);
      else if (member.key == "release")
        read_release(member.value);
      else if (member.key == "run")
        read_run(member.value);
      else if (member.key != "build")
        forbid(member, member.key, unknown_hint(member.key, {"setup", "build", "release", "run"}));
    }
    if (build == nullptr)
      complain(SourcePos{file_, 1, 1}, "build in body is required",
               "name an image and its Dockerfile: \"build: {docker: {web: Dockerfile}}\"");
    add_own_commands();
  }

  static std::string unknown_hint(const std::string& key, const std::vector<std::string>& known) {
    const std::optional<std::string> near = closest(key, known);
    return near ? fmt::format("did you mean '{}'?", *near) : "known here: " + join(known, ", ");
  }

  void read_setup(const YAML::Node& node) {
    if (node.IsNull()) return;
    const std::optional<Members> setup = map(node, "setup");
    if (!setup) return;
    for (const YamlMember& member : *setup) {
      if (member.key == "addons")
        read_addons(member.value);
      else if (member.key == "config")
        read_setup_config(member.value);
      else
        // A push never reads setup: what the platform may have added since must not stop a build.
        yml_.warnings.push_back(
            {yaml_position(member.key_node.Mark(), file_),
             fmt::format("setup.{} is not known here and is left alone", printable(member.key))});
    }
  }

  void read_addons(const YAML::Node& node) {
    if (node.IsNull()) return;
    if (!node.IsSequence()) return wrong_type(node, "setup.addons", "array");
    for (const auto& item : node) {
      HerokuAddon addon;
      if (item.IsScalar()) {
        addon.plan = item.Scalar();
      } else {
        const std::optional<Members> fields = map(item, "setup.addons");
        if (!fields) continue;
        for (const YamlMember& field : *fields) {
          const std::string path = "setup.addons." + field.key;
          if (field.key == "plan")
            addon.plan = scalar(field.value, path).value_or("");
          else if (field.key == "as")
            addon.as = scalar(field.value, path).value_or("");
          else
            forbid(field, path, unknown_hint(field.key, {"plan", "as"}));
        }
        if (find(*fields, "plan") == nullptr)
          complain(item.Mark(), "setup.addons.plan in body is required");
      }
      yml_.addons.push_back(std::move(addon));
    }
  }

  void read_setup_config(const YAML::Node& node) {
    if (node.IsNull()) return;
    const std::optional<Members> config = map(node, "setup.config");
    if (!config) return;
    for (const YamlMember& member : *config)
      if (const auto value = scalar(member.value, "setup.config." + member.key))
        yml_.setup_config[member.key] = *value;
  }

  void read_build(const YAML::Node& node) {
    const std::optional<Members> build = map(node, "build");
    if (!build) return;
    for (const YamlMember& member : *build) {
      const std::string path = "build." + member.key;
      if (member.key == "docker")
        read_images(member.value);
      else if (member.key == "config")
        read_build_config(member.value);
      else if (member.key == "languages" || member.key == "packages" || member.key == "pre")
        forbid(member, path,
               "building with buildpacks through heroku.yml was withdrawn (YML-3): build images "
               "with build.docker, or remove heroku.yml and use buildpacks");
      else
        forbid(member, path, unknown_hint(member.key, {"docker", "config"}));
    }
    if (find(*build, "docker") == nullptr)
      complain(node.Mark(), "build.docker in body is required",
               "name an image and its Dockerfile: \"docker: {web: Dockerfile}\"");
  }

  void read_images(const YAML::Node& node) {
    const std::optional<Members> images = map(node, "build.docker");
    if (!images) return;
    if (images->empty())
      complain(node.Mark(), "build.docker in body should have at least 1 properties",
               "name an image and its Dockerfile: \"docker: {web: Dockerfile}\"");
    for (const YamlMember& member : *images) {
      const std::string path = "build.docker." + member.key;
      if (!is_process_type_name(member.key)) {
        forbid(member, path, "an image's name has letters, digits, '-' and '_'");
        continue;
      }
      HerokuImage image{member.key, {}, {}, yaml_position(member.value.Mark(), file_)};
      if (member.value.IsScalar()) {
        image.dockerfile = dockerfile(member.value, path);
      } else if (member.value.IsMap()) {
        read_image(member.value, path, image);
      } else {
        wrong_type(member.value, path, "string or object",
                   "write the Dockerfile's path, or {dockerfile: PATH, target: STAGE}");
        continue;
      }
      yml_.images.push_back(std::move(image));
    }
  }

  void read_image(const YAML::Node& node, const std::string& path, HerokuImage& image) {
    const Members fields = members_.of(node);
    for (const YamlMember& field : fields) {
      const std::string name = path + "." + field.key;
      if (field.key == "target")
        image.target = scalar(field.value, name).value_or("");
      else if (field.key == "dockerfile" && scalar(field.value, name))
        image.dockerfile = dockerfile(field.value, name);
      else if (field.key != "dockerfile")
        forbid(field, name, unknown_hint(field.key, {"dockerfile", "target"}));
    }
    if (find(fields, "dockerfile") == nullptr)
      complain(node.Mark(), printable(path) + ".dockerfile in body is required");
  }

  // A clean relative path (threat 24).
  std::string dockerfile(const YAML::Node& node, const std::string& path) {
    const std::string& written = node.Scalar();
    const std::string clean = fs::path(written).lexically_normal().generic_string();
    if (written.empty() || clean == "." || clean.ends_with('/'))
      complain(node.Mark(), fmt::format("{}: '{}' is no path of a Dockerfile", printable(path),
                                        printable(written)));
    else if (written.front() == '/' || clean == ".." || clean.starts_with("../"))
      complain(node.Mark(),
               fmt::format("{}: '{}' leaves the app", printable(path), printable(written)),
               "the path is relative to heroku.yml, and its folder is the build's context");
    return clean;
  }

  void read_build_config(const YAML::Node& node) {
    if (node.IsNull()) return;
    const std::optional<Members> config = map(node, "build.config");
    if (!config) return;
    for (const YamlMember& member : *config) {
      const std::string path = "build.config." + member.key;
      if (!is_config_key(member.key)) {
        forbid(member, path, config_key_rule);
        continue;
      }
      const auto value =
          scalar(member.value, path, member.value.IsNull() ? "for an empty value write \"\"" : "");
      if (value)
        yml_.config.push_back(
            {member.key, *value, config_var(*value), yaml_position(member.value.Mark(), file_)});
    }
  }

  void read_release(const YAML::Node& node) {
    const std::optional<Members> fields = map(node, "release");
    if (!fields) return;
    HerokuCommand release{"release", {}, {}, yaml_position(node.Mark(), file_)};
    if (find(*fields, "command") == nullptr)
      complain(node.Mark(), "release.command in body is required",
               "write \"release: {command: [./release.sh]}\"");
    read_command(*fields, "release", release);
    choose_image(release, find(*fields, "image"), node, "release");
    yml_.release = std::move(release);
  }

  void read_run(const YAML::Node& node) {
    if (node.IsNull()) return;
    const std::optional<Members> run = map(node, "run");
    if (!run) return;
    for (const YamlMember& member : *run) {
      const std::string path = "run." + member.key;
      if (!is_process_type_name(member.key)) {
        forbid(member, path, "a process type's name has letters, digits, '-' and '_'");
        continue;
      }
      HerokuCommand process{member.key, {}, {}, yaml_position(member.value.Mark(), file_)};
      Members fields;
      if (member.value.IsScalar()) {
        process.command = one_line(member.value, path);
      } else if (member.value.IsMap()) {
        fields = members_.of(member.value);
        if (find(fields, "command") == nullptr && find(fields, "image") == nullptr)
          complain(member.value.Mark(), printable(path) + ".command in body is required");
        read_command(fields, path, process);
      } else {
        wrong_type(member.value, path, "string or object",
                   "write the command, or {command: [COMMAND], image: IMAGE}");
        continue;
      }
      choose_image(process, find(fields, "image"), member.value, path);
      yml_.processes.push_back(std::move(process));
    }
  }

  std::vector<std::string> one_line(const YAML::Node& node, const std::string& path) {
    if (trim(node.Scalar()).empty())
      complain(node.Mark(), printable(path) + " in body should be at least 1 chars long");
    return {node.Scalar()};
  }

  void read_command(const Members& fields, const std::string& path, HerokuCommand& result) {
    for (const YamlMember& field : fields) {
      const std::string name = path + "." + field.key;
      if (field.key == "command" && field.value.IsSequence()) {
        for (const auto& item : field.value)
          if (const auto word = scalar(item, name)) result.command.push_back(*word);
        if (field.value.size() == 0)
          complain(field.value.Mark(), printable(name) + " in body should have at least 1 items");
        warn_of_whole_commands(field.value, name, result.command);
      } else if (field.key == "command" && field.value.IsScalar()) {
        result.command = one_line(field.value, name);
      } else if (field.key == "command") {
        wrong_type(field.value, name, "string or array");
      } else if (field.key != "image") {
        forbid(field, name, unknown_hint(field.key, {"command", "image"}));
      }
    }
  }

  // The items are words of one command line, not commands one after the other.
  void warn_of_whole_commands(const YAML::Node& node, const std::string& path,
                              const std::vector<std::string>& command) {
    const auto has_blank = [](const std::string& word) {
      return word.find(' ') != std::string::npos;
    };
    if (command.size() < 2 || std::count_if(command.begin(), command.end(), has_blank) < 2) return;
    yml_.warnings.push_back(
        {yaml_position(node.Mark(), file_),
         fmt::format("the items of {} make one command line, with blanks between them; join "
                     "commands with '&&' in one item",
                     printable(path))});
  }

  // YML-8; `place` is where an image would have been named.
  void choose_image(HerokuCommand& command, const YamlMember* image, const YAML::Node& place,
                    const std::string& path) {
    const auto exists = [&](const std::string& name) {
      return std::any_of(yml_.images.begin(), yml_.images.end(),
                         [&](const HerokuImage& one) { return one.name == name; });
    };
    std::vector<std::string> names;
    for (const HerokuImage& one : yml_.images) names.push_back(one.name);
    if (image != nullptr) {
      command.image = scalar(image->value, path + ".image").value_or("");
      if (image->value.IsScalar() && !exists(command.image) && !yml_.images.empty())
        complain(image->value.Mark(),
                 fmt::format("{}.image: '{}' is no image of build.docker", printable(path),
                             printable(command.image)),
                 unknown_hint(command.image, names));
    } else if (exists(command.name)) {
      command.image = command.name;
    } else if (exists("web")) {
      command.image = "web";
    } else if (yml_.images.size() == 1) {
      command.image = yml_.images.front().name;
    } else if (!yml_.images.empty()) {
      complain(place.Mark(),
               fmt::format("{}.image in body is required: none of {} is called '{}' or 'web'",
                           printable(path), join(names, ", "), printable(command.name)));
    }
  }

  // Images without an entry of run become process types through their CMD.
  void add_own_commands() {
    std::set<std::string> named;
    for (const HerokuCommand& process : yml_.processes) named.insert(process.name);
    for (const HerokuImage& image : yml_.images)
      if (!named.contains(image.name))
        yml_.processes.push_back({image.name, image.name, {}, image.pos});
  }

  std::string file_;
  YamlMembers members_;
  HerokuYml yml_;
  std::vector<HerokuYmlInvalid::Problem> problems_;
};

std::string first_words(const std::vector<HerokuYmlInvalid::Problem>& problems) {
  SLIPWAY_CHECK(!problems.empty());
  std::string text = "the manifest is invalid: " + problems.front().text;
  if (problems.size() > 1) text += fmt::format(" (and {} more)", problems.size() - 1);
  return text;
}

}  // namespace

HerokuYmlInvalid::HerokuYmlInvalid(std::vector<Problem> problems)
    : Error(ExitCode::app_files, first_words(problems)), problems_(std::move(problems)) {
  set_pos(problems_.front().pos);
  std::string hint = problems_.front().hint;
  for (size_t i = 1; i < problems_.size(); ++i) {
    if (!hint.empty()) hint += "\n";
    hint += problems_[i].pos.to_string() + ": " + problems_[i].text;
  }
  if (!hint.empty()) set_hint(std::move(hint));
}

std::string HerokuImage::context() const {
  const std::string folder = fs::path(dockerfile).parent_path().generic_string();
  return folder.empty() ? "." : folder;
}

std::string HerokuCommand::line() const {
  return join(command, " ");
}

HerokuYml parse_heroku_yml(std::string_view text, const std::string& file) {
  return Reader(file).read(text);
}

}  // namespace slipway::source
