#include "build/packs.h"

#include "base/error.h"
#include "base/files.h"
#include "base/installation.h"
#include "base/text.h"

namespace slipway::build {
namespace {

using source::BuildpackRef;

graph::NodeRef local_pack(const std::string& name, const fs::path& folder,
                          const std::string& prefix, const graph::Owner& owner,
                          std::map<std::string, engine::LocalDir>& locals) {
  engine::LocalDir dir;
  dir.path = folder.string();
  // A work tree's .git is kept: some packs ask git about themselves (SRC-8).
  dir.ignored = [](const std::string&, bool) { return false; };
  locals[name] = dir;
  graph::LocalOp op;
  op.name = name;
  op.prefix = prefix;
  op.owner = owner;
  op.executable_bin = true;
  return graph::Node::make(op);
}

bool is_pack(const fs::path& folder) {
  return fs::exists(folder / "bin" / "detect") || fs::exists(folder / "bin" / "compile");
}

bool is_repository(const fs::path& folder) {
  return fs::exists(folder / "objects") || fs::exists(folder / ".git");
}

fs::path pack_folder(const BuildpackRef& ref, const fs::path& base, const fs::path& app_folder) {
  const fs::path folder = fs::absolute(base / ref.path).lexically_normal();
  if (is_pack(folder)) return fs::canonical(folder);
  const std::string shown = printable(ref.path);
  if (!fs::exists(folder)) {
    Error error(ExitCode::usage, fmt::format("the buildpack '{}' is not there: {} does not exist",
                                             shown, printable(folder.string())));
    const size_t hash = ref.path.find('#');
    if (hash != std::string::npos && is_repository(base / ref.path.substr(0, hash)))
      throw std::move(error).set_hint(
          fmt::format("a repository with a ref is named by its URL: -b {}",
                      shell_quote("file://" + folder.string())));
    if (base != app_folder && is_pack(app_folder / ref.path))
      throw std::move(error).set_hint(
          fmt::format("a folder is looked for where you are; the app has one: -b {}",
                      shell_quote((app_folder / ref.path).lexically_normal().string())));
    throw error;
  }
  Error error(ExitCode::usage,
              fmt::format("the buildpack '{}' has neither bin/detect nor bin/compile", shown));
  if (is_repository(folder))
    throw std::move(error).set_hint(
        fmt::format("it is a git repository: -b {}", shell_quote("file://" + folder.string())));
  throw std::move(error).set_hint("looked in " + printable(folder.string()));
}

}  // namespace

std::vector<std::string> builtin_packs() {
  std::vector<std::string> names;
  const fs::path folder = data_directory() / "buildpacks";
  const Fd dir = open_file(folder.string(), O_RDONLY | O_DIRECTORY);
  for (const std::string& name : list_directory(dir.get()))
    if (fs::exists(folder / name / "bin" / "compile")) names.push_back(name);
  return names;
}

std::vector<buildpack::Unit> make_units(const std::vector<BuildpackRef>& refs, const fs::path& base,
                                        const fs::path& app_folder, const graph::Owner& owner,
                                        std::map<std::string, engine::LocalDir>& locals) {
  std::vector<buildpack::Unit> units;
  for (size_t i = 0; i < refs.size(); ++i) {
    const BuildpackRef& ref = refs[i];
    buildpack::Unit unit;
    unit.display = ref.public_name();
    unit.folder = buildpack::unit_folder(i, ref.kind == BuildpackRef::Kind::folder
                                                ? fs::path(ref.path).lexically_normal().string()
                                                : unit.display);
    const std::string prefix = buildpack::unit_prefix(unit.folder);
    const std::string name = "buildpack " + unit.folder;
    switch (ref.kind) {
      case BuildpackRef::Kind::builtin: {
        const fs::path packs = data_directory() / "buildpacks";
        unit.source = local_pack(name, packs / ref.name, prefix, owner, locals);
        // Built-in packs share their bash library; each sees it as its own lib/.
        if (fs::is_directory(packs / "lib") && !fs::exists(packs / ref.name / "lib"))
          unit.extras.push_back(
              local_pack(name + " lib", packs / "lib", prefix + "/lib", owner, locals));
        break;
      }
      case BuildpackRef::Kind::folder:
        unit.source = local_pack(name, pack_folder(ref, base, app_folder), prefix, owner, locals);
        break;
      case BuildpackRef::Kind::git: {
        graph::GitOp op;
        op.url = ref.url;
        op.ref = ref.ref;
        op.keep_git_dir = true;
        op.prefix = prefix;
        op.owner = owner;
        op.executable_bin = true;
        unit.source = graph::Node::make(op, {}, {.title = "buildpack " + ref.display()});
        break;
      }
      case BuildpackRef::Kind::registry:
      case BuildpackRef::Kind::tarball: {
        graph::HttpOp op;
        op.url = ref.url;
        op.unpack = true;
        op.strip_wrapper = true;
        op.prefix = prefix;
        op.owner = owner;
        op.executable_bin = true;
        unit.source = graph::Node::make(op, {}, {.title = "buildpack " + ref.display()});
        break;
      }
    }
    units.push_back(std::move(unit));
  }
  return units;
}

}  // namespace slipway::build
