#!/bin/bash
# What is written here, in other people's hands: a docker engine of the test's own loads and runs it,
# skopeo, umoci and buildah read it, and what they write is a base here.
# Dockerfiles, packs and formats stand in single quotes, to be expanded elsewhere.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

# start_engine: dockerd with a folder, a socket and no network of its own; sets $engine (the socket).
start_engine() {
  need_program dockerd
  need_program docker
  need_root
  # Paths of sockets may have 107 bytes.
  engine_folder=$(mktemp -d /tmp/engine.XXXXXX)
  engine=$engine_folder/sock
  background dockerd --iptables=false --ip6tables=false --bridge=none --data-root "$engine_folder/data" \
    --exec-root "$engine_folder/run" --pidfile "$engine_folder/pid" -H "unix://$engine"
  engine_pid=$pid
  trap stop_engine EXIT
  local i
  for i in {1..300}; do
    if docker_ info >/dev/null 2>&1; then return 0; fi
    kill -0 "$engine_pid" 2>/dev/null || break
    sleep 0.1
  done
  skip "dockerd does not start here: $(grep -v level=info "$background_log" | tail -n 1)"
}

stop_engine() {
  trap - ERR
  set +e
  kill "$engine_pid" 2>/dev/null
  wait "$engine_pid" 2>/dev/null
  # Layers stay mounted when an engine was killed.
  grep -o " ${engine_folder}[^ ]*" /proc/mounts | sort -r | xargs -r umount -l 2>/dev/null
  rm -rf --one-file-system "$engine_folder" 2>/dev/null
  stop_background
}

docker_() { env -u DOCKER_CONFIG docker -H "unix://$engine" "$@"; }
# run_image ARGUMENT…: a container without a network; its output.
run_image() { docker_ run --rm --network none "$@"; }

# new_app: a Dockerfile on base:1 with what images can have.
new_app() {
  busybox_base
  new_dir app
  echo hello >greeting
  cat >Dockerfile <<'EOF'
FROM base:1
COPY greeting /srv/
RUN rm /etc/group && ln /srv/greeting /srv/twin && chmod 4711 /bin/busybox && mkdir -m 1777 /scratch \
  && chown -R app /srv
ENV NAME=world
USER app
WORKDIR /srv
CMD ["sh", "-c", "echo $(cat twin) $NAME as $(id -u) in $PWD; test ! -e /etc/group"]
EOF
}

test_docker_loads_and_runs_an_archive() {
  start_engine
  new_app
  expect_exit 0 docker_build -t hello:1 --docker-archive ../app.tar --iidfile ../id
  expect_exit 0 docker_ load -i ../app.tar
  contains "$out" "Loaded image: hello:1"
  equal "$(run_image hello:1)" "hello world as 1000 in /srv"
  # The image's id is the one we said.
  equal "$(docker_ image inspect -f '{{.Id}}' hello:1)" "$(<../id)"
  equal "$(docker_ image inspect hello:1 | jq -c '.[0].RootFS.Layers')" \
    "$(tar -xOf ../app.tar "blobs/sha256/$(sed 's/.*://' ../id)" | jq -c .rootfs.diff_ids)"
  # stdout, as in `slipway build … | docker load`.
  slipway build . --network none -t hello:2 --docker-archive - 2>../err | docker_ load
  equal "$(run_image hello:2 cat greeting)" hello
}

test_docker_loads_uncompressed_layers() {
  start_engine
  new_app
  expect_exit 0 docker_build -t hello:1 --docker-archive ../app.tar --compression none
  expect_exit 0 docker_ load -i ../app.tar
  equal "$(run_image hello:1)" "hello world as 1000 in /srv"
}

