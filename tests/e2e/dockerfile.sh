#!/bin/bash
# Dockerfiles become images: the language's main paths, the cache, errors, secrets, outputs.
# Dockerfiles stand in quoted heredocs: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

test_stages_arguments_and_what_the_image_says() {
  busybox_base
  new_dir app
  echo hello >greeting
  cat >Dockerfile <<'EOF'
# syntax=docker/dockerfile:1
ARG TAG=1
FROM base:${TAG} AS build
ARG NAME=world
COPY greeting /in/
RUN echo "$(cat /in/greeting) $NAME" >/out.txt && mkdir -m 750 /data && chown 1000:1000 /data
FROM nothere:1 AS unreachable
RUN false
FROM base:1
LABEL a=1
ENV GREETING=hi PORT=8080
WORKDIR /srv/www
COPY --from=build --chown=app:app /out.txt ./
COPY --from=build /data /data/
EXPOSE 8080
USER app
ENTRYPOINT ["cat"]
CMD ["out.txt"]
EOF
  expect_exit 0 docker_build --build-arg NAME=there --oci out
  contains "$err" "Building app from a Dockerfile: there is a Dockerfile"
  unpack out
  equal "$(<"$root/srv/www/out.txt")" "hello there"
  [[ ! -e $root/in ]] || fail "the build stage is in the image"
  equal "$(config_of out '.config.User + " " + .config.WorkingDir')" "app /srv/www"
  equal "$(config_of out '.config.Entrypoint[0] + " " + .config.Cmd[0]')" "cat out.txt"
  contains <(config_of out '.config.Env[]') "PORT=8080"
  contains <(config_of out '.history[].created_by') "COPY --chown=app:app /out.txt ./ # buildkit"
  equal "$(config_of out '[.history[] | select(.empty_layer | not)] | length')" \
    "$(config_of out '.rootfs.diff_ids | length')"
}

test_nothing_changed_runs_nothing_and_gives_the_same_image() {
  busybox_base
  new_dir app
  echo 1 >file
  printf 'FROM base:1\nCOPY file /\nRUN echo ran >/ran\n' >Dockerfile
  expect_exit 0 docker_build --iidfile first --oci-archive first.tar
  expect_exit 0 docker_build --iidfile second --oci-archive second.tar
  lacks "$err" "ran for"
  contains "$err" "RUN echo ran >/ran: cached"
  cmp first second
  cmp first.tar second.tar
  # A time is no content (K7), a mode is.
  touch -d '2020-01-01' file
  expect_exit 0 docker_build --iidfile third
  contains "$err" "RUN echo ran >/ran: cached"
  chmod 600 file
  expect_exit 0 docker_build --explain
  lacks "$err" "COPY file /: cached"
  contains "$err" "file file"
}

test_only_what_is_copied_counts() {
  busybox_base
  new_dir app
  echo 1 >used
  echo 1 >other
  echo ignored >junk
  printf 'junk\n*.log\n!keep.log\n' >.dockerignore
  echo log >a.log && echo log >keep.log
  printf 'FROM base:1\nCOPY used /\nRUN echo one\nCOPY . /all/\n' >Dockerfile
  expect_exit 0 docker_build --oci out
  unpack out
  equal "$(cd "$root/all" && echo * .d*)" "Dockerfile keep.log other used .dockerignore"
  echo 2 >other
  expect_exit 0 docker_build
  contains "$err" "RUN echo one: cached"
  lacks "$err" "COPY . /all/: cached"
}

