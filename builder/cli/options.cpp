// Options several commands share.
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "cli/command.h"
#include "source/env_file.h"

namespace slipway::cli {

void SandboxOptions::declare(CLI::App& app, bool with_timeout) {
  app.add_option("--isolation", isolation,
                 "oci (namespaces, the default), chroot (root in a container that may neither "
                 "mount nor unshare) or none (no isolation at all)")
      ->type_name("RUNG");
  app.add_option("--memory", memory, "memory limit, as in 512M or 2G")->type_name("SIZE");
  app.add_option("--cpus", cpus, "processor limit, as in 1.5")->type_name("N");
  if (with_timeout)
    app.add_option("--timeout", timeout, "limit of all steps together (default 15m)")
        ->type_name("TIME");
}

sandbox::Isolation SandboxOptions::parsed_isolation() const {
  if (isolation == "oci") return sandbox::Isolation::oci;
  if (isolation == "chroot") return sandbox::Isolation::chroot;
  if (isolation == "none") return sandbox::Isolation::none;
  throw Error(ExitCode::usage, fmt::format("--isolation {}: no such rung", printable(isolation)))
      .set_hint("oci, chroot or none; `slipway doctor` says what works here");
}

sandbox::Limits SandboxOptions::parsed_limits() const {
  sandbox::Limits limits;
  if (!memory.empty()) {
    const auto bytes = parse_size(memory);
    if (!bytes || *bytes == 0) fail(ExitCode::usage, "--memory {}: not a size", printable(memory));
    limits.memory_bytes = *bytes;
  }
  if (cpus < 0) fail(ExitCode::usage, "--cpus {}: must be above 0", cpus);
  limits.cpus = cpus;
  return limits;
}

void ConfigOptions::declare(CLI::App& app) {
  app.add_option("-e,--env", env, "set a config var; K alone takes the value from the environment")
      ->type_name("K[=V]")
      ->allow_extra_args(false);
  app.add_option("--env-file", env_files, "config vars from a file of K=V lines")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--secret-env", secret_env, "like -e, and masked in every output")
      ->type_name("K[=V]")
      ->allow_extra_args(false);
}

std::map<std::string, std::string> ConfigOptions::parsed(
    std::set<std::string>* secret_names) const {
  std::map<std::string, std::string> config;
  const auto add = [&](const source::EnvEntry& entry, bool must_exist) {
    if (entry.value) {
      config[entry.key] = *entry.value;
      return true;
    }
    if (const char* value = std::getenv(entry.key.c_str())) {
      config[entry.key] = value;
      return true;
    }
    if (must_exist && !config.contains(entry.key))
      throw Error(ExitCode::usage, fmt::format("{} is not set in the environment", entry.key))
          .set_hint(fmt::format("give its value: {}=VALUE", entry.key));
    return false;
  };
  for (const std::string& file : env_files) {
    const source::EnvFile parsed = source::parse_env_file(read_file(file, 1 << 20), file);
    // The progress display starts later; what is told here comes before it.
    for (const source::Warning& warning : parsed.warnings)
      fmt::print(stderr, "warning: {}\n", warning.to_string());
    for (const source::EnvEntry& entry : parsed.entries) (void)add(entry, false);
  }
  for (const std::string& argument : env) (void)add(source::parse_env_flag(argument, "-e"), true);
  for (const std::string& argument : secret_env) {
    const source::EnvEntry entry = source::parse_env_flag(argument, "--secret-env");
    (void)add(entry, true);
    if (secret_names != nullptr) secret_names->insert(entry.key);
  }
  source::check_config_size(config);
  return config;
}

graph::Network parse_network(const std::string& name) {
  if (name == "none") return graph::Network::none;
  // docker's word for it is "default".
  if (name == "open" || name == "default") return graph::Network::open;
  if (name == "host") return graph::Network::host;
  throw Error(ExitCode::usage, fmt::format("--network {}: no such network", printable(name)))
      .set_hint("none, open (its own network, host unreachable) or host");
}

void print_table(const std::vector<std::string>& header,
                 const std::vector<std::vector<std::string>>& rows, bool json) {
  if (json) {
    Json list = Json::array();
    for (const auto& row : rows) {
      Json object = Json::object();
      for (size_t i = 0; i < header.size(); ++i) object[header[i]] = row[i];
      list.push_back(std::move(object));
    }
    fmt::print("{}\n", dump_json(list, 2));
    return;
  }
  std::vector<size_t> widths(header.size());
  for (size_t i = 0; i < header.size(); ++i) {
    widths[i] = header[i].size();
    for (const auto& row : rows) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto print_row = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    fmt::print("{}\n", line);
  };
  print_row(header);
  for (const auto& row : rows) print_row(row);
}

}  // namespace slipway::cli
