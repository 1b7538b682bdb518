// Reading a stack's folder.
#include "base/files.h"
#include "base/installation.h"
#include "base/text.h"
#include "stack/stacks.h"

namespace slipway::stack {
namespace {

constexpr size_t file_max = 1 << 20;

std::vector<std::string> package_list(const std::string& text) {
  std::vector<std::string> packages;
  for (const std::string& line : split(text, '\n')) {
    const std::string name(trim(line.substr(0, line.find('#'))));
    if (!name.empty()) packages.push_back(name);
  }
  return packages;
}

}  // namespace

std::vector<std::string> defined_names() {
  std::vector<std::string> names;
  const Fd dir = open_file((data_directory() / "stacks").string(), O_RDONLY | O_DIRECTORY);
  for (const std::string& name : list_directory(dir.get()))
    if (fs::exists(data_directory() / "stacks" / name / "stack.json")) names.push_back(name);
  return names;
}

std::optional<Definition> read_definition(const std::string& name) {
  // A name is a folder's name, never a path (threat 24).
  if (name.empty() || name.find('/') != std::string::npos || name[0] == '.') return std::nullopt;
  const fs::path folder = data_directory() / "stacks" / name;
  const auto text = read_file_if_exists(folder / "stack.json", file_max);
  if (!text) return std::nullopt;
  const Json json =
      parse_json(*text, (folder / "stack.json").string(), static_cast<int>(ExitCode::machine));
  Definition definition;
  definition.name = name;
  definition.suite = json.at("suite").get<std::string>();
  definition.presents = json.value("presents", name);
  definition.can_present = json.value("can_present", std::vector<std::string>{});
  const std::string run = read_file(folder / "run.packages", file_max);
  const std::string build = read_file(folder / "build.packages", file_max);
  definition.run_packages = package_list(run);
  definition.build_packages = package_list(build);
  definition.setup_script = read_file(folder / "setup.sh", file_max);
  definition.dpkg_options = read_file_if_exists(folder / "dpkg.cfg", file_max).value_or("");
  definition.digest = KeyBuilder("stack 1")
                          .add("suite", definition.suite)
                          .add("run", join(definition.run_packages, "\n"))
                          .add("build", join(definition.build_packages, "\n"))
                          .add("setup", definition.setup_script)
                          .add("dpkg", definition.dpkg_options)
                          .finish();
  return definition;
}

}  // namespace slipway::stack
