#!/bin/bash
# Rules of the repository that can be checked: one "ok RULE" or "not ok RULE" line each.
set -uo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 6

status=0

# verdict RULE FINDINGS: no findings, no complaint.
verdict() {
  if [[ -z $2 ]]; then
    echo "ok $1"
    return
  fi
  printf '%s\n' "$2" | head -n 20
  echo "not ok $1"
  status=1
}

# Files of the checkout, new ones included, deleted ones not.
files() {
  git ls-files -co --exclude-standard -- "$@" | while IFS= read -r name; do
    if [[ -f $name && ! -L $name ]]; then printf '%s\n' "$name"; fi
  done
}

# search PATTERN PATHS…: file:line of each hit in text files.
search() {
  local pattern=$1
  shift
  files "$@" | tr '\n' '\0' | xargs -0 -r grep -nIE -- "$pattern" 2>/dev/null
}

# The samples and the fuzz corpus are input, not ours to style.
ours=(':!samples' ':!tests/fuzz/corpus' ':!tests/cases')
cpp=('builder/*.cpp' 'builder/*.h' 'cache/*.cpp' 'cache/*.h' 'tests/*.cpp' 'tests/*.h')
library=('builder/*.cpp' 'builder/*.h' 'cache/*.cpp' 'cache/*.h' ':!builder/cli' ':!builder/main.cpp' ':!builder/fetch_main.cpp')

# Spelled in two halves so that this file does not find itself.
verdict "no leftover markers" "$(search '\b(TO''DO|FIX''ME|XX''X|HA''CK)\b' . "${ours[@]}")"
verdict "no conflict markers" "$(search '^(<<<<<<<|>>>>>>>) ' . "${ours[@]}")"
verdict "no file over 300 KB" "$(files . | tr '\n' '\0' | xargs -0 -r stat -c '%s %n' | awk '$1 > 300 * 1024')"

# A script that is run has a first line and the bit; one that is sourced has neither.
modes() {
  local name first
  files . ':!samples' ':!tests/cases' ':!tests/fuzz/corpus' | while IFS= read -r name; do
    IFS= read -r -n 2 first <"$name" 2>/dev/null || first=
    if [[ $first == '#!' && ! -x $name ]]; then echo "$name: first line #! but not executable"; fi
    if [[ $first != '#!' && -x $name ]]; then echo "$name: executable without a first line #!"; fi
  done
}
verdict "executable bits" "$(modes)"

# Paths of one machine: this checkout's own folder, its parent, and people's homes.
machine_paths() {
  local here parent
  here=$PWD
  parent=${here%/*}
  case $here in
    /*/*) search "$(printf '%s' "$here" | sed 's/[.[\*^$+?(){|]/\\&/g')" . ;;
    *) ;;
  esac
  case $parent in
    '' | / | /tmp | /app | /srv | /src | /opt | /usr | /var | /root | /home | /mnt | /build) ;;
    *) search "(^|[^A-Za-z0-9_./-])$(printf '%s' "$parent" | sed 's/[.[\*^$+?(){|]/\\&/g')/" . ':!tests/unit' ':!tests/fuzz/corpus' ;;
  esac
  search '/(home|Users)/[a-z]+/' . ':!tests' ':!docs' ':!README.md'
}
verdict "no paths of one machine" "$(machine_paths)"

verdict "no CRLF, no trailing blanks, no tabs in C++" "$(
  search $'\r$' . "${ours[@]}"
  search '[[:blank:]]+$' "${cpp[@]}" '*.sh' '*.cmake' '*.txt' "${ours[@]}"
  search $'\t' "${cpp[@]}"
)"
verdict "text files end with a newline" "$(
  files . "${ours[@]}" ':!*.png' ':!*.tgz' | while IFS= read -r name; do
    if [[ -s $name && -n $(tail -c 1 "$name" | tr -d '\0') ]]; then echo "$name"; fi
  done
)"

# files_without PATTERN PATHS…
files_without() {
  local pattern=$1
  shift
  files "$@" | tr '\n' '\0' | xargs -0 -r grep -LE -- "$pattern"
}
verdict "headers have #pragma once" "$(files_without '^#pragma once$' 'builder/*.h' 'cache/*.h' 'tests/*.h')"
verdict "no using namespace in headers" "$(search '^ *using namespace' 'builder/*.h' 'cache/*.h')"
verdict "no source file over 600 lines" "$(files "${cpp[@]}" | tr '\n' '\0' | xargs -0 -r wc -l | awk '$2 != "total" && $1 > 600')"

# Only the command layer prints or ends the process (style).
verdict "library code neither prints nor exits" "$(
  search '(std::cout|std::cerr|fmt::print|[^a-z_:]printf|[^a-z_]puts|[^_a-z:]exit|std::exit) *\(|std::c(out|err) *<<' "${library[@]}" | grep -vE '^[^:]+:[0-9]+: *(//|\*)'
)"
# Shell lines are never built; buffers are never guessed.
verdict "no banned calls" "$(search '[^a-z_:](system|popen|strcpy|strcat|sprintf|gets|tmpnam|mktemp|alloca|setjmp|rand) *\(' "${cpp[@]}" | grep -vE '^[^:]+:[0-9]+: *(//|\*)')"
# Pure folders do no I/O.
verdict "source, graph and buildpack do no I/O" "$(search '#include [<"](fstream|base/(fd|files|process|cancel)\.h|unistd\.h|sys/stat\.h)' 'builder/source' 'builder/graph' 'builder/buildpack')"

exit "$status"
