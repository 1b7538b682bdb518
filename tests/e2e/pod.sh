#!/bin/bash
# Where a pod gives nothing: Slipway inside a container with Docker's default capabilities and a
# seccomp profile like Docker's default one (no mount, no unshare). Root builds any Dockerfile with
# --isolation=chroot to the digests of rung oci; an ordinary user builds what needs no RUN.
# Dockerfiles stand in quoted heredocs: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# --- the pod ---

# bundle UID COMMAND…: the container's description: the machine's files read-only, /tmp its own, the test's
# folder writable at its own path.
bundle() {
  need_root
  need_program crun
  need_program python3
  mkdir -p "$test_state/pod/rootfs"
  python3 - "$test_state" "$PWD" "$@" >"$test_state/pod/config.json" <<'EOF'
import json, platform, sys
state, folder, uid, command = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
capabilities = ["CAP_" + name for name in (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID "
    "SETPCAP SETUID SYS_CHROOT").split()]
refused = (
    "add_key bpf delete_module finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter "
    "io_uring_register io_uring_setup kexec_load keyctl mount mount_setattr move_mount "
    "open_by_handle_at open_tree perf_event_open pivot_root quotactl reboot request_key setdomainname "
    "sethostname setns swapoff swapon syslog umount2 unshare userfaultfd").split()
namespaces = [0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
def refuse(names, error, condition=None):
    rule = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error}
    if condition: rule["args"] = [condition]
    return rule
rules = [refuse(refused, 1), refuse(["clone3"], 38)]
rules += [refuse(["clone"], 1, {"index": 0, "value": flag, "valueTwo": flag,
                                "op": "SCMP_CMP_MASKED_EQ"}) for flag in namespaces]
machine = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[platform.machine()]
own = capabilities if uid == 0 else []
json.dump({
    "ociVersion": "1.0.2", "hostname": "pod", "root": {"path": "rootfs", "readonly": True},
    "process": {
        "user": {"uid": uid, "gid": uid}, "cwd": folder, "args": command,
        "capabilities": {"bounding": capabilities, "effective": own, "permitted": own},
        "env": [f"{name}={value}" for name, value in {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": state + "/home", "LANG": "C.UTF-8", "SOURCE_DATE_EPOCH": "1700000000",
            "SLIPWAY_HOME": f"{state}/store-in-pod-{uid}"}.items()]},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
        {"destination": state, "type": "bind", "source": state, "options": ["rbind", "rw"]}],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi",
                        "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [machine],
                    "syscalls": rules}}}, sys.stdout)
EOF
}

# in_pod UID COMMAND…: runs it there, in the current folder. With $pod_overlay the test's folder store
# lies on an overlay, as a container's own files do.
in_pod() {
  local uid=$1 pod=$test_state/pod
  shift
  bundle "$uid" "$@"
  # The runtime refuses some mixtures of cgroups, and needs none here.
  unshare -m sh -c 'set -e
    mount --make-rprivate /
    if [ -n "$3" ]; then
      mkdir -p "$3/lower" "$3/upper" "$3/work" "$4"
      mount -t overlay overlay -o "lowerdir=$3/lower,upperdir=$3/upper,workdir=$3/work" "$4"
    fi
    mount --rbind / "$1/rootfs"
    mount -t tmpfs none /sys/fs/cgroup
    exec crun --cgroup-manager=disabled run -b "$1" "$2"' \
    sh "$pod" "pod-$$-$RANDOM" "${pod_overlay:-}" "$test_state/store-in-pod-$uid"
}

# pod_build ARGUMENT…: docker_build() there, as root on rung chroot.
pod_build() {
  in_pod 0 "$house/slipway" build . --isolation chroot --network none --progress plain -t x "$@"
}

# base_layout: base:1 as an OCI layout, for all stores alike.
base_layout() {
  SOURCE_DATE_EPOCH=1700000000 busybox_base
  expect_exit 0 slipway build "$test_state/base" --network none --oci "$test_state/base-layout"
  base=oci-layout://$test_state/base-layout
}

