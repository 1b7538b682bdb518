// Which buildpacks build an app, and the words that say why: -b, the app's setting, BUILDPACK_URL,
// app.json, .buildpacks, detection — the first that names any wins.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "source/app_json.h"
#include "source/buildpack_ref.h"
#include "source/buildpacks_file.h"

namespace slipway::source {

struct SelectionInputs {
  std::vector<std::string> flags;                   ///< -b, in order
  std::vector<std::string> setting;                 ///< `slipway buildpacks set -a APP`
  std::map<std::string, std::string> config;        ///< config vars: BUILDPACK_URL (SRC-10)
  const AppJson* app_json = nullptr;                ///< null: no such file
  const BuildpacksFile* buildpacks_file = nullptr;  ///< null: no such file
  std::vector<std::string> builtins;                ///< names of the built-in ones that exist
};

struct Selection {
  enum class Origin { flag, setting, buildpack_url, app_json, buildpacks_file, detection };
  Origin origin = Origin::detection;
  /// In order. For detection: the candidates in the order they are tried, first success wins.
  std::vector<BuildpackRef> buildpacks;
  std::string reason;              ///< "named with -b", "listed in app.json (line 4)", …
  std::vector<std::string> notes;  ///< what was overridden: "app.json lists buildpacks too, …"
};

/// Pure. A bad reference throws Error(usage), from a file of the app Error(app_files) with its
/// position. Files of the app may only name folders inside the app and no file:// URL: who pushes
/// to a shared builder must not read its disk (threat 24).
Selection select_buildpacks(const SelectionInputs& inputs);

/// SRC-13's order restricted to `builtins`; what the platform does not know comes after, by name,
/// with "elixir" before "phoenix-static".
std::vector<std::string> detection_order(const std::vector<std::string>& builtins,
                                         const PublicNames& names = public_names());

}  // namespace slipway::source