test_errors_of_the_file_show_the_place() {
  new_dir app
  printf 'FROM scratch\nCOPPY a b\n' >Dockerfile
  expect_exit 4 docker_build
  contains "$err" "Dockerfile:2:1:"
  contains "$err" "COPPY a b"
  contains "$err" "COPY"
  printf 'FROM scratch\nCOPY missing.txt /\n' >Dockerfile
  expect_exit 4 docker_build
  contains "$err" "'/missing.txt' does not exist"
  lacks "$err" "did you mean"
  mkdir src
  touch src/mising.txt src/left-out
  echo src/left-out >.dockerignore
  printf 'FROM scratch\nCOPY src/missing.txt /\n' >Dockerfile
  expect_exit 4 docker_build
  contains "$err" "Dockerfile:2:"
  contains "$err" "did you mean '/src/mising.txt'?"
  printf 'FROM scratch\nCOPY scr/mising.txt /\n' >Dockerfile
  expect_exit 4 docker_build
  contains "$err" "did you mean '/src'?"
  printf 'FROM scratch\nCOPY src/left-out /\n' >Dockerfile
  expect_exit 4 docker_build
  contains "$err" "'src/left-out' is there, but an ignore file leaves it out"
  printf '# nothing\n' >Dockerfile
  expect_exit 4 docker_build
  printf 'FROM scratch AS build\n' >Dockerfile
  expect_exit 2 docker_build --target bulid
  contains "$err" "build"
  rm Dockerfile
  expect_exit 2 docker_build -f Dockerfile.prod
  contains "$err" "there is no Dockerfile 'Dockerfile.prod'"
}

test_a_registry_at_which_nobody_answers() {
  new_dir app
  local port
  port=$(free_port)
  printf 'FROM localhost:%s/base:1\n' "$port" >Dockerfile
  expect_exit 5 docker_build
  contains "$err" "localhost:$port"
  contains "$err" "(tried 2 times)"
  contains "$err" "hint: "
}

test_a_failed_run_names_its_line_and_what_it_said() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN true\nRUN echo about to fail && \\\n    exit 3\n' >Dockerfile
  expect_exit 1 docker_build --oci out
  contains "$err" "error: Dockerfile:3:"
  contains "$err" "exit 3"
  contains "$err" "about to fail"
  contains "$err" "--debug opens a shell"
  [[ ! -e out ]] || fail "a failed build left an output"
  printf 'FROM base:1\nRUN true\n' >Dockerfile
  expect_exit 0 docker_build --oci out
}

test_secrets_reach_their_step_and_nothing_else() {
  busybox_base
  new_dir app
  printf 'very-secret-value' >token
  cat >Dockerfile <<'EOF'
FROM base:1
RUN --mount=type=secret,id=token,target=/run/token cat /run/token | wc -c >/length
RUN --mount=type=secret,id=token,env=TOKEN echo "$TOKEN"
RUN test ! -e /run/token && test -z "$TOKEN"
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
EOF
  printf 'token\n' >.dockerignore
  expect_exit 0 docker_build --secret id=token,src=token --oci out --metadata-file meta.json
  lacks "$err" very-secret-value
  contains "$err" "[redacted]"
  unpack out
  equal "$(tr -d ' ' <"$root/length")" 17
  [[ ! -e $root/run/token && ! -e $root/run/secrets ]] || fail "the mount left a trace"
  if grep -rqa very-secret-value out meta.json "$SLIPWAY_HOME"; then fail "the secret was kept"; fi
  printf 'FROM base:1\nRUN --mount=type=secret,id=token,required true\n' >Dockerfile
  expect_exit '1|2|4' docker_build
  contains "$err" token
}

test_a_changed_secret_is_told_or_runs_again() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN --mount=type=secret,id=token cat /run/secrets/token | wc -c >/n\n' >Dockerfile
  echo first-secret-value >token
  expect_exit 0 docker_build --secret id=token,src=token
  echo second-secret-value >token
  expect_exit 0 docker_build --secret id=token,src=token --explain
  contains "$err" "cached"
  contains "$err" "the value of the secret 'token' has changed since"
  # The first time with the flag has another key.
  expect_exit 0 docker_build --secret id=token,src=token --rebuild-on-secret-change
  expect_exit 0 docker_build --secret id=token,src=token --rebuild-on-secret-change
  contains "$err" "wc -c >/n: cached"
  echo third-secret-value >token
  expect_exit 0 docker_build --secret id=token,src=token --rebuild-on-secret-change --explain
  lacks "$err" "wc -c >/n: cached"
  contains "$err" "secret token"
}

