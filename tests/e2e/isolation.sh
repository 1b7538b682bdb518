#!/bin/bash
# What a build step can reach. Each pack here tries something and prints what came of it.
# Packs are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

# probe [OPTIONS…] <COMPILE: an app built by that pack; its words are in $err.
probe() {
  new_dir case
  mkdir app
  new_pack "$dir/pack"
  expect_exit 0 slipway build app --stack host --progress plain -b "$dir/pack" "$@"
}

# can_reach HOST PORT, in a step: prints "HOST reached" or "HOST closed".
can_reach='can_reach() {
  if timeout 3 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; then echo "$1 reached"; else echo "$1 closed"; fi
}'

# listen ADDRESS: takes connections there; sets $port.
listen() {
  need_program python3
  port=$(free_port)
  background python3 -c 'import socket, sys
s = socket.socket(); s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(16)
while True: s.accept()[0].close()' "$1" "$port"
  within 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
}

test_files_of_the_machine() {
  echo canary >"$HOME/canary-of-the-home"
  probe <<END
$(printf 'home=%q store=%q\n' "$HOME" "$SLIPWAY_HOME")
for path in "\$home" "\$store" /home /root/.ssh /etc/shadow /var/run/docker.sock /run/docker.sock /var/lib /boot /srv /mnt; do
  if ls -A "\$path" >/dev/null 2>&1 && [[ -n \$(ls -A "\$path") ]] && [[ ! -f \$path || -r \$path ]]; then echo "sees \$path"; fi
done
find / -xdev -name 'canary-of-the-*' 2>/dev/null | sed 's/^/found /'
ls /tmp | grep slipway-e2e | sed 's/^/found /'
echo done
END
  lacks "$err" "found "
  contains "$err" $'\ndone\n'
  local path
  for path in "$HOME" "$SLIPWAY_HOME" /home /root/.ssh /etc/shadow /var/run/docker.sock /run/docker.sock /boot /srv /mnt; do
    lacks "$err" "sees $path"
  done
}

test_processes_of_the_machine() {
  SLIPWAY_CANARY_VARIABLE=canary-of-the-environment
  export SLIPWAY_CANARY_VARIABLE
  local mark=$((RANDOM * 32768 + RANDOM + 10000000))
  background sleep "$mark"
  probe <<'END'
cat /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -i canary | sed 's/^/found /' || true
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | sed 's/^/seen: /'
echo
kill -0 -- -1 2>/dev/null || true
END
  lacks "$err" "found "
  lacks "$err" "sleep $mark"
  lacks "$err" "slipway build"
  kill -0 "$pid" || fail "a process of the machine was reached"
}

test_descriptors_rights_and_filters() {
  # Descriptors that the caller leaves open must not arrive.
  exec 7</etc/hostname 9</
  probe <<'END'
for fd in {3..254}; do if [[ -e /proc/$$/fd/$fd ]]; then ls -l "/proc/$$/fd/$fd" | sed "s/^/fd $fd: /"; fi; done
echo "input: $(readlink /proc/self/fd/0)"
grep -E '^(Seccomp|NoNewPrivs|CapEff|CapPrm|CapInh|CapAmb|Uid|Gid):' /proc/self/status | tr '\t' ' '
id -u
END
  exec 7<&- 9<&-
  # 255 is the script itself, kept open by bash.
  lacks "$err" "fd "
  contains "$err" "input: /dev/null"
  contains "$err" "Seccomp: 2"
  contains "$err" "NoNewPrivs: 1"
  local set
  for set in CapEff CapPrm CapInh CapAmb; do contains "$err" "$set: 0000000000000000"; done
  contains "$err" "Uid: 1000 1000 1000 1000"
}

test_what_needs_rights_is_refused() {
  probe <<'END'
try() { if "$@" >/dev/null 2>&1; then echo "could: $*"; else echo "refused: $1 $2"; fi; }
mkdir -p /tmp/mnt
try mount -t tmpfs none /tmp/mnt
try mount --bind / /tmp/mnt
try unshare -Urm true
try mknod /tmp/disk b 8 0
try chroot / /bin/true
try su -c true
try touch /usr/slipway-was-here
try touch /etc/slipway-was-here
try touch /proc/sys/kernel/hostname
try dmesg --clear
try ls /proc/1/root/root/.ssh
try chown 0 /tmp/mnt
echo "end of tries"
END
  contains "$err" "end of tries"
  # Docker's profile lets nobody without rights make a user namespace, and neither do we.
  lacks "$err" "could: "
  [[ ! -e /usr/slipway-was-here ]] || fail "the machine's /usr was written"
}

