// What an app is called: cache, BUILD_DIR and releases hang on the name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "source/app_json.h"

namespace slipway::source {

struct AppName {
  enum class Origin { flag, app_json, folder };
  std::string name;
  Origin origin = Origin::folder;
  std::string given;  ///< before it was sanitised
};

/// Names are [a-z0-9][a-z0-9-]{0,62}, so that they can be host names, folders and image names.
bool is_app_name(std::string_view name);
/// Lower case, every run of other signs becomes one '-', none at the ends, at most 63 bytes; "app"
/// when nothing is left.
std::string sanitise_app_name(std::string_view text);

/// --app, else app.json's name, else the folder's. A bad --app is Error(usage), because silently
/// renaming what somebody typed would make a second app; the other two are sanitised.
/// `source` is the absolute folder, or the URL or archive's name: its last part without ".git",
/// ".tar.gz", ".tgz" and "#ref" counts.
AppName choose_app_name(const std::optional<std::string>& flag, const AppJson* app_json,
                        std::string_view source);

/// 8 hex digits of BLAKE2b of the name: the same app builds under the same path, so that packs
/// which write BUILD_DIR down stay reproducible.
std::string build_dir_hex(std::string_view app_name);
/// "/tmp/build_<hex>", as seen inside the build.
std::string build_dir(std::string_view app_name);

}  // namespace slipway::source
