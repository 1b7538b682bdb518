#!/bin/bash
# Hostile Dockerfiles, contexts and base images: the rows of the list of builders' vulnerabilities that
# a whole build can show. Each names its family; a canary outside must stay unseen and untouched.
# Dockerfiles stand in quoted heredocs: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# A folder of the machine that no build may see or touch; sets $canary.
new_canary() {
  canary=$test_state/canary
  mkdir -p "$canary/folder"
  echo canary-of-the-machine >"$canary/file"
  echo kept >"$canary/folder/kept"
  chmod -R 777 "$canary"
  find "$canary" -printf '%p %m %T@ %s\n' | sort >"$test_state/canary-before"
}

check_canary() {
  find "$canary" -printf '%p %m %T@ %s\n' | sort | diff "$test_state/canary-before" - || fail "the canary was touched"
  lacks "$err" canary-of-the-machine
  if [[ -d ${root:-} ]] && grep -rqa canary-of-the-machine "$root"; then fail "the canary is in the image"; fi
}

# hostile_base <SCRIPT: the image hostile:1, base:1 after that script ran in it.
hostile_base() {
  mkdir -p "$test_state/hostile"
  { printf 'FROM base:1\nRUN <<"END"\n' && cat && printf 'END\n'; } >"$test_state/hostile/Dockerfile"
  expect_exit 0 slipway build "$test_state/hostile" -t hostile:1 --network none
}

# Families 1 and 10.
test_a_working_directory_does_not_lead_out() {
  busybox_base
  new_canary
  hostile_base <<END
ln -s ../../../../../../../..$canary /out
ln -s $canary /absolute
mkdir /d && ln -s ../out/folder /d/up
END
  new_dir app
  cat >Dockerfile <<'EOF'
FROM hostile:1
WORKDIR /out/made
RUN echo 1 >here && ls -A .. >/listing
WORKDIR /absolute
RUN ls -A >>/listing && rm -rf folder made
WORKDIR /d/up/deeper/../..
RUN pwd >>/listing && touch x
EOF
  expect_exit 0 docker_build --oci out
  unpack out
  check_canary
  lacks "$root/listing" kept
  local number
  for number in 3 7 8 9 10; do
    printf 'FROM base:1\nWORKDIR /proc/self/fd/%s\nRUN ls ../../../../..\n' "$number" >Dockerfile
    expect_exit 4 docker_build
    contains "$err" "lies in /proc"
    printf 'FROM base:1\nWORKDIR /dev/../proc/self/fd/%s\nRUN ls ../../../../..\n' "$number" >Dockerfile
    expect_exit 4 docker_build
    contains "$err" "lies in /proc"
    printf 'FROM base:1\nWORKDIR /dev/fd/%s\nRUN ls ../../../../..\n' "$number" >Dockerfile
    expect_exit 4 docker_build
    contains "$err" "lies in /dev"
  done
}

# Family 1: a step holds its three streams and nothing else.
test_a_step_holds_three_descriptors() {
  [[ -z ${isolation[*]} ]] || skip "a step has no /proc on this rung"
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN ["ls", "/proc/self/fd"]\n' >Dockerfile
  expect_exit 0 docker_build
  # The fourth is the listing's own.
  contains "$err" $'\n0\n1\n2\n3\n[2/2]'
}

# Families 2 and 3.
test_sources_of_mounts_and_copies_stay_in_their_root() {
  busybox_base
  new_canary
  hostile_base <<END
ln -s / /everything
ln -s ../../../../../../../..$canary /out
ln -s $canary/file /file
END
  new_dir app
  ln -s "$canary" link
  ln -s ../../../../../../../../"$canary" up
  echo 1 >one
  cat >Dockerfile <<'EOF'
FROM hostile:1 AS from
FROM base:1
RUN --mount=type=bind,from=from,source=/everything,target=/m ls /m >/listing; find /m -name 'canary*' -o -name kept
RUN --mount=type=bind,target=/m cat /m/link/file /m/up/file; true
COPY --from=from /everything/etc/passwd /copied
EOF
  expect_exit 0 docker_build --oci out
  unpack out
  check_canary
  contains "$root/listing" bin
  contains "$root/copied" app
  local operand
  for operand in '--mount=type=bind,from=from,source=/out,target=/m' \
    '--mount=type=bind,from=from,source=/file,target=/m' '--mount=type=bind,source=link,target=/m' \
    '--mount=type=bind,source=up/folder,target=/m'; do
    printf 'FROM hostile:1 AS from\nFROM base:1\nRUN %s ls /m; cat /m; cat /m/file\n' "$operand" >Dockerfile
    expect_exit '1|4' docker_build
    check_canary
  done
  for operand in '--from=from /out/file' '--from=from /file' link/file up/file; do
    printf 'FROM hostile:1 AS from\nFROM base:1\nCOPY %s /x\n' "$operand" >Dockerfile
    expect_exit 4 docker_build
    contains "$err" "does not exist"
    check_canary
  done
}