test_environment_is_the_contracts() {
  export SECRET_OF_THE_CALLER=canary AWS_SECRET_ACCESS_KEY=canary LD_PRELOAD_X=canary
  probe --network none <<<'env -0 | sort -z | cut -z -d= -f1 | tr "\0" " " | sed "s/^/names: /"; echo'
  lacks "$err" canary
  contains "$err" "names: BUILDPACK_LOG_FILE DYNO HOME OLDPWD PATH PWD REQUEST_ID SHLVL SOURCE_VERSION STACK _ "
}

test_network_open_does_not_reach_loopback() {
  listen 0.0.0.0
  new_dir probing
  {
    echo "$can_reach"
    echo "for host in 127.0.0.1 localhost 10.0.2.2 169.254.1.1; do can_reach \$host $port; done"
  } >pack.sh
  probe <pack.sh
  lacks "$err" " reached"
  contains "$err" "127.0.0.1 closed"
}

# A service that listens on loopback alone is not met at the machine's other address either. (One that
# listens on all addresses is: docs/security.md.)
test_network_open_finds_no_way_round_to_loopback() {
  local own
  own=$(hostname -I 2>/dev/null | awk '{ print $1 }')
  if [[ -z $own ]]; then skip "this machine has no address but loopback"; fi
  listen 127.0.0.1
  new_dir probing
  printf '%s\ncan_reach %s %s\n' "$can_reach" "$own" "$port" >pack.sh
  probe <pack.sh
  contains "$err" "$own closed"
}

test_network_none_reaches_nothing() {
  listen 0.0.0.0
  local own
  own=$(hostname -I 2>/dev/null | awk '{ print $1 }')
  new_dir probing
  {
    echo "$can_reach"
    echo "for host in 127.0.0.1 $own; do can_reach \$host $port; done"
    echo "grep -c : /proc/net/dev | sed 's/^/interfaces: /'"
  } >pack.sh
  probe --network none <pack.sh
  lacks "$err" " reached"
  contains "$err" "interfaces: 1"
}

test_network_host_reaches_the_machine() {
  listen 127.0.0.1
  new_dir probing
  printf '%s\ncan_reach 127.0.0.1 %s\n' "$can_reach" "$port" >pack.sh
  probe --network host <pack.sh
  contains "$err" "127.0.0.1 reached"
}

test_memory_limit_names_the_step() {
  new_dir case
  mkdir app
  new_pack "$dir/pack" <<<'echo eating; head -c 400000000 /dev/zero | tail -c 400000000 >/dev/null'
  expect_exit '1|6' slipway build app --stack host --progress plain -b "$dir/pack" --memory 64M
  if grep -q '^error:.*\(--memory\|cgroup\)' "$err"; then skip "no memory limits here: $(grep '^error:' "$err")"; fi
  contains "$err" eating
  contains "$err" "compile $dir/pack"
  contains "$err" "memory"
  contains "$err" " !     Push rejected, failed to compile Tiny app."
  contains "$err" "hint: "
  # Enough of it: builds.
  expect_exit 0 slipway build app --stack host -b "$dir/pack" --memory 2G
}

test_processor_limit() {
  new_dir case
  mkdir app
  new_pack "$dir/pack" <<<'echo worked'
  expect_exit 0 slipway build app --stack host --progress plain -b "$dir/pack" --cpus 0.5
  contains "$err" worked
  local value
  for value in -1 many; do expect_exit 2 slipway build app --stack host --cpus "$value"; done
  for value in 0 lots -5; do expect_exit 2 slipway build app --stack host --memory "$value"; done
  expect_exit 2 slipway build app --stack host --timeout soon
  contains "$err" "--timeout soon: not a time"
}

