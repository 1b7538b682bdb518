// Credentials for registries, where docker keeps them (dockerfile.md N7): config.json, credential
// helpers, DOCKER_AUTH_CONFIG. Only this program reads them; no value of theirs is ever part of a
// message (threat 15).
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/json.h"

namespace slipway::netfetch {

struct Credentials {
  std::string user, secret;
  std::string identity_token;  ///< buys tokens in place of user and secret
  std::string registry_token;  ///< is a token
  bool empty() const { return secret.empty() && identity_token.empty() && registry_token.empty(); }
};

class CredentialStore {
 public:
  /// DOCKER_AUTH_CONFIG and $DOCKER_CONFIG/config.json (else ~/.docker/config.json); files that are
  /// not there are empty. Throws Error(machine) with file:line:column for one that cannot be read.
  static CredentialStore load();

  /// For a registry by its domain ("localhost:5000"): DOCKER_AUTH_CONFIG first, then the helper
  /// configured for it (credHelpers over credsStore), then the file's own entry. Runs the helper:
  /// argv, no shell, the key on its stdin. A helper that fails is an Error(machine); one that
  /// knows nothing is not.
  std::optional<Credentials> find(const std::string& domain) const;

  /// Keeps them with the helper, if one is configured, else in the file (0600, all else in it
  /// unchanged). Returns where: a path, or "the credential helper docker-credential-…".
  std::string store(const std::string& domain, const Credentials& credentials);
  /// Whether there was something to erase.
  bool erase(const std::string& domain);

  /// The key credentials are filed under: the domain, but for the default registry's old address.
  static std::string key(const std::string& domain);

 private:
  std::string helper_for(const std::string& domain) const;
  const Json* entry(const Json& config, const std::string& domain) const;
  void change_file(const std::function<void(nlohmann::ordered_json&)>& change);

  std::filesystem::path file_;  ///< empty = no home directory
  Json config_ = Json::object(), from_environment_ = Json::object();
};

}  // namespace slipway::netfetch
