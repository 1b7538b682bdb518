#!/bin/bash
# The definition of the debian-12 stack: what it lists was installed when it was last changed, and what
# a build links against is there when the slug runs (heroku.md FS-13).
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

definition=$house/stacks/debian-12

# listed FILE: the packages of a .packages file, without comments.
listed() { sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "$definition/$1"; }

# run_library DEV: the package with the library that programs built with DEV load.
run_library() {
  case $1 in
    libc6-dev) echo libc6 ;;
    libffi-dev) echo libffi8 ;;
    libncurses-dev) echo libncursesw6 ;;
    libpq-dev) echo libpq5 ;;
    libsqlite3-dev) echo libsqlite3-0 ;;
    libssl-dev) echo libssl3 ;;
    libxml2-dev) echo libxml2 ;;
    libxslt1-dev) echo libxslt1.1 ;;
    libyaml-dev) echo libyaml-0-2 ;;
    zlib1g-dev) echo zlib1g ;;
    g++) echo libstdc++6 ;;
    gcc) echo libgomp1 ;;
    *-dev) fail "which library does a program built with $1 load? add it to run.packages and here" ;;
  esac
}

installed() { grep -q "^$2 " "$definition/$1.installed"; }

test_what_is_listed_was_installed() {
  local package
  for package in $(listed run.packages); do
    installed run "$package" || fail "$package is in run.packages, not in run.installed"
  done
  for package in $(listed run.packages) $(listed build.packages); do
    installed build "$package" || fail "$package is listed, not in build.installed"
  done
}

test_the_build_root_is_the_run_root_and_more() {
  new_dir
  comm -23 "$definition/run.installed" "$definition/build.installed" >only-run
  equal "$(cat only-run)" ""
}

test_what_a_build_links_is_there_at_run_time() {
  local package library
  for package in $(listed build.packages); do
    library=$(run_library "$package")
    if [[ -n $library ]]; then
      installed run "$library" || fail "a slug built with $package needs $library, which run.packages lacks"
    fi
  done
}

run_tests "$@"
