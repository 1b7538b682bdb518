#!/bin/bash
# Registries: Debian's docker-registry on the loopback, with TLS of a CA of the test's own and a
# password.
# Dockerfiles stand in single quotes: nothing in them is this script's to expand.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/images.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/images.sh"

password=s3cret-word

# start_registry: sets $registry (localhost:port); the CA is ca.pem.
start_registry() {
  need_program docker-registry
  need_program openssl
  new_dir registry
  local port
  port=$(free_port)
  registry=localhost:$port
  {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=Test CA" -keyout ca.key -out ca.pem
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >san
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem
  } 2>openssl.log || fail "openssl: $(cat openssl.log)"
  # bcrypt of $password; made once, since not every machine has a program for it.
  # shellcheck disable=SC2016
  echo 'user:$2y$05$1K1jG16Yn02dLuXw50Fphe.tkUKdybwreS5GwBg4sHTWoXPApE2fG' >htpasswd
  cat >config.yml <<END
version: 0.1
log: {level: warn, accesslog: {disabled: false}}
storage:
  filesystem: {rootdirectory: $dir/data}
  delete: {enabled: true}
http:
  addr: 127.0.0.1:$port
  tls: {certificate: $dir/server.pem, key: $dir/server.key}
auth:
  htpasswd: {realm: test, path: $dir/htpasswd}
END
  background docker-registry serve config.yml
  registry_log=$background_log
  within 20 curl -sk -o /dev/null --max-time 2 --noproxy '*' "https://$registry/v2/"
}

# trust_registry: docker's folder of certificates.
trust_registry() {
  mkdir -p "$HOME/.config/docker/certs.d/$registry"
  cp ca.pem "$HOME/.config/docker/certs.d/$registry/ca.crt"
}

# log_in PASSWORD [OPTION…]
log_in() {
  local word=$1
  shift
  printf '%s\n' "$word" >typed
  # shellcheck disable=SC2119
  slipway login "$registry" -u user --password-stdin "$@" <typed
}

test_login_and_logout() {
  start_registry
  local config=$HOME/.docker/config.json
  expect_exit 5 log_in "$password"
  contains "$err" "certificate"
  trust_registry
  expect_exit 5 log_in wrong-word
  contains "$err" "error: logging in to $registry: GET https://$registry/v2/: HTTP 401 Unauthorized"
  contains "$err" "hint: check the user name and the password or token"
  lacks "$err" wrong-word
  if [[ -e $config ]]; then fail "something was kept of a refused login"; fi
  expect_exit 0 log_in "$password"
  contains "$out" "logged in to $registry; kept in $config"
  equal "$(stat -c %a "$config" "$HOME/.docker")" $'600\n700'
  contains "$config" dXNlcjpzM2NyZXQtd29yZA==
  # What we keep others can use.
  expect_exit 0 curl -sS --fail --noproxy '*' --cacert ca.pem -o /dev/null -u "user:$password" "https://$registry/v2/"
  if command -v skopeo >/dev/null; then
    mkdir layout
    expect_exit 0 skopeo --insecure-policy login --get-login --authfile "$config" "$registry"
    contains "$out" user
  fi
  expect_exit 0 slipway logout "$registry"
  contains "$out" "removed the credentials for $registry"
  lacks "$config" dXNlcjpz
  expect_exit 0 slipway logout "https://$registry/"
  contains "$out" "there are no credentials for $registry"
}

test_login_keeps_with_the_helper() {
  start_registry
  trust_registry
  export DOCKER_CONFIG=$dir/docker
  mkdir -p docker bin
  echo '{"credsStore": "test", "detachKeys": "ctrl-q"}' >docker/config.json
  cat >bin/docker-credential-test <<'END'
#!/bin/sh
[ "$1" = store ] || exit 1
cat >"$DOCKER_CONFIG/stored"
END
  chmod 755 bin/docker-credential-test
  PATH=$dir/bin:$PATH expect_exit 0 log_in "$password"
  contains "$out" "kept in the credential helper docker-credential-test"
  contains docker/stored "\"Secret\":\"$password\""
  contains docker/config.json ctrl-q
  lacks docker/config.json "$password"
  # Without the helper nothing is kept anywhere.
  expect_exit 6 log_in "$password"
  contains "$err" "the credential helper docker-credential-test is not installed"
}

test_login_asks_on_a_terminal() {
  start_registry
  trust_registry
  cat >drive.py <<'END'
import os, pty, sys
registry, password = sys.argv[1:3]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[3], [sys.argv[3], "login", registry])
shown = b""
def until(text):
    global shown
    while text not in shown:
        try: piece = os.read(terminal, 1000)
        except OSError: piece = b""
        if not piece: sys.exit("ended early: " + shown.decode())
        shown += piece
