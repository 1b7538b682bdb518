// Names that belong to others: where the buildpack registry lives, how its URLs look, in which
// order the platform tries its buildpacks, which image registry a short name means. They stand in
// one data file, public_names.json, which the build embeds (SRC-5, SRC-13).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace slipway::source {

struct RegistryName {
  std::string ns, name;
  std::string text() const { return ns + "/" + name; }
};

/// The registry an image name without a domain means (dockerfile.md F4, N7).
struct ImageRegistry {
  std::string domain;                    ///< as it stands in references
  std::vector<std::string> aliases;      ///< other spellings of the domain
  std::string ns;                        ///< of names with one part
  std::string host;                      ///< where it is reached
  std::string credentials_key;           ///< what credentials for it are filed under
  std::vector<std::string> token_hosts;  ///< may be sent its users' credentials
};

/// The images a platform builds in and runs on.
struct StackImages {
  std::string build, run;  ///< references
};

struct PublicNames {
  std::string registry;                      ///< URL with {ns} and {name}
  std::vector<std::string> registry_shapes;  ///< URLs that mean a registry name
  std::string official_namespace;
  std::vector<std::string> official_shapes;  ///< URLs with {name} in the official namespace
  std::vector<std::string> detection_order;  ///< SRC-13
  ImageRegistry images;
  std::map<std::string, StackImages> stacks;  ///< by the stack's name

  /// Download address of the latest published version (SRC-5).
  std::string registry_url(const RegistryName& name) const;
  /// The registry name a URL stands for, if it has one of the known shapes.
  std::optional<RegistryName> registry_name(std::string_view url) const;

  /// Reads a file of the same form, for a mirror of one's own. Throws Error(machine).
  static PublicNames parse(std::string_view json, const std::string& file);
};

/// The embedded file.
const PublicNames& public_names();

/// A part of a registry name: word characters and '-' (SRC-5).
bool is_registry_part(std::string_view part);

}  // namespace slipway::source