# Family 3: a cache's id is a name, never a path.
test_cache_ids_are_no_paths() {
  busybox_base
  new_canary
  new_dir app
  local id long
  long=$(printf 'x%.0s' {1..4096})
  for id in ../../../canary "$canary" . .. a/b "$long"; do
    printf 'FROM base:1\nRUN --mount=type=cache,id=%s,target=/c rm -rf /c/*; ls -A /c; echo 1 >/c/mine\n' "$id" >Dockerfile
    expect_exit '0|4' docker_build --no-cache
    check_canary
  done
  [[ -z $(find "$SLIPWAY_HOME/caches" -mindepth 1 -maxdepth 1 ! -regex '.*/[0-9a-f]*\(-[0-9]*\)?') ]] ||
    fail "$(ls "$SLIPWAY_HOME/caches")"
}

# Families 2, 5 and 10: where a mount goes, and what is removed after it.
test_targets_of_mounts_stay_in_the_root() {
  busybox_base
  new_canary
  hostile_base <<END
ln -s ../../../../../../../..$canary /out
ln -s $canary/folder /deep
END
  new_dir app
  printf secret-of-the-test >"$test_state/token"
  cat >Dockerfile <<'EOF'
FROM hostile:1
RUN --mount=type=tmpfs,target=/out/folder touch /out/folder/x && rm -rf /out/file
RUN --mount=type=secret,id=token,target=/deep/kept cat /deep/kept | wc -c
RUN --mount=type=cache,target=/deep/../folder/cache echo 1 >/deep/cache/x; true
RUN --mount=type=tmpfs,target=/a/b/c mv /a/b /a/old; rm -rf /a/b; ln -s /out /a/b; true
RUN --mount=type=secret,id=token,target=/p/q/token (rm -rf /p; ln -s /out /p; ln -s /out /p/q) 2>/dev/null; true
EOF
  expect_exit 0 docker_build --secret id=token,src="$test_state/token" --oci out
  unpack out
  check_canary
  if grep -rqa secret-of-the-test "$root" "$SLIPWAY_HOME"; then fail "the secret was kept"; fi
  local target
  for target in / . .. /proc /proc/self /sys /dev /dev/pts /../..; do
    printf 'FROM base:1\nRUN --mount=type=tmpfs,target=%s true\n' "$target" >Dockerfile
    expect_exit '1|4' docker_build
    check_canary
  done
}

# Families 10 and 11: a base image whose own folders lead elsewhere.
test_a_base_that_replaces_what_is_mounted() {
  busybox_base
  new_canary
  new_dir app
  local name
  for name in dev proc sys; do
    mkdir -p links
    ln -sfn "$canary" "links/$name"
    printf 'FROM base:1\nCOPY links/ /\nRUN touch /%s/x; ls /%s/\n' "$name" "$name" >Dockerfile
    expect_exit 4 docker_build
    contains "$err" "/$name is not a directory"
    check_canary
    rm -r links
  done
  # Programs look for users there; the machine's are not found.
  mkdir links && ln -s "$canary" links/etc
  printf 'FROM scratch\nCOPY --from=base:1 /bin /bin\nCOPY links/ /\nUSER root\nRUN echo 1 >/etc/x; ls /etc/\n' >Dockerfile
  expect_exit '0|1|4' docker_build
  check_canary
}

# Family 9: special files of the project that are links out of it.
test_project_files_that_lead_out() {
  busybox_base
  new_canary
  printf 'FROM base:1\nRUN echo from-outside\n' >"$canary/Dockerfile"
  new_canary
  new_dir app
  echo 1 >one
  ln -s "$canary/Dockerfile" Dockerfile
  expect_exit '2|4' docker_build
  contains "$err" Dockerfile
  lacks "$err" from-outside
  rm Dockerfile
  printf 'FROM base:1\nCOPY . /all/\n' >Dockerfile
  ln -s "$canary/file" .dockerignore
  expect_exit 4 docker_build
  contains "$err" .dockerignore
  check_canary
  rm .dockerignore
  mkfifo .dockerignore
  expect_exit 4 timeout 20 "$house/slipway" build . --network none -t x "${isolation[@]}"
  contains "$err" .dockerignore
}

# Families 15 and 16: nothing of the caller's reaches a step or is written down.
test_the_callers_environment_and_credentials_stay_outside() {
  busybox_base
  new_dir app
  mkdir -p "$HOME/.docker"
  printf '{"auths": {"example.com": {"auth": "Y2FuYXJ5LW5hbWU6Y2FuYXJ5LXBhc3M="}}}' >"$HOME/.docker/config.json"
  export CANARY_VARIABLE=canary-of-the-caller AWS_SECRET_ACCESS_KEY=canary-of-the-caller
  cat >Dockerfile <<'EOF'
FROM base:1
RUN env >/env; cat /proc/[0-9]*/environ >>/env 2>/dev/null; ls -A /root /run /home >/places 2>/dev/null; true
EOF
  expect_exit 0 docker_build --oci out --metadata-file meta.json
  unpack out
  if grep -rqa canary-of-the-caller "$root" out meta.json; then fail "the environment got in"; fi
  if grep -rqaE 'Y2FuYXJ5|canary-pass' "$root" out meta.json "$SLIPWAY_HOME"; then fail "credentials were written down"; fi
  equal "$(grep -vE '^(PATH|HOME|PWD|SHLVL|HOSTNAME|OLDPWD|_)=' "$root/env" | tr -d '\0' | grep -c =)" 0
}

