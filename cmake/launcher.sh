# shellcheck shell=sh
# What ./slipway and ./test share: packages, the lock between builds, building a tree with progress.
# Sourced by both; needs $house. Exit codes are those of the program: 5 = something outside failed,
# 6 = this machine can't, 70 = our own code does not compile.

: "${house:?}"

say() { printf 'slipway: %s\n' "$*" >&2; }

# seconds → "34 s", "2 min 05 s"
duration() {
  if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

now() { date +%s; }

on_terminal() { [ -t 2 ]; }

# A line that is overwritten on a terminal; elsewhere every tenth percent is told once.
progress() { # WHAT PERCENT SECONDS
  if [ "$1" != "${told_what-}" ]; then told_what=$1 told_tenth=0; fi
  if on_terminal; then
    printf '\r\033[Kslipway: %s  %s%%  %s' "$1" "$2" "$(duration "$3")" >&2
  elif [ $(($2 / 10)) -gt "${told_tenth:-0}" ]; then
    told_tenth=$(($2 / 10))
    say "$1: $2% ($(duration "$3"))"
  fi
}

end_progress() {
  if on_terminal; then printf '\r\033[K' >&2; fi
  told_tenth=0
}

# --- the system ---

# version_at_least 12.5 12
version_at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Ends with 6 where the packages' names would be wrong. SLIPWAY_PACKAGES=skip: they were installed by
# hand.
check_system() {
  if [ "${SLIPWAY_PACKAGES-}" = skip ]; then return 0; fi
  release=/etc/os-release
  if [ "$(uname -s)" = Linux ] && [ -r "$release" ]; then
    # shellcheck disable=SC1090
    system=$(. "$release" && printf '%s|%s|%s|%s' "${ID-}" "${VERSION_ID-}" "${ID_LIKE-}" "${PRETTY_NAME-}")
  else
    system="$(uname -s)|||$(uname -s)"
  fi
  id=${system%%|*}
  rest=${system#*|}
  version=${rest%%|*}
  rest=${rest#*|}
  like=${rest%%|*}
  name=${rest#*|}
  case $id in
    debian) version_at_least "${version:-99}" 12 && return 0 ;;
    ubuntu) version_at_least "${version:-99}" 24.04 && return 0 ;;
    *)
      case " $like " in
        *" debian "* | *" ubuntu "*) if command -v apt-get >/dev/null; then return 0; fi ;;
        *) ;;
      esac
      ;;
  esac
  say "this is $name; Slipway's launcher knows Debian 12 or newer and Ubuntu 24.04 or newer."
  say "What works here: a container or virtual machine of one of those; or install by hand what"
  say "cmake/debian-packages lists and start it with SLIPWAY_PACKAGES=skip ./slipway"
  exit 6
}

# --- packages ---

# missing_packages FILE… → names, one a line
missing_packages() {
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
  sed 's/#.*//; /^[[:space:]]*$/d; s/[[:space:]]*|[[:space:]]*/ /g' "$@" | while read -r choices; do
    found=
    for choice in $choices; do
      if printf '%s\n' "$installed" | grep -qxF -- "$choice"; then found=$choice && break; fi
    done
    if [ -n "$found" ]; then continue; fi
    wanted=${choices%% *}
    if [ "$wanted" != "$choices" ]; then
      for choice in $choices; do
        # What cannot be had has no record.
        if apt-cache show -- "$choice" >/dev/null 2>&1; then wanted=$choice && break; fi
      done
    fi
    printf '%s\n' "$wanted"
  done
}

apt() {
  DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" 9>&-
}

# Sets $plan to what apt-get says it would do; fails when it does not know a package.
plan_install() {
  plan=$(apt --assume-no install "$@" 2>&1)
  case $plan in
    *"Unable to locate package"* | *"no installation candidate"*) return 1 ;;
    *) return 0 ;;
  esac
}

outside_failed() { # WORDS
  say "$1; the last lines of $log:"
  tail -n 15 "$log" >&2
  return 5
}

