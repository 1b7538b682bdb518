# shellcheck shell=bash
# A base image for Dockerfile tests, and looking into what was built. Sourced after lib.sh.
# test_state is lib.sh's.
# shellcheck disable=SC2154

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
  expect_exit 0 slipway build "$test_state/base" -t base:1 --network none
}

# docker_build ARGUMENT…: the Dockerfile in the current folder, without a network, as x:latest.
docker_build() { slipway build . --network none --progress plain -t x "$@"; }

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

# bash_stack: the stack "tiny", made of this machine's own bash and a few programs; the packs and apps
# of a few lines that tests use need no more. With busybox, where it is static, for a web server.
bash_stack() {
  local root=$test_state/bash-stack link name library
  mkdir -p "$root"/{usr/bin,etc,tmp,dev,proc,sys,app,root,run,var/tmp}
  for link in bin lib lib64; do
    mkdir -p "$root/usr/$link"
    ln -s "usr/$link" "$root/$link"
  done
  for name in bash sh cat cp ls mkdir env id rm mv ln touch chmod sleep date stat; do
    cp -L "/bin/$name" "$root/usr/bin/$name"
  done
  for library in $(for name in "$root"/usr/bin/*; do ldd "$name"; done | grep -o '/[^ )]*' | grep -v : | sort -u); do
    mkdir -p "$root/$(dirname "$library")"
    cp -L "$library" "$root/$library"
  done
  name=$(command -v busybox) && ! ldd "$name" >/dev/null 2>&1 && cp "$name" "$root/usr/bin/busybox"
  echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  chmod 1777 "$root/tmp" "$root/var/tmp"
  printf 'FROM scratch\nCOPY bash-stack /\n' >"$test_state/Dockerfile.stack"
  expect_exit 0 slipway build "$test_state" -f "$test_state/Dockerfile.stack" --oci "$test_state/stack-layout"
  expect_exit 0 slipway stack create tiny --from "$test_state/stack-layout"
}
