// What starts an app's process, in `slipway run` and in an image made from a slug: the order of a
// dyno (heroku.md §10).
#pragma once

#include <string>
#include <vector>

#include "archive/tree.h"
#include "source/procfile.h"

namespace slipway::build {

/// PATH before .profile.d has its say (RUN-1).
inline constexpr const char* base_path = "/usr/local/bin:/usr/bin:/bin";
/// PORT of a web process that nobody gave one.
inline constexpr int default_port = 5000;

/// Bash text for the first process of a container, which gets the text to run as $1: it passes
/// signals on to all processes (RUN-7) and ends as the command does.
extern const char* const first_process;

/// Names of the scripts in .profile.d of an app's tree, in byte order (RUN-2).
std::vector<std::string> profile_scripts(const archive::Tree& tree);

/// The bash text a dyno runs: `.profile.d/*.sh` in byte order, `.profile`, then the command, all in
/// one shell (RUN-1…3).
std::string start_script(const std::vector<std::string>& profile_scripts, bool has_profile,
                         const std::string& command);

/// The entrypoint of an image of this app, a bash script. Its arguments: none = web; one = a
/// process type's name, else text for the shell (RUN-5); several = a command's words, as they are.
std::string image_launcher(const archive::Tree& tree, const source::ProcessTypes& types);

}  // namespace slipway::build