test_load_copies_what_the_engine_lacks() {
  start_engine
  new_app
  export DOCKER_HOST=unix://$engine
  expect_exit 0 slipway build . --network none --progress plain -t hello:1 --load
  contains "$err" "loaded into the docker engine (0 of "
  contains "$err" "Next: docker run --rm hello:1"
  equal "$(run_image hello:1)" "hello world as 1000 in /srv"

  # There already: only the name is new.
  expect_exit 0 slipway build . --network none --progress plain -t hello:2 --output type=docker
  contains "$err" "the docker engine has it already"
  equal "$(run_image hello:2 cat greeting)" hello

  # A change sends the layers from there on.
  echo bye >greeting
  expect_exit 0 slipway build . --network none --progress plain -t hello:1 --load
  contains "$err" "loaded into the docker engine (4 of 7 layers were there)"
  equal "$(run_image hello:1)" "bye world as 1000 in /srv"
  equal "$(run_image hello:2 cat greeting)" hello

  # What was removed is sent again.
  docker_ image rm -f "$(docker_ images -q)" >/dev/null 2>&1 || docker_ system prune -af >/dev/null
  expect_exit 0 slipway build . --network none --progress plain -t hello:3 --load
  equal "$(run_image hello:3)" "bye world as 1000 in /srv"
}

test_load_of_several_images() {
  start_engine
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN echo shared >/shared\nCMD ["echo", "web runs"]\n' >Dockerfile
  printf 'FROM base:1\nRUN echo shared >/shared\nCMD ["echo", "worker runs"]\n' >Dockerfile.worker
  printf 'build:\n  docker:\n    web: Dockerfile\n    worker: Dockerfile.worker\n' >heroku.yml
  DOCKER_HOST=unix://$engine expect_exit 0 slipway build . --network none -t team/app:7 --load
  equal "$(run_image team/app-web:7)" "web runs"
  equal "$(run_image team/app-worker:7)" "worker runs"
}

test_load_without_an_engine() {
  new_dir app
  printf 'FROM scratch\nCOPY Dockerfile /\n' >Dockerfile
  # Told before anything is built.
  DOCKER_HOST=unix://$dir/none expect_exit 6 slipway build . -t x --load
  contains "$err" "no docker engine at $dir/none: No such file or directory"
  contains "$err" "--docker-archive FILE"
  lacks "$err" COPY
  # A socket nobody listens at.
  need_program python3
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$test_state/dead"
  DOCKER_HOST=unix://$test_state/dead expect_exit 6 slipway build . -t x --load
  contains "$err" "no docker engine at $test_state/dead: Connection refused"
  DOCKER_HOST=tcp://127.0.0.1:1 expect_exit 2 slipway build . -t x --load
  contains "$err" "only an engine's socket on this machine"
  contains "$err" "--docker-archive - | docker load"
  DOCKER_HOST=unix://$dir/none expect_exit 2 slipway build . -t x --load --platform linux/amd64,linux/arm64
}

test_load_may_not_use_the_socket() {
  need_root
  need_program python3
  new_dir app
  printf 'FROM scratch\nCOPY Dockerfile /\n' >Dockerfile
  mkdir "$test_state/locked"
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$test_state/locked/sock"
  chmod 755 "$test_state/locked"
  chmod 600 "$test_state/locked/sock"
  expect_exit 6 as_user env DOCKER_HOST="unix://$test_state/locked/sock" "$house/slipway" build . -t x --load
  contains "$err" "Permission denied"
  contains "$err" "join the group that owns the socket"
}

# fake_engine: answers every load with the engine's words in fake.json; sets $engine.
fake_engine() {
  need_program python3
  engine=$test_state/fake
  cat >"$test_state/fake.py" <<'END'
import http.server, os, socketserver, sys
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass
class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def address_string(self): return "unix"
    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        if self.path == "/images/json": return self.answer(200, b"[]")
        self.answer(404, b'{"message":"No such image"}')
    def do_POST(self):
        while True:
            size = int(self.rfile.readline(), 16)
            self.rfile.read(size + 2)
            if size == 0: break
        status, text = open(sys.argv[2], "rb").read().split(b" ", 1)
        self.answer(int(status), text)
Server(sys.argv[1], Engine).serve_forever()
END
  background python3 "$test_state/fake.py" "$engine" "$test_state/fake.json"
  within 10 test -S "$engine"
}

