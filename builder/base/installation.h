// Where the parts that come with the program lie: beside the build tree's binary in a checkout,
// below share/slipway when installed.
#pragma once

#include <filesystem>

namespace slipway {

/// Folder that holds buildpacks/ and stacks/. Throws Error(machine) when it cannot be found.
std::filesystem::path data_directory();
/// Full path of the running program.
std::filesystem::path own_program();

}  // namespace slipway
