#!/bin/bash
# The launcher, on a small house of its own: a program of one file stands for Slipway.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# Makes the house in $dir; its program prints its words.
new_house() {
  new_dir house
  mkdir -p builder cache cmake
  cp "$house/slipway" .
  cp "$house/cmake/launcher.sh" cmake/
  echo "sh-that-is-not-there | bash" >cmake/debian-packages
  cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(small CXX)
add_executable(slipway builder/main.cpp)
END
  write_program "one"
}

write_program() {
  printf '#include <cstdio>\nint main(int argc, char** argv) {\n  std::printf("%s %%d %%s\\n", argc, argv[argc - 1]);\n  return argc == 3 ? 7 : 0;\n}\n' "$1" >builder/main.cpp
}

test_builds_once_and_is_the_program() {
  need_program cmake
  new_house
  expect_exit 0 ./slipway "a b"
  equal "$(cat "$out")" "one 2 a b"
  contains "$err" "slipway: compiling Slipway ("
  contains "$err" "slipway: Slipway compiled in "
  expect_exit 7 ./slipway x y
  equal "$(cat "$err")" ""
  ln -s "$dir/slipway" "$dir/link"
  expect_exit 0 "$dir/link" z
  equal "$(cat "$out")" "one 2 z"
}

test_a_start_runs_no_build_tool() {
  need_program cmake
  new_house
  expect_exit 0 ./slipway x
  mkdir tools
  local tool
  for tool in cmake ninja make cc c++ apt-get dpkg; do
    # shellcheck disable=SC2016  # for the tool to expand
    printf '#!/bin/sh\necho "$0" >>"%s/called"\nexit 1\n' "$PWD" >"tools/$tool"
    chmod 755 "tools/$tool"
  done
  PATH=$PWD/tools:$PATH expect_exit 0 ./slipway x
  equal "$(<"$out")" "one 2 x"
  [[ ! -e called ]] || fail "a start ran $(sort -u called)"
}

test_changed_new_and_deleted_sources_are_noticed() {
  need_program cmake
  new_house
  expect_exit 0 ./slipway x
  write_program "two"
  expect_exit 0 ./slipway x
  equal "$(cat "$out")" "two 2 x"
  contains "$err" "compiled"
  # Newer than the program, although nothing has to be linked again: told once, not at each start.
  sleep 0.02
  echo "# why" >>cmake/debian-packages
  expect_exit 0 ./slipway x
  expect_exit 0 ./slipway x
  equal "$(cat "$err")" ""
}

test_compile_error_shows_the_compilers_words() {
  need_program cmake
  new_house
  expect_exit 0 ./slipway x
  echo "int main() { return nothing; }" >builder/main.cpp
  expect_exit 70 ./slipway x
  contains "$err" "slipway: Slipway does not compile:"
  contains "$err" "was not declared"
  write_program "three"
  expect_exit 0 ./slipway x
  equal "$(cat "$out")" "three 2 x"
}

test_cmake_error_is_told() {
  need_program cmake
  new_house
  echo 'message(FATAL_ERROR "no such luck")' >>CMakeLists.txt
  expect_exit 6 ./slipway x
  contains "$err" "no such luck"
  sed -i '$d' CMakeLists.txt
  expect_exit 0 ./slipway x
}

test_two_at_once() {
  need_program cmake
  new_house
  local first second
  background ./slipway x
  first=$pid first_log=$background_log
  background ./slipway y
  second=$pid second_log=$background_log
  wait "$first"
  wait "$second"
  contains "$first_log" "one 2 x"
  contains "$second_log" "one 2 y"
  # One of them compiled, the other waited.
  equal "$(cat "$first_log" "$second_log" | grep -c "compiled in")" 1
}

test_without_root_one_line_installs_what_is_missing() {
  need_root
  new_house
  printf 'slipway-no-such-package\nbash\nslipway-nor-this | slipway-nor-that\n' >cmake/debian-packages
  expect_exit 6 as_user ./slipway x
  contains "$err" "sudo apt-get install -y slipway-no-such-package slipway-nor-this"
  equal "$(grep -c . "$err")" 2
}

test_other_systems_are_told_at_once() {
  need_root
  need_program unshare
  new_house
  printf 'ID=fedora\nVERSION_ID=40\nPRETTY_NAME="Fedora Linux 40"\n' >os-release
  # shellcheck disable=SC2016
  expect_exit '6|1' unshare -m "$BASH" -c 'mount --bind os-release "$(readlink -f /etc/os-release)" && exec ./slipway x'
  if grep -q "permission denied\|Operation not permitted" "$err"; then skip "mounts are not allowed here"; fi
  contains "$err" "this is Fedora Linux 40; Slipway's launcher knows Debian 12 or newer"
  contains "$err" "SLIPWAY_PACKAGES=skip"
}

test_read_only_checkout() {
  need_root
  new_house
  chmod -R a-w .
  as_user true
  chown -R root .
  expect_exit 6 as_user ./slipway x
  contains "$err" "cannot write to "
}

run_tests "$@"
