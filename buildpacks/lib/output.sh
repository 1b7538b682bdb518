# shellcheck shell=bash
# The one place that prints: steps, details and errors in the form the platform's users know.

output::step() { printf -- '-----> %s\n' "$*"; }

output::detail() { printf '       %s\n' "$@"; }

# One line of stderr for each argument.
output::warning() { printf ' !     %s\n' "$@" >&2; }

# Says what went wrong, cause first, and ends the script.
output::fail() {
  printf '\n' >&2
  printf ' !     %s\n' "$@" >&2
  printf '\n' >&2
  exit 1
}

# Runs a command and shifts its output under the current step, line by line as it comes.
# Its stdin is closed: a tool that asks would wait for ever.
output::run() { "$@" 2>&1 </dev/null | sed -u 's/^/       /'; }