test_several_platforms_by_cross_building() {
  busybox_base
  new_dir app
  cat >Dockerfile <<'EOF'
FROM --platform=$BUILDPLATFORM base:1 AS build
ARG TARGETARCH BUILDARCH
RUN echo "$BUILDARCH builds for $TARGETARCH" >/out
FROM scratch
COPY --from=build /out /out
EOF
  expect_exit 0 docker_build --platform linux/amd64,linux/arm64 --oci out
  local index digest
  index=$(jq -r '.manifests[0].digest' out/index.json)
  equal "$(jq -r '[.manifests[].platform.architecture] | join(" ")' "out/blobs/sha256/${index#sha256:}")" "amd64 arm64"
  local native
  native=$(dpkg --print-architecture)
  for digest in $(jq -r '.manifests[].digest' "out/blobs/sha256/${index#sha256:}"); do
    digest=$(jq -r '.layers[0].digest' "out/blobs/sha256/${digest#sha256:}")
    tar -xzOf "out/blobs/sha256/${digest#sha256:}" out >>said
  done
  equal "$(<said)" "$native builds for amd64"$'\n'"$native builds for arm64"
  # What this machine cannot run is told as that.
  printf '\177ELF\002\001\001' >./sh
  head -c 200 /dev/zero >>./sh
  chmod 755 sh
  printf 'FROM scratch\nCOPY sh /bin/sh\nRUN true\n' >Dockerfile
  expect_exit 1 docker_build --platform linux/s390x
  contains "$err" "error: Dockerfile:3:"
  contains "$err" "Exec format error"
  contains "$err" "FROM --platform=\$BUILDPLATFORM"
}

test_a_name_given_on_another_rung_is_unpacked_anew() {
  [[ -z ${SLIPWAY_TEST_ISOLATION:-} ]] || return 0 # two rungs are wanted here
  busybox_base
  new_dir app
  echo x >file
  printf 'FROM scratch\nCOPY file /\n' >Dockerfile
  expect_exit 0 slipway build . --isolation none -t owned:1
  # Rung none keeps files as the caller's, whom a step sees as nobody.
  printf 'FROM owned:1\nCOPY --from=base:1 / /\nRUN test "$(stat -c %%u:%%g /file)" = 0:0\n' >Dockerfile
  expect_exit 0 docker_build
}

test_names_are_listed_and_forgotten() {
  new_dir app
  printf 'FROM scratch\nLABEL a=b\n' >Dockerfile
  expect_exit 0 slipway build . -t hello:1 -t example.com/there/hello:2
  expect_exit 0 slipway image ls
  contains "$out" "hello:1"
  contains "$out" "example.com/there/hello:2"
  expect_exit 2 slipway image rm hello:1 helo:1
  contains "$err" "there is no image 'helo:1'"
  contains "$err" "did you mean 'hello:1'?"
  expect_exit 0 slipway image rm hello:1
  expect_exit 0 slipway image ls --json
  equal "$(jq -r '[.[].name] | join(" ")' "$out")" "example.com/there/hello:2"
}

test_cache_mounts_outlive_builds_and_are_no_layer() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nARG N\nRUN --mount=type=cache,target=/cache echo $N >>/cache/log && cp /cache/log /seen\n' >Dockerfile
  expect_exit 0 docker_build --build-arg N=1
  expect_exit 0 docker_build --build-arg N=2 --oci out
  unpack out
  equal "$(tr '\n' ' ' <"$root/seen")" "1 2 "
  [[ ! -e $root/cache/log ]] || fail "the cache is in the image"
}