test_the_engines_own_words() {
  fake_engine
  new_dir app
  printf 'FROM scratch\nCOPY Dockerfile /\n' >Dockerfile
  printf '500 {"message":"no space left on device"}\n' >"$test_state/fake.json"
  DOCKER_HOST=unix://$engine expect_exit 5 slipway build . -t x --load
  contains "$err" "the docker engine at $engine refuses: no space left on device"
  # A failure behind a 200.
  printf '200 {"stream":"Loading"}\n{"errorDetail":{"message":"broken tar"},"error":"broken tar"}\n' >"$test_state/fake.json"
  DOCKER_HOST=unix://$engine expect_exit 5 slipway build . -t x --load
  contains "$err" "refuses: broken tar"
  printf '200 {"stream":"Loaded image: x:latest"}\n' >"$test_state/fake.json"
  DOCKER_HOST=unix://$engine expect_exit 0 slipway build . -t x --load
}

has_logged() { docker_ logs "$1" | grep -q "$2"; }

test_a_slugs_image_on_a_real_engine() {
  start_engine
  need_program curl
  bash_stack
  [[ -x $test_state/bash-stack/usr/bin/busybox ]] || skip "busybox is not static"
  new_pack "$test_state/pack" Tiny <<'END'
mkdir -p "$1/.heroku/bin" "$1/.profile.d" "$1/public"
echo "compiled $(cat "$1/page")" >"$1/public/index.html"
printf '#!/bin/bash\nexec busybox httpd -f -p "$1" -h /app/public\n' >"$1/.heroku/bin/serve"
chmod 755 "$1/.heroku/bin/serve"
echo 'export PATH=/app/.heroku/bin:$PATH GREETING="${GREETING:-hello}"' >"$1/.profile.d/tiny.sh"
END
  new_dir app
  echo page >page
  printf 'web: serve $PORT\nworker: echo "$GREETING from $DYNO"; trap "echo bye; exit 3" TERM; while :; do sleep 0.1; done\n' >Procfile
  export DOCKER_HOST=unix://$engine
  expect_exit 0 slipway build . --stack tiny --network none -b "$test_state/pack" -t app:1 --load

  local port container
  port=$(free_port)
  container=$(docker_ run -d --network host -e PORT="$port" app:1)
  wait_http "http://127.0.0.1:$port/"
  equal "$(http_get "http://127.0.0.1:$port/")" "compiled page"
  # A stop reaches the app, long before it is killed.
  local began=$SECONDS
  docker_ stop -t 20 "$container" >/dev/null
  [[ $((SECONDS - began)) -lt 10 ]] || fail "the signal did not reach the app"
  docker_ rm "$container" >/dev/null

  container=$(docker_ run -d --network none -e GREETING=hi app:1 worker)
  within 10 has_logged "$container" 'hi from worker.1'
  docker_ stop -t 20 "$container" >/dev/null
  equal "$(docker_ logs "$container")" "$(printf 'hi from worker.1\nbye')"
  equal "$(docker_ inspect -f '{{.State.ExitCode}}' "$container")" 3
  docker_ rm "$container" >/dev/null

  equal "$(run_image app:1 'echo $GREETING $HOME; id -u')" "$(printf 'hello /app\n1000')"
  equal "$(run_image app:1 cat /app/page)" page
  expect_exit 9 run_image app:1 'exit 9'
  equal "$(run_image --entrypoint /bin/bash app:1 -c 'id -un; echo ~')" "$(printf 'app\n/app')"

  # A change of the source leaves the rest where it is.
  echo other >page
  expect_exit 0 slipway build . --stack tiny --network none --progress plain -b "$test_state/pack" -t app:2 --load
  contains "$err" "loaded into the docker engine (3 of 5 layers were there)"
  equal "$(run_image app:2 cat public/index.html)" "compiled other"
}

