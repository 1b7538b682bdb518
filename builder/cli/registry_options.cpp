#include "base/text.h"
#include "cli/command.h"
#include "oci/reference.h"

namespace slipway::cli {
namespace {

/// What a flag says, else what its variable does.
std::vector<std::string> list_of(const std::vector<std::string>& flags, const char* variable) {
  if (!flags.empty()) return flags;
  std::vector<std::string> words;
  const char* value = std::getenv(variable);
  for (const std::string& word : split(value != nullptr ? value : "", ' '))
    if (!word.empty()) words.push_back(word);
  return words;
}

}  // namespace

void RegistryOptions::declare(CLI::App& app, bool with_mirrors) {
  app.add_option("--insecure-registry", insecure,
                 "a registry whose TLS is not verified and which may speak plain http\n"
                 "(SLIPWAY_INSECURE_REGISTRIES)")
      ->type_name("HOST[:PORT]")
      ->allow_extra_args(false);
  app.add_option("--registry-token-host", token_hosts,
                 "a host of another site that may be sent a registry's credentials for a token\n"
                 "(SLIPWAY_REGISTRY_TOKEN_HOSTS)")
      ->type_name("HOST")
      ->allow_extra_args(false);
  if (!with_mirrors) return;
  app.add_option("--registry-mirror", mirrors,
                 "asked before the registry (the default one where none is named)\n"
                 "(SLIPWAY_REGISTRY_MIRRORS)")
      ->type_name("[REGISTRY=]URL")
      ->allow_extra_args(false);
}

fetch::RegistrySettings RegistryOptions::parsed() const {
  fetch::RegistrySettings settings;
  for (const std::string& host : list_of(insecure, "SLIPWAY_INSECURE_REGISTRIES"))
    settings.insecure.insert(oci::parse_registry(host));
  for (const std::string& host : list_of(token_hosts, "SLIPWAY_REGISTRY_TOKEN_HOSTS"))
    settings.token_hosts.insert(oci::parse_registry(host));
  for (const std::string& mirror : list_of(mirrors, "SLIPWAY_REGISTRY_MIRRORS")) {
    const size_t equals = mirror.find('=');
    const std::string registry = equals == std::string::npos ? "" : mirror.substr(0, equals);
    std::string url = equals == std::string::npos ? mirror : mirror.substr(equals + 1);
    if (url.find("://") == std::string::npos) url.insert(0, "https://");
    settings.mirrors[oci::parse_registry(registry)].push_back(url);
  }
  return settings;
}

}  // namespace slipway::cli