until(b"User name for ")
os.write(terminal, b"user\n")
until(b"Password or token: ")
os.write(terminal, password.encode() + b"\n")
until(b"logged in to")
while True:
    try: piece = os.read(terminal, 1000)
    except OSError: break
    if not piece: break
    shown += piece
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
  need_program python3
  expect_exit 0 python3 drive.py "$registry" "$password" "$house/slipway"
  lacks "$out" "$password"
  contains "$HOME/.docker/config.json" dXNlcjpzM2NyZXQtd29yZA==
}

test_login_says_what_is_wrong_with_the_command() {
  new_dir case
  expect_exit 2 slipway login localhost:1 -u user -p "$password"
  contains "$err" "error: --password is refused"
  contains "$err" "hint: give it on standard input"
  expect_exit 2 slipway login localhost:1 -u user
  contains "$err" "standard input is no terminal"
  expect_exit 2 slipway login localhost:1 --password-stdin
  contains "$err" "--password-stdin needs --username"
  expect_exit 2 slipway login localhost:1/team -u user --password-stdin
  contains "$err" "'localhost:1/team' is not a registry"
  expect_exit 2 slipway login localhost:1 -u user --password-stdin
  contains "$err" "the password is empty"
}

test_login_where_nobody_answers() {
  new_dir case
  registry=localhost:1
  expect_exit 5 log_in "$password"
  contains "$err" "GET https://localhost:1/v2/"
  contains "$err" "hint: check the network"
}

# An empty store, as on another machine; credentials stay.
other_store() { export SLIPWAY_HOME=$test_state/other-$RANDOM$RANDOM; }

# push_build ARGUMENT…: the Dockerfile in the current folder, named by the arguments alone.
push_build() { slipway build . --network none --progress plain "$@"; }

# log_in_here: what most tests begin with.
log_in_here() {
  start_registry
  trust_registry
  expect_exit 0 log_in "$password"
  access=(--authfile "$HOME/.docker/config.json" --cert-dir "$HOME/.config/docker/certs.d/$registry")
}

# requests METHOD: how many the registry has had so far.
requests() { grep -c "\"$1 /v2/" "$registry_log" || true; }

skopeo_here() {
  need_program skopeo
  skopeo --insecure-policy "$@"
}

test_push_and_pull_as_a_base() {
  busybox_base
  log_in_here
  new_dir app
  echo one >file
  printf 'FROM base:1\nCOPY file /\nRUN echo built >/ran\nENV A=b\n' >Dockerfile
  expect_exit 0 push_build -t "$registry/team/app:1" -t "$registry/team/app:2" \
    -t "$registry/other/app" --push --iidfile id
  contains "$err" "pushed $registry/team/app:1 (sha256:"
  local id uploads
  id=$(<id)
  expect_exit 0 skopeo_here inspect "${access[@]}" "docker://$registry/team/app:2"
  contains "$out" '"A=b"'
  # All names lead to the one image.
  equal "$(jq -r .Digest "$out")" \
    "$(skopeo_here inspect "${access[@]}" "docker://$registry/other/app" | jq -r .Digest)"

  # A second push asks, and sends nothing: no upload is even begun.
  uploads=$(requests POST)
  expect_exit 0 push_build -t "$registry/team/app:1" --push
  contains "$err" "layers were there"
  equal "$(requests POST) $(requests PATCH)" "$uploads $(requests PATCH)"
  # After a change only the layers that changed go.
  echo two >file
  expect_exit 0 push_build -t "$registry/team/app:3" --push
  (($(requests POST) - uploads <= 3)) || fail "more was sent than two layers and the config"

  # On another machine, by what was pushed.
  other_store
  new_dir next
  printf 'FROM %s/team/app:2\nRUN [ "$(cat /file) $(cat /ran) $A" = "one built b" ]\nRUN echo more >/more\n' "$registry" >Dockerfile
  expect_exit 0 docker_build --oci out
  unpack out
  equal "$(cat "$root/ran" "$root/more")" $'built\nmore'
  # What is known is not fetched again, not even asked for.
  local reads
  reads=$(requests GET)
  expect_exit 0 docker_build
  contains "$err" "RUN echo more >/more: cached"
  equal "$(requests GET)" "$reads"
  expect_exit 0 docker_build --pull
  contains "$err" "RUN echo more >/more: cached"
  [[ -n $id ]]
}

