#!/bin/bash
# Registries: Debian's docker-registry on the loopback, with TLS of a CA of the test's own and a
# password.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

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
log: {level: warn}
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
  contains "$err" "error: GET https://$registry/v2/: HTTP 401 Unauthorized"
  contains "$err" "(logging in to $registry)"
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

run_tests "$@"
