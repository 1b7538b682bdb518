#!/bin/bash
# Where images go besides layouts and registries: plain folders.
# Dockerfiles stand in quoted heredocs: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

test_dir_has_the_images_files() {
  busybox_base
  new_dir app
  echo hello >greeting
  cat >Dockerfile <<'EOF'
FROM base:1 AS tools
FROM base:1
COPY greeting /srv/
RUN rm /tmp -r && ln -s /srv/greeting /link && ln /srv/greeting /srv/twin && mkdir -m 700 /closed \
  && cp /bin/busybox /bin/suid && chmod 4755 /bin/suid && touch -d '2020-01-01 00:00:00' /old
EOF
  expect_exit 0 docker_build --dir files
  equal "$(<files/srv/greeting)" hello
  equal "$(readlink files/link)" /srv/greeting
  [[ files/srv/greeting -ef files/srv/twin ]] || fail "a hard link is two files"
  [[ ! -e files/tmp ]] || fail "a removed folder is there"
  equal "$(stat -c '%a %u' files/closed)" "700 $(id -u)"
  equal "$(stat -c %a files/bin/suid)" 755
  equal "$(stat -c %Y files/old)" 1577836800
  [[ -z $(find files ! -user "$(id -u)") ]] || fail "files are somebody else's"

  # buildx's words for it; what is there already is merged into, and never followed.
  mkdir -p other/keep elsewhere
  ln -s "$PWD/elsewhere" other/srv
  expect_exit 0 docker_build --output "type=local,dest=other"
  equal "$(<other/srv/greeting)" hello
  [[ -d other/keep && -z $(ls elsewhere) ]] || fail "a link in the target was followed"
  expect_exit 0 docker_build -o third --target tools
  [[ -d third/tmp && ! -e third/srv ]] || fail "-o DIR is not the target's files"
  expect_exit 2 docker_build --dir -
  contains "$err" "an image's files go into a folder, not to stdout"
  expect_exit 2 docker_build -o type=tar,dest=x.tar
  contains "$err" "--oci-archive"
}

test_dir_of_nothing_and_of_a_base_alone() {
  busybox_base
  new_dir app
  echo 1 >file
  printf 'FROM scratch\nLABEL a=b\n' >Dockerfile
  expect_exit 0 docker_build --dir empty
  [[ -d empty && -z $(ls -A empty) ]] || fail "scratch has files"
  printf 'FROM base:1\n' >Dockerfile
  expect_exit 0 docker_build --dir base
  [[ -x base/bin/busybox ]] || fail "the base's files are missing"
  # What failed leaves nothing.
  printf 'FROM base:1\nRUN false\n' >Dockerfile
  expect_exit 1 docker_build --dir failed
  [[ ! -e failed ]] || fail "a failed build left a folder"
}

test_dir_of_several_images_and_platforms() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN echo web >/kind\n' >Dockerfile
  printf 'FROM base:1\nRUN echo worker >/kind\n' >Dockerfile.worker
  printf 'build:\n  docker:\n    web: Dockerfile\n    worker: Dockerfile.worker\n' >heroku.yml
  expect_exit 0 slipway build . --network none --dir both
  equal "$(cat both/web/kind both/worker/kind)" "$(printf 'web\nworker')"
  printf 'FROM scratch\nARG TARGETARCH\nCOPY Dockerfile.worker /$TARGETARCH\n' >Dockerfile
  expect_exit 0 docker_build --platform linux/amd64,linux/arm64 -f Dockerfile --dir arches
  [[ -f arches/linux_amd64/amd64 && -f arches/linux_arm64/arm64 ]] || fail "$(find arches)"
}

run_tests "$@"
