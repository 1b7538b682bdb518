#!/bin/bash
# Slipway without root: with subordinate ids, without them, without namespaces.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

new_app() {
  new_dir case
  mkdir app
  echo 'hello: cat file' >app/Procfile
  echo hello >app/file
  new_pack "$dir/pack" <<<'id -u; cp "$1/file" "$2/kept"; echo made >"$1/made"'
}

# The network of its own needs a device that some machines keep from ordinary users.
build_arguments=(build app --stack host --network host --progress plain)

# as_lone_user COMMAND…: as a user who has no subordinate ids.
as_lone_user() {
  need_root
  local home=$test_state/lone
  runuser -u nobody -- test -x "$house/slipway" || skip "$house cannot be read by other users"
  chmod 755 "$test_state" "$test_state/work"
  install -d -o nobody -m 700 "$home"
  chown -R nobody "$dir"
  runuser -u nobody -- env -i PATH="$PATH" HOME="$home" LANG=C.UTF-8 SLIPWAY_HOME="$home/store" "$@"
}

test_builds_and_runs_with_subordinate_ids() {
  new_app
  expect_exit 0 as_user slipway "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/out.tgz"
  contains "$err" $'\n1000\n'
  tar -tzf out.tgz >listing
  contains listing ./app/made
  expect_exit 0 as_user slipway run "$dir/out.tgz" hello
  contains "$out" hello
  expect_exit 0 as_user slipway "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/again.tgz"
  contains "$err" "Nothing changed since the last build"
  cmp out.tgz again.tgz
  expect_exit 0 as_user slipway cache verify
  expect_exit 0 as_user slipway cache prune
}

test_same_bytes_as_root() {
  need_root
  new_app
  expect_exit 0 slipway "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/root.tgz"
  expect_exit 0 as_user slipway "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/user.tgz"
  cmp root.tgz user.tgz
}

test_default_network_works_or_names_the_remedy() {
  new_app
  expect_exit '0|6' as_user slipway build app --stack host -b "$dir/pack"
  if grep -q '^error:' "$err"; then
    contains "$err" "error: steps cannot be given a network of their own here"
    contains "$err" "or use --network=host"
  fi
}

test_without_subordinate_ids_one_id_does() {
  new_app
  expect_exit 0 as_lone_user "$house/slipway" "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/out.tgz"
  tar -tzf out.tgz >listing
  contains listing ./app/made
  expect_exit 0 as_lone_user "$house/slipway" run "$dir/out.tgz" hello
  contains "$out" hello
  expect_exit '0|6' as_lone_user "$house/slipway" doctor
  contains "$out" "a single id: nobody has no range in /etc/subuid"
}

test_doctor_tells_what_is_there() {
  new_dir case
  expect_exit '0|6' as_user slipway doctor
  contains "$out" "user namespaces"
  contains "$out" "isolation that works here: oci"
}

# refused COMMAND…: where no user namespace can be made.
refused() {
  unshare -Ur "$BASH" -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' _ "$@"
}

test_refused_namespaces_end_with_the_flag() {
  new_app
  unshare -Ur true 2>/dev/null || skip "user namespaces are not allowed here"
  expect_exit 6 refused "$house/slipway" "${build_arguments[@]}" -b "$dir/pack" --slug "$dir/out.tgz"
  contains "$err" "error: "
  contains "$err" "create namespaces (unshare)"
  contains "$err" "hint: user namespaces are switched off: sudo sysctl -w user.max_user_namespaces="
  # Never a rung lower unasked.
  lacks "$err" "app detected"
  [[ ! -e out.tgz ]] || fail "built all the same"
  expect_exit 6 refused "$house/slipway" doctor
  contains "$out" "max_user_namespaces"
}

# in_own_tmp ARGUMENTS…: a build on a /tmp of its own, because rung none uses the machine's as it is;
# what it leaves there is listed in the file left.
in_own_tmp() {
  [[ -d /mnt ]] || skip "no /mnt to put the test in"
  unshare -m true 2>/dev/null || skip "mounts are not allowed here"
  test_state=$test_state house=$house unshare -m "$BASH" -c '
    mount --bind "$test_state" /mnt && mount -t tmpfs own /tmp && cd /mnt/work/case || exit 99
    export SLIPWAY_HOME=/mnt/store
    "$house/slipway" build app --app rung --stack host --network host --progress plain \
      -b /mnt/work/case/pack --slug /mnt/work/case/out.tgz "$@"
    status=$?
    find /tmp -mindepth 1 >/mnt/work/case/left
    exit $status' _ "$@"
}

test_isolation_none_as_root() {
  need_root
  new_app
  expect_exit 0 in_own_tmp --isolation none
  tar -tzf out.tgz >listing
  contains listing ./app/made
  equal "$(<left)" ""
  expect_exit 0 slipway cache verify
  new_pack "$dir/pack" <<<'exit 7'
  expect_exit 1 in_own_tmp --isolation none
  contains "$err" "failed to compile Tiny app."
  equal "$(<left)" ""
}

# `run` on rung none: what a build of either rung made, on the machine as it is. /app must be free.
test_run_without_isolation() {
  need_root
  [[ ! -e /app ]] || skip "/app is taken"
  new_app
  echo 'web: cat made; exit 3' >app/Procfile
  new_pack "$dir/pack" <<<'echo "made by the pack" >"$1/made"'
  expect_exit 0 slipway build app --app rung --stack host --network none -b "$dir/pack"
  expect_exit 3 slipway run rung web --isolation none
  contains "$out" "made by the pack"
  [[ ! -e /app ]] || fail "/app was left behind"
  [[ -d /tmp ]] || fail "/tmp is gone"
}

# What rung none wrote belongs to the caller, whom mapped ids may not read: neither rung is in the
# other's way, and each can tidy after the other.
test_rungs_share_a_store() {
  need_root
  new_app
  new_pack "$dir/pack" <<<'if [[ -e $2/by ]]; then cat "$2/by"; fi; (umask 077; mkdir -p "$2/deep"; echo "from $(id -u)" >"$2/by")'
  expect_exit 0 in_own_tmp --isolation none
  echo 1 >app/file
  expect_exit 0 in_own_tmp
  lacks "$err" "from 0"
  echo 2 >app/file
  expect_exit 0 in_own_tmp --isolation none
  contains "$err" "from 0"
  echo 3 >app/file
  expect_exit 0 in_own_tmp
  contains "$err" "from 1000"
  expect_exit 0 slipway cache verify
  expect_exit 0 slipway cache purge rung
  expect_exit 0 slipway cache prune
  echo 4 >app/file
  expect_exit 0 in_own_tmp
  lacks "$err" "from "
}

test_isolation_none_needs_the_machines_root() {
  new_app
  expect_exit '2|6' slipway build app --stack debian-12 --isolation none -b "$dir/pack"
  contains "$err" "--stack=host"
  expect_exit 2 slipway build app --isolation maybe
  contains "$err" "error: --isolation maybe: no such rung"
  contains "$err" "hint: oci, chroot or none"
}

test_isolation_none_as_user() {
  new_app
  expect_exit '0|6' as_user slipway "${build_arguments[@]}" --isolation none -b "$dir/pack"
  if grep -q '^error:' "$err"; then
    contains "$err" "/app"
    contains "$err" "hint: "
  fi
}

run_tests "$@"