test_heredocs_and_shell() {
  busybox_base
  new_dir app
  cat >Dockerfile <<'EOF'
FROM base:1
ARG WHO=me
RUN <<END
echo first >/a
echo "$WHO" >>/a
END
COPY <<END /b
for $WHO
END
COPY --chmod=755 <<'END' /c
#!/bin/sh
echo $WHO
END
RUN <<END
#!/bin/sh
echo script >/d
END
EOF
  expect_exit 0 docker_build --oci out
  unpack out
  equal "$(tr '\n' ' ' <"$root/a")" "first me "
  equal "$(<"$root/b")" "for me"
  contains "$root/c" 'echo $WHO'
  equal "$(stat -c %a "$root/c")" 755
  equal "$(<"$root/d")" script
}

test_links_in_the_context_stay_in_it() {
  busybox_base
  new_dir app
  echo outside >"$test_state/outside"
  ln -s "$test_state/outside" leak
  ln -s ../../../../../../etc/passwd up
  mkdir dir && echo inside >dir/file && ln -s dir/file good
  printf 'FROM base:1\nCOPY good /\n' >Dockerfile
  expect_exit 0 docker_build --oci out
  unpack out
  equal "$(<"$root/good")" inside
  printf 'FROM base:1\nCOPY leak /\n' >Dockerfile
  expect_exit 4 docker_build
  printf 'FROM base:1\nCOPY . /all/\n' >Dockerfile
  expect_exit 0 docker_build --oci all
  unpack all
  [[ -L $root/all/leak ]] || fail "the link became something else"
  if grep -rqa outside all/blobs; then fail "a file from outside is in the image"; fi
}

test_which_kind_of_build() {
  new_dir app
  printf 'FROM scratch\nLABEL a=b\n' >Dockerfile
  printf 'build:\n  docker:\n    web: Dockerfile\n' >heroku.yml
  expect_exit 0 docker_build
  contains "$err" "from heroku.yml: there is a heroku.yml"
  expect_exit 0 docker_build --strategy dockerfile
  contains "$err" "from a Dockerfile: asked for with --strategy"
  expect_exit 2 docker_build --strategy buildpack -f Dockerfile
  contains "$err" "contradict"
  expect_exit 2 docker_build --strategy cargo
  expect_exit 2 docker_build -b nodejs --target x
  printf '{"buildpacks": [{"url": "nodejs"}]}' >app.json
  expect_exit '1|3|5|6' slipway build . --stack host --network none --progress plain
  contains "$err" "with buildpacks: buildpacks are configured: listed in app.json"
  contains "$err" "there is a heroku.yml too"
  printf '{"stack": "container"}' >app.json
  rm heroku.yml Dockerfile
  expect_exit 4 docker_build
  contains "$err" "Your app does not include a heroku.yml build manifest."
}

test_flags_of_docker_that_mean_nothing_here() {
  new_dir app
  printf 'FROM scratch\nLABEL a=b\n' >Dockerfile
  expect_exit 2 docker_build --squash
  contains "$err" "--squash is not taken"
  contains "$err" "COPY --from"
  expect_exit 2 docker_build --builder x
  DOCKER_HOST=tcp://127.0.0.1:1 expect_exit 2 docker_build --load
  contains "$err" "| docker load"
  expect_exit 0 docker_build --rm --force-rm -q
  contains "$out" sha256:
}

test_a_dockerfile_from_stdin_and_from_elsewhere() {
  busybox_base
  new_dir app
  echo x >file
  mkdir docker
  printf 'FROM base:1\nCOPY file /\n' >docker/Other.Dockerfile
  expect_exit 0 docker_build -f docker/Other.Dockerfile --oci one
  printf 'FROM base:1\nCOPY file /\n' | slipway build . -f - --network none -t x --oci two >/dev/null 2>"$test_state/err2" ||
    fail "$(cat "$test_state/err2")"
  unpack two
  equal "$(<"$root/file")" x
}