# same_digest ARGUMENT…: the Dockerfile here, outside on rung oci and in the pod on rung chroot.
same_digest() {
  expect_exit 0 env SOURCE_DATE_EPOCH=1700000000 "$house/slipway" build . --network none \
    --progress plain -t x --iidfile "$test_state/oci.id" --oci "$test_state/out-oci" "$@"
  expect_exit 0 pod_build --iidfile "$test_state/chroot.id" --oci "$test_state/out-chroot" \
    --metadata-file "$test_state/chroot.json" "$@"
  contains "$err" "isolation: chroot, as asked for"
  equal "$(jq -r .isolation "$test_state/chroot.json")" chroot
  if ! cmp "$test_state/oci.id" "$test_state/chroot.id"; then
    local kind
    for kind in oci chroot; do
      config_of "$test_state/out-$kind" . >"$test_state/config-$kind"
      skopeo inspect --raw "oci:$test_state/out-$kind:latest" | jq . >"$test_state/manifest-$kind"
    done
    diff "$test_state/config-oci" "$test_state/config-chroot" || true
    diff "$test_state/manifest-oci" "$test_state/manifest-chroot" || true
    for kind in oci chroot; do
      rm -rf "$test_state/tree-$kind"
      umoci unpack --rootless --image "$test_state/out-$kind:latest" "$test_state/tree-$kind" >/dev/null 2>&1
      (cd "$test_state/tree-$kind/rootfs" && find . -printf '%p %y %m %s %T@ %l\n' | sort) >"$test_state/list-$kind"
    done
    diff "$test_state/list-oci" "$test_state/list-chroot" || true
    fail "the digests differ"
  fi
  equal "$(jq -r '.manifests[].digest' "$test_state/out-chroot/index.json")" \
    "$(jq -r '.manifests[].digest' "$test_state/out-oci/index.json")"
  rm -rf "$test_state/out-oci" "$test_state/out-chroot"
}

# --- tests ---

test_the_pod_gives_nothing() {
  new_dir
  expect_exit 0 in_pod 0 sh -c 'unshare -U true; unshare -m true; mount -t tmpfs x /mnt; echo "x$?"; id -u'
  contains "$out" $'\n0'
  lacks "$out" x0
  contains "$err" "unshare: unshare failed: Operation not permitted"
}

test_the_dockerfile_tests_pass_in_it() {
  new_dir
  expect_exit 0 in_pod 0 env SLIPWAY_TEST_ISOLATION=chroot bash "$house/tests/e2e/dockerfile.sh"
  contains "$out" "ok stages_arguments_and_what_the_image_says"
  lacks "$out" "not ok"
}

test_hostile_dockerfiles_stay_in_their_root() {
  new_dir
  expect_exit 0 in_pod 0 env SLIPWAY_TEST_ISOLATION=chroot bash "$house/tests/e2e/dockerfile-threats.sh"
  contains "$out" "ok targets_of_mounts_stay_in_the_root"
  lacks "$out" "not ok"
}

test_digests_are_those_of_rung_oci() {
  base_layout
  new_dir app
  echo context >file
  printf 'very-secret-value' >"$test_state/token"
  cat >Dockerfile <<'EOF'
FROM base AS build
WORKDIR /src
COPY file .
RUN mkdir -m 2750 out && cp -p file out/copy && ln out/copy out/hard && ln -s copy out/soft && mkfifo out/pipe
RUN chown -R 1000:1001 out && chmod 4711 out/copy && truncate -s 1000000 out/holes
RUN rm -r out/soft && mkdir out/soft && mv out/hard out/soft/ && touch -d '2001-02-03 04:05:06' out/soft
FROM base
COPY --from=build --chown=3:4 /src /srv
RUN rm /etc/group && rm -rf /srv/out/soft && echo new >/srv/out/soft && true
RUN --mount=type=cache,target=/var/cache/x echo 1 >>/var/cache/x/log && wc -l </var/cache/x/log >/lines
RUN --mount=type=secret,id=token,target=/run/token,mode=0444 wc -c </run/token >/length
RUN --mount=type=tmpfs,target=/scratch echo gone >/scratch/x && test -f /scratch/x && ls -A /scratch >/seen
RUN --mount=type=bind,target=/context,rw cp /context/file /from-context && echo lost >/context/file
RUN --mount=type=bind,from=build,source=/src/out,target=/etc/out,ro cat /etc/out/copy >/from-build
RUN --mount=type=secret,id=token,target=/etc/passwd cat /etc/passwd | wc -c >/hidden
RUN --network=none mkdir -m 700 /app && chown 1000:1000 /app && su app -c 'touch /tmp/own'
USER app
WORKDIR /app/deep/er
RUN pwd >where && id -u >who
EOF
  same_digest --build-context base="$base" --secret id=token,src="$test_state/token"
  if grep -rqa very-secret-value "$test_state/store-in-pod-0"; then fail "the secret was kept"; fi
}