test_skopeo_and_umoci_read_layouts_and_archives() {
  need_program skopeo
  need_program umoci
  new_app
  expect_exit 0 docker_build -t hello:1 --oci ../layout --oci-archive ../oci.tar --docker-archive ../docker.tar
  local kind digest
  digest=$(skopeo inspect --format '{{.Digest}}' oci:../layout:1)
  equal "$(skopeo inspect --format '{{.Digest}}' oci-archive:../oci.tar:1)" "$digest"
  equal "$(skopeo inspect --config "docker-archive:../docker.tar:hello:1" | jq -c .rootfs)" \
    "$(skopeo inspect --config oci:../layout:1 | jq -c .rootfs)"
  # Every blob is verified on the way.
  for kind in oci:../layout:1 oci-archive:../oci.tar:1 docker-archive:../docker.tar:hello:1; do
    rm -rf ../copy
    skopeo copy -q "$kind" dir:../copy || fail "skopeo cannot copy $kind"
  done
  unpack ../layout 1
  equal "$(<"$root/srv/twin")" hello
  [[ $root/srv/twin -ef $root/srv/greeting ]] || fail "the hard link is gone"
  [[ ! -e $root/etc/group ]] || fail "a removed file is there"
}

test_buildah_reads_and_writes() {
  need_program buildah
  need_root
  new_app
  # It makes a name of the folder's path, which must be in lower case.
  local layout theirs=$test_state/theirs
  layout=/tmp/slipway-buildah-$$/layout
  trap 'rm -rf "${layout%/*}"; stop_background' EXIT
  mkdir "${layout%/*}"
  expect_exit 0 docker_build -t hello:1 --oci "$layout"
  local storage=(--root "$test_state/buildah" --runroot "$test_state/buildah-run" --storage-driver vfs) container
  container=$(buildah "${storage[@]}" from "oci:$layout:1" 2>../log) || fail "buildah: $(<../log)"
  equal "$(buildah "${storage[@]}" inspect -f '{{.OCIv1.Config.WorkingDir}}' "$container")" /srv
  equal "$(buildah "${storage[@]}" run --isolation chroot "$container" cat /srv/twin 2>../log || cat ../log)" hello

  # Its own work becomes a base here.
  buildah "${storage[@]}" run --isolation chroot --user root "$container" sh -c 'echo buildah >/made && rm /srv/twin' 2>../log || fail "$(<../log)"
  buildah "${storage[@]}" commit -q "$container" "oci:$theirs:2" 2>../log >/dev/null || fail "$(<../log)"
  buildah "${storage[@]}" rm "$container" >/dev/null
  printf 'FROM theirs\nRUN cat /made >/seen && test ! -e /srv/twin\n' >Dockerfile
  sed -i 's/^RUN/USER root\nRUN/' Dockerfile
  expect_exit 0 docker_build --build-context "theirs=oci-layout://$theirs:2" --dir ../root
  equal "$(<../root/seen)" buildah
}

test_what_skopeo_wrote_is_a_base() {
  need_program skopeo
  new_app
  expect_exit 0 docker_build -t hello:1 --oci ../layout
  skopeo copy -q oci:../layout:1 oci-archive:../theirs.tar:x
  skopeo copy -q oci:../layout:1 docker-archive:../theirs-docker.tar:theirs:x
  skopeo copy -q --dest-compress-format zstd oci:../layout:1 oci:../zstd:x 2>/dev/null || rm -rf ../zstd
  printf 'FROM theirs\nUSER root\nRUN cat /srv/twin >/seen\n' >Dockerfile
  local source
  for source in oci-archive:../theirs.tar:x docker-archive:../theirs-docker.tar oci:../zstd:x; do
    if [[ $source == *zstd* && ! -d ../zstd ]]; then continue; fi
    rm -rf ../root
    expect_exit 0 docker_build --build-context "theirs=$source" --dir ../root
    equal "$(<../root/seen)" hello
  done
}

test_docker_saves_and_it_is_a_base() {
  start_engine
  new_app
  export DOCKER_HOST=unix://$engine
  expect_exit 0 slipway build . --network none -t hello:1 --load
  docker_ run --name changed --network none --user root hello:1 sh -c 'echo changed >/made; rm /srv/twin'
  docker_ commit changed theirs:9 >/dev/null
  docker_ save -o ../theirs.tar theirs:9
  printf 'FROM theirs\nUSER root\nRUN cat /made >/seen && test ! -e /srv/twin\n' >Dockerfile
  expect_exit 0 docker_build --build-context theirs=docker-archive:../theirs.tar --dir ../root
  equal "$(<../root/seen)" changed
}

run_tests "$@"