test_a_source_from_stdin() {
  new_dir app
  echo hi >file
  printf 'FROM scratch\nCOPY file /\n' >Dockerfile
  # piped ARGUMENT…: `slipway build -` with $test_state/piped on its stdin.
  piped() { slipway build - -t x --network none "$@" <"$test_state/piped"; }
  tar -cz file Dockerfile >"$test_state/piped"
  expect_exit 0 piped --oci out
  unpack out
  equal "$(<"$root/file")" hi
  # A Dockerfile has no context then.
  cp Dockerfile "$test_state/piped"
  expect_exit 4 piped
  contains "$err" "<stdin>:2:"
  contains "$err" "'/file' does not exist"
  printf 'FROM scratch\nLABEL a=b\n' >"$test_state/piped"
  expect_exit 0 piped --oci labelled
  equal "$(config_of labelled .config.Labels.a)" b
  expect_exit 2 piped -f -
  contains "$err" "both want stdin"
  : >"$test_state/piped"
  expect_exit 4 piped
  contains "$err" "the file has no instructions"
  # A cache of its own needs a name of its own.
  tar -c file >"$test_state/piped"
  expect_exit 2 piped --slug s.tgz
  expect_exit 2 slipway build - --slug s.tgz <"$test_state/piped"
  contains "$err" "an app that comes on stdin needs a name"
}

test_detect_and_plan_tell_of_dockerfiles() {
  new_dir app
  printf 'FROM scratch AS one\nCOPY file /\nFROM scratch\nCOPY --from=one /file /\n' >Dockerfile
  echo x >file
  expect_exit 0 slipway detect .
  contains "$out" "app builds from a Dockerfile: there is a Dockerfile"
  expect_exit 0 slipway detect . --json
  equal "$(jq -r '.strategy + " " + .images[0].dockerfile' "$out")" "dockerfile Dockerfile"
  expect_exit 0 slipway plan . --json
  equal "$(jq -r '[.steps[] | select(.op == "file") | .cached] | tostring' "$out")" "[false,false]"
  expect_exit 0 slipway build . -t x
  expect_exit 0 slipway plan . --json
  equal "$(jq -r '[.steps[].cached] | unique | tostring' "$out")" "[true]"
  expect_exit 0 slipway plan . --target one
  contains "$out" "COPY file /"
  lacks "$out" "COPY --from"
  printf 'build:\n  docker:\n    web: Dockerfile\n    worker:\n      dockerfile: Dockerfile\n      target: one\n' >heroku.yml
  expect_exit 0 slipway detect .
  contains "$out" "app builds from heroku.yml"
  contains "$out" "worker"
}

test_a_build_without_an_output_only_warms_the_cache() {
  busybox_base
  new_dir app
  printf 'FROM base:1\nRUN echo 1 >/one\n' >Dockerfile
  expect_exit 0 slipway build . --network none --progress plain
  contains "$err" "no output was asked for: the result stays in the cache"
  expect_exit 0 slipway build . --network none --progress plain --oci out
  contains "$err" "RUN echo 1 >/one: cached"
  lacks "$err" "no output"
  expect_exit 0 slipway build . --network none -q
  equal "$(<"$out")" "$(skopeo inspect --raw oci:out | jq -r .config.digest)"
}

test_names_become_index_entries() {
  new_dir app
  printf 'FROM scratch\nLABEL a=b\n' >Dockerfile
  expect_exit 0 slipway build . -t one:1 -t example.com/two:2 --oci out
  equal "$(jq -r '.manifests | length' out/index.json)" 2
  equal "$(jq -r '[.manifests[].digest] | unique | length' out/index.json)" 1
  equal "$(jq -r '[.manifests[].annotations["org.opencontainers.image.ref.name"]] | sort | join(" ")' out/index.json)" "1 2"
  expect_exit 2 docker_build -t 'Bad Name'
}

