#include "netfetch/registry_trust.h"

#include <cstdlib>

#include "base/error.h"
#include "base/files.h"
#include "base/text.h"
#include "oci/reference.h"

namespace slipway::netfetch {
namespace {

constexpr size_t certificate_bytes_max = 1 << 20;

fs::path folder_of(const std::string& domain) {
  // It becomes part of a path.
  SLIPWAY_CHECK(oci::is_domain(domain));
  std::vector<fs::path> roots;
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config != nullptr && *config != '\0')
    roots.emplace_back(config);
  else if (home != nullptr && *home != '\0')
    roots.push_back(fs::path(home) / ".config");
  roots.emplace_back("/etc");
  for (const fs::path& root : roots) {
    for (const char* owner : {"containers", "docker"}) {
      const fs::path folder = root / owner / "certs.d" / domain;
      std::error_code problem;
      if (fs::is_directory(folder, problem)) return folder;
    }
  }
  return {};
}

}  // namespace

Trust trust_for(const std::string& domain) {
  Trust trust;
  const fs::path folder = folder_of(domain);
  std::string own;
  if (!folder.empty()) {
    const Fd opened = open_file(folder.string(), O_RDONLY | O_DIRECTORY);
    for (const std::string& name : list_directory(opened.get())) {
      const fs::path file = folder / name;
      if (ends_with(name, ".crt")) own += read_file(file, certificate_bytes_max) + "\n";
      if (!ends_with(name, ".cert")) continue;
      const fs::path key = fs::path(file).replace_extension(".key");
      if (!fs::exists(key))
        fail(ExitCode::machine, "{} has no key: {} is missing", file.string(), key.string());
      trust.client_certificate = file.string();
      trust.client_key = key.string();
    }
  }
  trust.authorities_pem = trusted_certificates(own);
  return trust;
}

}  // namespace slipway::netfetch
