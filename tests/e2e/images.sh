# shellcheck shell=bash
# A base image for Dockerfile tests, and looking into what was built. Sourced after lib.sh.
# test_state is lib.sh's.
# shellcheck disable=SC2154

# The rung that the whole script runs on (pod.sh runs it on another).
isolation=()
if [[ -n ${SLIPWAY_TEST_ISOLATION:-} ]]; then isolation=(--isolation "$SLIPWAY_TEST_ISOLATION"); fi

# The store's image base:1: busybox and its links, made by Slipway itself FROM scratch.
busybox_base() {
  local busybox
  busybox=$(command -v busybox) || skip "busybox (busybox-static) is not installed"
  if ldd "$busybox" >/dev/null 2>&1; then skip "busybox is not static"; fi
  mkdir -p "$test_state/base"
  cp "$busybox" "$test_state/base/busybox"
  cat >"$test_state/base/Dockerfile" <<'EOF'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "mkdir", "-p", "/usr/bin", "/usr/sbin", "/sbin", "/tmp", "/etc", "/root"]
RUN ["/bin/busybox", "--install", "-s"]
RUN echo root:x:0:0:root:/root:/bin/sh >/etc/passwd && echo app:x:1000:1000::/app:/bin/sh >>/etc/passwd \
  && echo root:x:0: >/etc/group && echo app:x:1000: >>/etc/group && chmod 1777 /tmp
CMD ["sh"]
EOF
  expect_exit 0 slipway build "$test_state/base" -t base:1 --network none "${isolation[@]}"
}

# docker_build ARGUMENT…: the Dockerfile in the current folder, without a network, as x:latest.
docker_build() { slipway build . --network none --progress plain -t x "${isolation[@]}" "$@"; }

# unpack LAYOUT [TAG]: the image's root filesystem; sets $root.
unpack() {
  root=$test_state/unpacked-$RANDOM$RANDOM
  need_program umoci
  umoci unpack --rootless --image "$1:${2:-latest}" "$root" >/dev/null 2>&1 || fail "umoci cannot unpack $1"
  root+=/rootfs
}

# config_of LAYOUT EXPRESSION [TAG]: what jq makes of the image's config.
config_of() {
  need_program skopeo
  skopeo inspect --config --raw "oci:$1:${3:-latest}" | jq -r "$2"
}
