// version, doctor, buildpack, completion.
#include <cstdio>

#include "base/files.h"
#include "base/installation.h"
#include "base/text.h"
#include "build/emulators.h"
#include "build/packs.h"
#include "cli/command.h"
#include "sandbox/ids.h"

namespace slipway::cli {

std::function<int()> setup_version(CLI::App& app, Environment&) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print JSON");
  return [json] {
    if (*json)
      fmt::print("{}\n", dump_json({{"version", SLIPWAY_VERSION}}));
    else
      fmt::print("slipway {}\n", SLIPWAY_VERSION);
    return 0;
  };
}

std::function<int()> setup_doctor(CLI::App& app, Environment& environment) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "print JSON");
  return [json, &environment] {
    sandbox::MachineReport report = sandbox::probe_machine(&environment.store());
    std::vector<std::string> emulated;
    for (const oci::Platform& platform : build::emulated_platforms())
      emulated.push_back(platform.to_string());
    report.capabilities.push_back(
        {"other platforms", !emulated.empty(), false,
         emulated.empty() ? "RUN works for " + oci::native_platform().to_string() + " alone"
                          : "emulated: " + join(emulated, ", "),
         emulated.empty() ? "register QEMU with the kernel (on Debian: qemu-user-static)" : ""});
    const char* rung = sandbox::isolation_name(report.rung);
    Json list = Json::array();
    for (const sandbox::Capability& row : report.capabilities)
      list.push_back({{"name", row.name},
                      {"ok", row.ok},
                      {"required", row.required},
                      {"detail", row.detail},
                      {"remedy", row.remedy}});
    if (*json) {
      fmt::print("{}\n", dump_json({{"isolation", rung}, {"capabilities", list}}, 2));
    } else {
      for (const sandbox::Capability& row : report.capabilities) {
        fmt::print("{} {:<22} {}\n",
                   row.ok         ? "ok     "
                   : row.required ? "MISSING"
                                  : "without",
                   row.name, row.detail);
        if (!row.remedy.empty()) fmt::print("        {:<22} remedy: {}\n", "", row.remedy);
      }
      fmt::print("\nisolation that works here: {}\n", rung);
    }
    return static_cast<int>(report.rung == sandbox::Isolation::oci ? ExitCode::ok
                                                                   : ExitCode::machine);
  };
}

std::function<int()> setup_buildpack(CLI::App& app, Environment&) {
  struct Flags {
    std::string name;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  app.require_subcommand(1);
  CLI::App* ls = app.add_subcommand("ls", "list the built-in buildpacks");
  ls->add_flag("--json", flags->json, "print JSON");
  CLI::App* info = app.add_subcommand("info", "show the scripts of a built-in buildpack");
  info->add_option("NAME", flags->name)->required();
  return [=] {
    const std::vector<std::string> packs = build::builtin_packs();
    if (ls->parsed()) {
      std::vector<std::vector<std::string>> rows;
      for (const std::string& name : packs)
        rows.push_back({name, (data_directory() / "buildpacks" / name).string()});
      print_table({"name", "folder"}, rows, flags->json);
      return 0;
    }
    SLIPWAY_CHECK(info->parsed());
    if (std::find(packs.begin(), packs.end(), flags->name) == packs.end()) {
      Error error(ExitCode::usage,
                  fmt::format("there is no built-in buildpack '{}'", printable(flags->name)));
      if (const auto near = closest(flags->name, packs))
        error.set_hint(fmt::format("did you mean '{}'?", *near));
      throw error;
    }
    const fs::path folder = data_directory() / "buildpacks" / flags->name;
    fmt::print("{}\n", folder.string());
    for (const char* script : {"detect", "compile", "release", "report"})
      if (fs::exists(folder / "bin" / script)) fmt::print("  bin/{}\n", script);
    return 0;
  };
}

std::function<int()> setup_completion(CLI::App& app, Environment&) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")->required();
  return [shell] {
    std::vector<std::string> names;
    for (const Command& command : commands()) names.emplace_back(command.name);
    if (*shell == "bash") {
      fmt::print("complete -W '{}' -o default slipway\n", join(names, " "));
    } else if (*shell == "zsh") {
      fmt::print("#compdef slipway\n_arguments '1: :({})' '*: :_files'\n", join(names, " "));
    } else if (*shell == "fish") {
      for (const Command& command : commands())
        fmt::print("complete -c slipway -n __fish_use_subcommand -a {} -d {}\n", command.name,
                   shell_quote(command.help));
    } else {
      fail(ExitCode::usage, "no completion for '{}': bash, zsh or fish", printable(*shell));
    }
    return 0;
  };
}

}  // namespace slipway::cli