test_host_ca_is_trusted_in_steps_and_in_no_layer() {
  need_program openssl
  busybox_base
  new_dir app
  openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out "$test_state/private.pem" -days 2 \
    -subj "/CN=Private Test Root" 2>/dev/null
  local mark config
  # One line of the certificate: base64 of random bytes.
  mark=$(sed -n 5p "$test_state/private.pem")
  mark=${mark:0:60}
  printf 'key.pem\n' >.dockerignore
  cat >Dockerfile <<'EOF'
FROM base:1
ARG MARK
RUN test -z "$SSL_CERT_FILE" || { grep -qF "$MARK" "$SSL_CERT_FILE" && test "$PIP_CERT" = "$SSL_CERT_FILE"; }
RUN echo "${SSL_CERT_FILE:-unset}" >&2; ls -R / >/dev/null 2>&1; echo done >/done
ENV SSL_CERT_FILE=/own.pem
RUN echo "own $SSL_CERT_FILE, ${NODE_EXTRA_CA_CERTS:-unset}" >&2
RUN --network=none echo "offline ${NODE_EXTRA_CA_CERTS:-unset}" >&2
EOF
  export SSL_CERT_FILE=$test_state/private.pem SOURCE_DATE_EPOCH=1700000000
  local build=(slipway build . --network host --allow network.host --progress plain -t x
    --build-arg "MARK=${mark:0:20}")
  expect_exit 0 "${build[@]}" --host-ca --oci with --iidfile with.id
  contains "$err" $'\n/dev/host-ca.crt'
  contains "$err" "own /own.pem, /dev/host-ca.crt"
  contains "$err" "offline unset"
  unpack with
  [[ -z $(find "$root" -name 'host-ca*') ]] || fail "the mount left a trace"
  equal "$(cat "$root/done")" "done"
  [[ ! -e $root/etc/ssl && ! -e $root/dev ]] || fail "the mount left a trace"
  if grep -rqaF "$mark" "$root" with; then fail "the certificate is in the image"; fi
  config=$(config_of with '.config.Env[]')
  [[ $config != *NODE_EXTRA_CA_CERTS* ]] || fail "the config has it: $config"
  lacks <(config_of with .) host-ca
  # It is no part of a key, and an image made without it is the same.
  expect_exit 0 "${build[@]}" --iidfile again.id
  contains "$err" "cached"
  lacks "$err" "own /own.pem, /dev"
  cmp with.id again.id
  expect_exit 0 "${build[@]}" --no-cache --iidfile without.id
  contains "$err" "own /own.pem, unset"
  cmp with.id without.id
}

test_debug_opens_a_shell_where_a_run_failed() {
  busybox_base
  new_dir app
  cat >Dockerfile <<'EOF'
FROM base:1
RUN echo below >/below
USER app
WORKDIR /tmp/deep
ENV NAME=value
RUN --mount=type=cache,target=/cache,uid=1000 echo half >half && echo kept >/cache/kept && exit 7
EOF
  local status=0
  printf 'pwd\nid -un\ncat half /below /cache/kept\necho "name $NAME"\nexit\n' |
    docker_build --debug --oci out >"$test_state/o" 2>"$test_state/e" || status=$?
  equal "$status" 1
  contains "$test_state/e" "This is the failed step."
  # Each answer follows a prompt.
  contains "$test_state/e" $'$ /tmp/deep\n'
  contains "$test_state/e" $'$ app\n'
  contains "$test_state/e" $'$ half\nbelow\nkept\n'
  contains "$test_state/e" $'$ name value\n'
  contains "$test_state/e" "error: Dockerfile:6:"
  [[ ! -e out ]] || fail "a failed build left an output"
  # Nothing the shell did is kept.
  printf 'rm -f /tmp/deep/half\nexit\n' | docker_build --debug >"$test_state/o" 2>"$test_state/e" || true
  contains "$test_state/e" "This is the failed step."
  # There is not always a shell.
  cp "$(command -v busybox)" box
  printf 'FROM scratch\nCOPY box /box\nRUN ["/box", "false"]\n' >Dockerfile
  expect_exit 1 docker_build --debug
  contains "$err" "has no /bin/sh"
  contains "$err" "error: Dockerfile:3:"
}

run_tests "$@"