test_hard_links_of_a_base_are_files_of_their_own_above_it() {
  base_layout
  new_dir links
  printf 'FROM base\nRUN mkdir /d && echo 1 >/d/a && ln /d/a /d/b && ln /d/a /d/c\n' >Dockerfile
  expect_exit 0 env SOURCE_DATE_EPOCH=1700000000 "$house/slipway" build . --network none --build-context base="$base" \
    --oci "$test_state/links-layout" -t x
  new_dir app
  cat >Dockerfile <<'EOF'
FROM base
RUN chmod -R 700 /d
RUN rm /d/a && echo 2 >>/d/b && cat /d/c >/seen
RUN ln /d/b /d/e
RUN echo 3 >>/d/e && cat /d/b >/seen-again
EOF
  same_digest --build-context base="oci-layout://$test_state/links-layout"
}

# The sample's own Dockerfile over a base whose tools only claim to work: nothing is fetched here.
test_the_samples() {
  base_layout
  new_dir tools
  printf '#!/bin/sh\nmkdir -p /var/lib/apt/lists /var/cache/apt/archives && echo "$@" >>/var/lib/apt/lists/log\n' >apt-get
  printf '#!/bin/sh\nmkdir -p /root/.cache/go-build && echo built >/root/.cache/go-build/x && cat *.go >/hello && chmod 755 /hello\n' >go
  printf '#!/bin/sh\nmkdir -p node_modules/.bin node_modules/one && cp package.json node_modules/one/ && ln -s ../one/package.json node_modules/.bin/one && echo x >/root/.npm/_cached\n' >npm
  printf 'FROM base\nCOPY --chmod=755 apt-get go npm /usr/bin/\n' >Dockerfile
  expect_exit 0 env SOURCE_DATE_EPOCH=1700000000 "$house/slipway" build . --network none --build-context base="$base" \
    --oci "$test_state/tools-layout" -t x
  local sample
  for sample in dockerfile-go dockerfile-node; do
    new_dir "$sample"
    cp -r "$house/samples/$sample/." .
    same_digest --build-context debian:12="oci-layout://$test_state/tools-layout" \
      --build-context node:20-bookworm-slim="oci-layout://$test_state/tools-layout"
  done
}

test_a_store_on_a_containers_own_overlay() {
  base_layout
  local pod_overlay=$test_state/overlay
  new_dir app
  cat >Dockerfile <<'EOF'
FROM base
RUN mkdir -p /d/e && touch /d/e/1 /d/e/2 /d/e/3 && chown 5:6 /d/e/1
RUN rm /d/e/2 && rm -r /bin/vi && touch /empty
RUN rm -r /d/e && mkdir /d/e && touch /d/e/3 && ls /d/e >/seen
EOF
  same_digest --build-context base="$base"
}

test_caches_stay_and_a_killed_build_leaves_nothing_in_the_way() {
  base_layout
  new_dir app
  printf 'FROM base\nARG N\nRUN --mount=type=cache,target=/cache echo $N >>/cache/log && cp /cache/log /seen\n' >Dockerfile
  expect_exit 0 pod_build --build-context base="$base" --build-arg N=1
  printf 'FROM base\nRUN --mount=type=cache,target=/cache rm -rf /cache; ln -s /etc /cache; touch /begun; sleep 60\n' >Dockerfile.killed
  # Its pid 1 is killed in the middle of the step.
  background in_pod 0 timeout -s KILL 8 "$house/slipway" build . -f Dockerfile.killed --isolation chroot \
    --network none --progress plain -t x --build-context base="$base"
  wait "$pid" || true
  expect_exit 0 pod_build --build-context base="$base" --build-arg N=2 --oci out
  unpack out
  equal "$(tail -n 1 "$root/seen")" 2
  [[ ! -e $root/cache/log && ! -e $root/begun ]] || fail "something of the cache is in the image"
  [[ -z $(find "$test_state/store-in-pod-0/snapshots" -maxdepth 1 -name '.roots-*') ]] ||
    fail "copies of roots were left"
}