# need_packages FILE…: installs as root what is missing; else prints the one line that does and
# returns 6.
need_packages() {
  if [ "${SLIPWAY_PACKAGES-}" = skip ]; then return 0; fi
  # Names have no blanks: one word each.
  missing=$(missing_packages "$@" | tr '\n' ' ')
  if [ -z "$missing" ]; then return 0; fi
  if [ "$(id -u)" -ne 0 ]; then
    say "packages are missing; this installs them:"
    printf 'sudo apt-get install -y %s\n' "${missing% }" >&2
    return 6
  fi
  log=$house/build/packages.log
  mkdir -p "$house/build" && : >"$log" || return 6
  # shellcheck disable=SC2086
  if ! plan_install $missing; then
    # The lists of a fresh machine or image are empty.
    say "updating the lists of packages (apt-get update)"
    apt update -qq >>"$log" 2>&1 || outside_failed "apt-get update failed" || return
    missing=$(missing_packages "$@" | tr '\n' ' ')
    # shellcheck disable=SC2086
    plan_install $missing
  fi
  size=$(printf '%s\n' "$plan" | sed -n 's/^Need to get \(.*\) of archives\.$/\1 to download/p')
  disk=$(printf '%s\n' "$plan" | sed -n 's/^After this operation, \(.*\) of additional disk.*/\1 on disk/p')
  say "installing ${missing% } (${size:-size unknown}${disk:+, $disk})"
  began=$(now)
  failure_mark=$house/build/packages.failed
  rm -f "$failure_mark"
  # shellcheck disable=SC2086
  { apt -y -o APT::Status-Fd=3 install $missing 3>&1 >>"$log" 2>&1 || : >"$failure_mark"; } |
    while IFS=: read -r kind _ percent _; do
      case $kind in
        dlstatus) progress "downloading packages" "${percent%%.*}" $(($(now) - began)) ;;
        pmstatus) progress "installing packages" "${percent%%.*}" $(($(now) - began)) ;;
        *) ;;
      esac
    done
  end_progress
  if [ -e "$failure_mark" ]; then
    rm -f "$failure_mark"
    outside_failed "installing packages failed" || return
  fi
  say "packages installed in $(duration $(($(now) - began)))"
}

# --- building ---

# Held on descriptor 9 until unlock_builds or the end of the process.
lock_builds() {
  mkdir -p "$house/build" 2>/dev/null
  # A failing exec would end a POSIX shell, so it is tried in another first.
  if ! (: >>"$house/build/.lock") 2>/dev/null; then
    say "cannot write to $house/build: Slipway is built there; copy the checkout to a folder of yours"
    exit 6
  fi
  exec 9>>"$house/build/.lock"
  if ! flock -n 9; then
    say "another build of Slipway is running here; waiting for it"
    flock 9
  fi
}

unlock_builds() { exec 9>&-; }

# One compiler takes up to 0.7 GB; a machine that swaps builds slower than one job.
build_jobs() {
  jobs=$(nproc)
  memory_kb=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo)
  fitting=$((${memory_kb:-2000000} / 700000))
  if [ "$fitting" -lt "$jobs" ]; then jobs=$fitting; fi
  if [ "$jobs" -lt 1 ]; then jobs=1; fi
  echo "$jobs"
}

# build_tree NAME WORDS JOBS TARGETS [CMAKE-OPTION…]: configures build/NAME once and builds it.
build_tree() {
  tree=$house/build/$1
  words=$2
  jobs_given=$3
  targets=$4
  shift 4
  mkdir -p "$tree" || return 6
  log=$tree/build.log
  began=$(now)
  if [ ! -f "$tree/build.ninja" ]; then
    say "configuring $words"
    if ! cmake -G Ninja -S "$house" -B "$tree" "$@" >"$log" 2>&1; then
      say "cmake failed; the last lines of $log:"
      tail -n 25 "$log" >&2
      rm -f "$tree/build.ninja"
      return 6
    fi
  fi
  say "compiling $words ($jobs_given at a time)"
  failure_mark=$tree/.failed
  rm -f "$failure_mark"
  # shellcheck disable=SC2086
  { NINJA_STATUS='%f %t | ' ninja -C "$tree" -j "$jobs_given" $targets 2>&1 9>&- || : >"$failure_mark"; } |
    tee "$log" | while read -r done_steps steps bar _; do
    # Fewer are only the check for new files.
    if [ "$bar" = "|" ] && [ "$steps" -gt 4 ]; then
      progress "compiling $words" $((100 * done_steps / steps)) $(($(now) - began))
    fi
  done
  end_progress
  if [ -e "$failure_mark" ]; then
    say "$words does not compile:"
    # The compiler's words, without the command lines and what went well in between.
    awk '/^FAILED: /{told = 1; print; getline; next} / \| /{if ($1 ~ /^[0-9]+$/) {told = 0; next}}
      /^ninja: /{next} told' "$log" | head -n 60 >&2
    say "all of it is in $log"
    return 70
  fi
  say "$words compiled in $(duration $(($(now) - began)))"
}

# The tree ./slipway runs from; needs the lock.
build_release() { # [JOBS]
  mkdir -p "$house/build/release" || return 6
  touch "$house/build/release/.began"
  build_tree release Slipway "$1" "" || return
  say "build/release is $(du -sh "$house/build/release" | cut -f 1), the program $(du -h "$house/build/release/slipway" | cut -f 1)"
  mv "$house/build/release/.began" "$house/build/release/.built"
}
