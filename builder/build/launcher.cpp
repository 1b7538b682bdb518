#include "build/launcher.h"

#include "base/text.h"

namespace slipway::build {

// The first process of a container: the kernel lets no signal kill it that it does not handle, and
// the app must be free to die of one. It passes signals on to all processes (RUN-7); "kill -1"
// means those of its pid namespace, so it is used as pid 1 only. `env` gives back what bash takes
// from a command started with '&'; what bash says about a killed one is nobody's concern.
const char* const first_process = R"(exec 9>&2 2>/dev/null
env --default-signal=INT,QUIT /bin/bash -c "$1" <&0 2>&9 9>&- &
app=$! all=-1
if [ $$ -ne 1 ]; then all=$app; fi
for signal in HUP INT QUIT TERM USR1 USR2; do trap "kill -$signal -- $all" "$signal"; done
until wait "$app"; ! kill -0 "$app"; do :; done
wait "$app"
exit $?)";

std::vector<std::string> profile_scripts(const archive::Tree& tree) {
  constexpr std::string_view folder = ".profile.d/";
  std::vector<std::string> names;
  for (const archive::TreeEntry& entry : tree.entries)
    if (starts_with(entry.path, folder) && ends_with(entry.path, ".sh") &&
        entry.path.find('/', folder.size()) == std::string::npos &&
        entry.type != archive::EntryType::directory)
      names.push_back(entry.path.substr(folder.size()));
  return names;
}

std::string start_script(const std::vector<std::string>& profile_scripts, bool has_profile,
                         const std::string& command) {
  std::string script;
  for (const std::string& name : profile_scripts)
    script += ". " + shell_quote("/app/.profile.d/" + name) + "\n";
  if (has_profile) script += ". /app/.profile\n";
  return script + command + "\n";
}

std::string image_launcher(const archive::Tree& tree, const source::ProcessTypes& types) {
  std::vector<std::string> names;
  std::string cases;
  for (const auto& [name, command] : types) {
    const std::string quoted = shell_quote(name);
    cases += fmt::format("    {}) kind={} command={} ;;\n", quoted, quoted, shell_quote(command));
    names.push_back(name);
  }
  const std::string complaint =
      names.empty() ? "this image has no process types; start it with a command"
                    : "this image has no web process; start it with one of: " + join(names, ", ") +
                          ", or a command";
  const std::string before =
      start_script(profile_scripts(tree), tree.find(".profile") != nullptr, "");
  return fmt::format(R"(#!/bin/bash
# Starts this app as a dyno does: .profile.d, .profile, then a process type by its name (web without
# one), one text of the shell's, or a command's words as they are.
export HOME=/app
cd /app || exit 126
kind=run command=
if [ $# -eq 0 ]; then set -- web; fi
if [ $# -gt 1 ]; then
  command=$(printf '%q ' "$@")
else
  case $1 in
{}{}    *) command=$1 ;;
  esac
fi
export DYNO="${{DYNO:-$kind.1}}"
if [ "$kind" = web ]; then export PORT="${{PORT:-{}}}"; fi
set -- {}"$command"
{}
)",
                     cases,
                     types.contains("web")
                         ? ""
                         : fmt::format("    web)\n      echo {} >&2\n      exit 64\n      ;;\n",
                                       shell_quote(complaint)),
                     default_port, shell_quote(before.substr(0, before.size() - 1)), first_process);
}

}  // namespace slipway::build