test_skopeo_and_slipway_read_each_other() {
  busybox_base
  log_in_here
  new_dir app
  printf 'FROM base:1\nRUN echo ours >/who\n' >Dockerfile
  expect_exit 0 push_build -t "$registry/ours:1" --push
  expect_exit 0 skopeo_here copy "${access[@]/--cert-dir/--src-cert-dir}" "docker://$registry/ours:1" oci:layout:latest
  unpack layout
  equal "$(<"$root/who")" ours
  # Docker's media types, as older tools push them.
  expect_exit 0 skopeo_here copy "${access[@]/--cert-dir/--dest-cert-dir}" --format v2s2 oci:layout:latest "docker://$registry/theirs:1"
  other_store
  new_dir next
  printf 'FROM %s/theirs:1\nRUN [ "$(cat /who)" = ours ]\n' "$registry" >Dockerfile
  expect_exit 0 docker_build
  # And by the digest, which is what a lock would say.
  local digest
  digest=$(skopeo_here inspect "${access[@]}" "docker://$registry/theirs:1" | jq -r .Digest)
  printf 'FROM %s/theirs@%s\nRUN [ "$(cat /who)" = ours ]\n' "$registry" "$digest" >Dockerfile
  expect_exit 0 docker_build
}

test_a_wrong_password_ends_a_push_and_a_pull() {
  start_registry
  trust_registry
  mkdir -p "$HOME/.docker"
  printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$registry" "$(printf user:wrong-word | base64)" >"$HOME/.docker/config.json"
  new_dir app
  echo one >file
  printf 'FROM scratch\nCOPY file /\n' >Dockerfile
  expect_exit 5 push_build -t "$registry/app:1" --push
  contains "$err" "HTTP 401 Unauthorized"
  contains "$err" "hint: "
  contains "$err" "slipway login $registry"
  lacks "$err" wrong-word
  lacks "$err" "$(printf user:wrong-word | base64)"
  printf 'FROM %s/app:1\n' "$registry" >Dockerfile
  expect_exit 5 docker_build
  contains "$err" "HTTP 401 Unauthorized"
  contains "$err" "slipway login $registry"
}

test_push_and_pull_where_nobody_answers() {
  new_dir app
  echo one >file
  printf 'FROM scratch\nCOPY file /\n' >Dockerfile
  expect_exit 5 push_build -t localhost:1/app:1 --push
  contains "$err" "error: pushing localhost:1/app:1: "
  contains "$err" "hint: check the network"
  printf 'FROM localhost:1/app:1\n' >Dockerfile
  expect_exit 5 push_build
  contains "$err" "error: image localhost:1/app:1: "
  contains "$err" "hint: check the network"
}

test_a_base_that_does_not_exist() {
  log_in_here
  new_dir app
  printf 'FROM %s/no/such:1\n' "$registry" >Dockerfile
  expect_exit 5 docker_build
  contains "$err" "error: image $registry/no/such:1: "
  contains "$err" "HTTP 404 Not Found: MANIFEST_UNKNOWN"
  contains "$err" "hint: check the name and the tag"
}

# The disk of the registry is changed behind its back: what it says then is a lie.
test_a_registry_that_lies_about_a_layer() {
  busybox_base
  log_in_here
  new_dir app
  printf 'FROM base:1\nRUN echo x >/x\n' >Dockerfile
  expect_exit 0 push_build -t "$registry/app:1" --push
  local blob
  # The largest blob is busybox's layer.
  blob=$(find "$test_state/work/registry/data" -name data -size +100k | head -n 1)
  [[ -n $blob ]]
  printf 'X' | dd of="$blob" bs=1 seek=5000 conv=notrunc 2>/dev/null
  other_store
  printf 'FROM %s/app:1\nRUN true\n' "$registry" >Dockerfile
  expect_exit 5 docker_build
  contains "$err" "image $registry/app:1"
  contains "$err" "digest"
  # Nothing of it is there now.
  expect_exit 0 slipway cache verify
}

test_a_registry_that_dies_in_the_middle() {
  busybox_base
  log_in_here
  new_dir app
  head -c 60000000 /dev/urandom >big
  printf 'FROM base:1\nCOPY big /\n' >Dockerfile
  expect_exit 0 push_build -t "$registry/app:1" --push
  cp big bigger && echo >>bigger && head -c 40000000 /dev/urandom >>bigger
  printf 'FROM base:1\nCOPY bigger /\n' >Dockerfile
  expect_exit 0 docker_build
  push_build -t "$registry/app:2" --push >push.out 2>push.err &
  local build=$!
  within 30 grep -q '"P[A-Z]* /v2/app/blobs/uploads' "$registry_log"
  kill -9 "$pid"
  local status=0
  wait "$build" || status=$?
  equal "$status" 5
  contains push.err "error: pushing $registry/app:2: "
  contains push.err "hint: "
  # It comes back: the same command goes on.
  (cd "$test_state/work/registry" && exec docker-registry serve config.yml) >registry.log 2>&1 &
  background_pids+=("$!")
  within 20 curl -sk -o /dev/null --max-time 2 --noproxy '*' "https://$registry/v2/"
  expect_exit 0 push_build -t "$registry/app:2" --push
  other_store
  printf 'FROM %s/app:2\nRUN [ "$(wc -c </bigger)" = 100000001 ]\n' "$registry" >Dockerfile
  expect_exit 0 docker_build
}

run_tests "$@"