test_nothing_is_stepped_down_unasked() {
  base_layout
  new_dir app
  printf 'FROM base\nRUN true\n' >Dockerfile
  expect_exit 6 in_pod 0 "$house/slipway" build . -t x --network none --build-context base="$base"
  contains "$err" "--isolation=chroot"
  expect_exit 6 in_pod 0 "$house/slipway" doctor
  contains "$out" "isolation that works here: chroot"
  contains "$out" "Dockerfiles build with --isolation=chroot"
  # A buildpack's workspace is out of its reach, and it says so.
  new_pack "$dir/pack" <<<'true'
  mkdir src
  expect_exit 6 in_pod 0 "$house/slipway" build src --isolation chroot --stack host --network none -b "$dir/pack"
  contains "$err" 'isolation "chroot" cannot give a step'
}

test_one_store_is_one_isolations() {
  new_dir app
  printf 'FROM scratch\nCOPY Dockerfile /\n' >Dockerfile
  expect_exit 0 slipway build . -t x --network none
  expect_exit 6 slipway build . -t x --network none --isolation chroot --no-cache
  contains "$err" "holds layers of another isolation"
  contains "$err" "SLIPWAY_HOME"
  expect_exit 0 pod_build
  expect_exit 6 env SLIPWAY_HOME="$test_state/store-in-pod-0" "$house/slipway" build . -t x --network none --no-cache
  contains "$err" "holds layers of another isolation"
}

test_an_ordinary_user_copies_and_is_told_what_a_run_needs() {
  base_layout
  new_dir app
  echo hello >file
  mkdir -p folder/sub && echo in >folder/sub/file
  tar -cf packed.tar folder
  cat >Dockerfile <<'EOF'
FROM base
LABEL a=b
WORKDIR /srv
COPY --chown=1000:1000 file ./
COPY folder/ /etc/
ADD --chmod=600 file /srv/other
ADD packed.tar /unpacked/
COPY --from=base /etc/passwd /srv/
USER app
CMD ["cat", "file"]
EOF
  mkdir -p "$test_state/store-in-pod-1234" "$test_state/home"
  chmod 755 "$test_state" "$test_state/work"
  chown -R 1234:1234 "$test_state/store-in-pod-1234" "$test_state/home" "$dir"
  expect_exit 6 in_pod 1234 "$house/slipway" build . -t x --network none --build-context base="$base"
  contains "$err" "--isolation=none"
  expect_exit 0 in_pod 1234 "$house/slipway" build . -t x --network none --isolation none \
    --build-context base="$base" --oci out
  unpack out
  equal "$(<"$root/srv/file") $(<"$root/etc/sub/file") $(stat -c %a "$root/srv/other")" "hello in 600"
  contains "$root/srv/passwd" app
  equal "$(<"$root/unpacked/folder/sub/file")" in
  equal "$(config_of out '.config.User + .config.WorkingDir + .config.Labels.a')" "app/srvb"
  printf 'FROM base\nRUN true\n' >Dockerfile
  expect_exit 6 in_pod 1234 "$house/slipway" build . -t x --network none --isolation none --build-context base="$base"
  contains "$err" "Dockerfile:2"
  contains "$err" "--isolation=oci (user namespaces), or --isolation=chroot as root in a container"
  expect_exit 6 in_pod 1234 "$house/slipway" build . -t x --network none --isolation chroot --build-context base="$base"
  contains "$err" 'isolation "chroot" does not work here: it needs root'
  expect_exit 6 in_pod 1234 "$house/slipway" doctor
  contains "$out" "isolation that works here: none"
}

run_tests "$@"