# Family 15: what a URL holds before its host.
test_credentials_in_urls_are_written_nowhere() {
  busybox_base
  new_dir served
  echo fetched >file
  serve "$dir"
  new_dir app
  printf 'FROM base:1\nADD %s/file /file\n' "${url/\/\////name:canary-password@}" >Dockerfile
  expect_exit 0 slipway build . --progress plain -t x --oci out --metadata-file meta.json
  lacks "$err" canary-password
  unpack out
  equal "$(cat "$root/file")" fetched
  if grep -rqa canary-password out meta.json "$SLIPWAY_HOME"; then fail "the password was kept"; fi
}

# Families 6 and 17: rights and ids.
test_rights_come_from_the_caller_alone() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN --security=insecure true\n' >Dockerfile
  expect_exit '2|4' docker_build
  contains "$err" "security.insecure"
  printf 'FROM base:1\nRUN --network=host true\n' >Dockerfile
  expect_exit '2|4' docker_build
  contains "$err" "network.host"
  local user
  for user in -1 4294967296 4294967295 0x0 99999999999999999999 1:4294967296 nobody-knows; do
    printf 'FROM base:1\nUSER %s\nRUN id\n' "$user" >Dockerfile
    expect_exit '1|4' docker_build
  done
  [[ -z ${isolation[*]} ]] || return 0
  printf 'FROM base:1\nRUN grep -E "^(Cap|Groups|Seccomp:)" /proc/self/status >/status\nUSER 1000:1000\nRUN grep -E "^(Cap|Groups)" /proc/self/status >/tmp/status\n' >Dockerfile
  expect_exit 0 docker_build --oci out
  unpack out
  contains "$root/status" $'CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000'
  contains "$root/status" $'Seccomp:\t2'
  contains "$root/tmp/status" $'CapPrm:\t0000000000000000\nCapEff:\t0000000000000000'
}

# Families 5 and 26: what the builder puts in place hides what the build wrote there, and no more.
test_files_at_the_builders_own_places_survive() {
  busybox_base
  new_dir app
  mkdir -p etc dev && echo own-hosts >etc/hosts && echo own-resolv >etc/resolv.conf && echo own-device >dev/own
  cat >Dockerfile <<'EOF'
FROM base:1
COPY etc /etc
COPY dev /dev
COPY etc/hosts /proc/own
COPY etc/hosts /sys/own
RUN cat /etc/hosts >/seen; test ! -e /dev/own; touch /dev/lost 2>/dev/null; true
RUN --mount=type=secret,id=none,target=/etc/hosts,required=false cat /etc/resolv.conf >/seen-too; true
EOF
  expect_exit 0 docker_build --oci out
  unpack out
  lacks "$root/seen" own-hosts
  lacks "$root/seen-too" own-resolv
  equal "$(cat "$root/etc/hosts" "$root/etc/resolv.conf" "$root/dev/own" "$root/proc/own" "$root/sys/own" | tr '\n' ' ')" \
    "own-hosts own-resolv own-device own-hosts own-hosts "
  [[ ! -e $root/dev/lost && ! -e $root/dev/null ]] || fail "/dev of the step is in the image"
}

# Family 22.
test_nothing_is_left_that_others_may_read() {
  busybox_base
  new_dir app
  umask 000
  printf 'FROM base:1\nRUN echo 1 >/x && chmod 666 /x\n' >Dockerfile
  expect_exit 0 docker_build --oci out --oci-archive out.tar --iidfile id
  printf 'FROM base:1\nRUN exit 9\n' >Dockerfile
  expect_exit 1 docker_build
  [[ -z $(find "$SLIPWAY_HOME" -maxdepth 1 -perm /077 -type d) ]] || fail "$(ls -la "$SLIPWAY_HOME")"
  equal "$(stat -c %a "$SLIPWAY_HOME")" 700
}

# Family 23.
test_fields_are_no_shell_lines() {
  busybox_base
  new_canary
  new_dir app
  cat >Dockerfile <<EOF
FROM base:1
ARG WHAT
ENV A="\$(touch $canary/x);\`touch $canary/y\`"
LABEL a="\$(touch $canary/x)"
WORKDIR "/\$(touch $canary/z);x"
COPY ["Dockerfile", "/; touch $canary/w; /"]
RUN ["/bin/echo", "\$(touch $canary/v)"]
RUN echo "\$WHAT" >/what
EOF
  expect_exit 0 docker_build --build-arg 'WHAT=$(touch /x); `touch /y`' --label "b=\$(touch $canary/u)" --oci out
  unpack out
  check_canary
  equal "$(cat "$root/what")" '$(touch /x); `touch /y`'
  [[ ! -e $root/x && ! -e $root/y ]] || fail "a value was run"
}

run_tests "$@"