# Files of a step belong to mapped ids: none can be made that gives its caller rights outside.
test_set_user_id_files_stay_harmless() {
  probe --slug "$PWD/out.tgz" <<<'cp /bin/true "$1/su"; chmod 6755 "$1/su"; ls -l "$1/su"'
  local foreign
  foreign=$(find "$SLIPWAY_HOME/snapshots" -perm /6000 -user "$(id -u)" 2>/dev/null || true)
  if [[ -n $foreign ]]; then fail "a setuid file of ours lies in the store: $foreign"; fi
  equal "$(stat -c %a "$SLIPWAY_HOME/snapshots")" 700
}

# --- certificates ---

# make_authority: an authority of the test's own in ca.pem, and localhost's certificate in server.pem.
make_authority() {
  need_program openssl
  openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj "/CN=Slipway test authority" >/dev/null 2>&1
  openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj "/CN=localhost" >/dev/null 2>&1
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >extensions
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt >/dev/null 2>&1
  cat server.crt server.key >server.pem
}

# in_trusting_machine YES|NO COMMAND…: where the machine's bundle is that of its distribution, with
# ca.pem added by an administrator or without it.
in_trusting_machine() {
  local extra=$1
  shift
  mkdir -p trust/share
  : >trust/bundle
  find /usr/share/ca-certificates -name '*.crt' -exec cat {} + >trust/bundle
  if [[ $extra == YES ]]; then
    cat ca.pem >>trust/bundle
    cp ca.pem trust/share/ours.crt
  fi
  unshare -m "$BASH" -c '
    mount --bind "$1/trust/bundle" /etc/ssl/certs/ca-certificates.crt || exit 99
    mount --bind "$1/trust/share" /usr/local/share/ca-certificates || exit 99
    shift
    exec "$@"' _ "$dir" "$@"
}

trust_variables='env | grep -E "^(SSL_CERT_FILE|NODE_EXTRA_CA_CERTS|PIP_CERT|REQUESTS_CA_BUNDLE|HEX_CACERTS_PATH)=" | sed "s/^/set /" || true'

new_tls_server() {
  need_root
  need_program curl
  need_program unshare
  [[ -d /usr/share/ca-certificates/mozilla && -d /usr/local/share/ca-certificates ]] || skip "no ca-certificates here"
  unshare -m true 2>/dev/null || skip "mounts are not allowed here"
  new_dir tls
  make_authority
  port=$(free_port)
  background python3 -c 'import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"over TLS\n")
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()' "$dir/server.pem" "$port"
  within 10 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port"
  mkdir app
  new_pack "$dir/pack" <<END
curl -sS --max-time 5 https://localhost:$port/ || echo "curl: \$?"
$trust_variables
END
}

test_a_private_authority_reaches_steps() {
  new_tls_server
  expect_exit 0 in_trusting_machine YES "$house/slipway" build app --stack host --progress plain -b "$dir/pack" --network host --slug "$dir/out.tgz"
  contains "$err" "over TLS"
  contains "$err" "set SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
  contains "$err" "set NODE_EXTRA_CA_CERTS="
  # Nothing of it gets into the artifact.
  tar -xzf out.tgz
  if grep -rqa "Slipway test authority\|BEGIN CERTIFICATE" app; then fail "certificates are in the slug"; fi
  # Without a network there is nobody to trust.
  new_pack "$dir/pack" <<<"$trust_variables"
  expect_exit 0 in_trusting_machine YES "$house/slipway" build app --stack host --progress plain -b "$dir/pack" --network none
  lacks "$err" "set "
}

test_without_a_private_authority_nothing_is_set() {
  new_tls_server
  expect_exit 0 in_trusting_machine NO "$house/slipway" build app --stack host --progress plain -b "$dir/pack" --network host
  lacks "$err" "over TLS"
  contains "$err" "curl: 60"
  lacks "$err" "set SSL_CERT_FILE"
  lacks "$err" "set NODE_EXTRA_CA_CERTS"
}

# A pack is fetched over the same trust.
test_a_private_authority_reaches_fetching() {
  new_tls_server
  expect_exit 5 in_trusting_machine NO "$house/slipway" build app --stack host -b "https://localhost:$port/x.tgz"
  contains "$err" "certificate"
  contains "$err" "hint: "
  # Trusted: what comes is no archive, which is another complaint.
  expect_exit '1|5' in_trusting_machine YES "$house/slipway" build app --stack host -b "https://localhost:$port/x.tgz"
  lacks "$err" "certificate"
}

run_tests "$@"
