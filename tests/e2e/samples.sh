#!/bin/bash
# The sample apps on stack debian-12, as a user meets them: build, ask over HTTP, rebuild, get it wrong.
# Packages come over the network through the tools' own clients.
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

sample() { # NAME: a copy of it is the current folder.
  cp -r "$house/samples/$1" "$dir/$1"
  cd "$dir/$1"
}

# start SLUG|APP: runs its web process; sets $url.
start() {
  local port
  port=$(free_port)
  background slipway run "$1" web --port "$port"
  url=http://localhost:$port
  wait_http "$url/" 60
}

# stop EXIT-CODE…: SIGTERM ends it with that code.
stop() {
  local status=0
  kill -TERM "$pid"
  wait "$pid" || status=$?
  if [[ "|$1|" != *"|$status|"* ]]; then fail "the app ended with $status: $(cat "$background_log")"; fi
}

test_elixir_phoenix_static() {
  debian_store elixir
  sample elixir-phoenix-static
  local slug=$test_state/app.tgz again=$test_state/again.tgz page asset
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$slug"
  contains "$err" '(listed in app.json (line 4))'
  contains "$err" '-----> Elixir app detected'
  contains "$err" '-----> Phoenix app detected'
  contains "$err" '       Default types for buildpack -> web'

  start "$slug"
  page=$(http_get "$url/")
  asset=$(grep -oE '/[a-z/]+-[0-9a-f]{32}\.js' <<<"$page" | head -n 1)
  [[ -n $asset ]] || fail "the page names no digested script: $page"
  http_get -D ../headers -o ../script.js "$url$asset"
  grep -qi '^cache-control:.*max-age=31536000' ../headers || fail "the asset may not be cached: $(cat ../headers)"
  test -s ../script.js || fail "$asset is empty"
  # A slug's boot compiles nothing (SLUG-4).
  lacks "$background_log" Compiling
  stop '0|143'

  # The running app compiles nothing and brings no Node.js.
  expect_exit 0 slipway slug inspect "$slug" --json
  equal "$(json "$out" '[.folders[].name | select(test("node"))] | length')" 0

  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$again"
  contains "$err" 'Nothing changed since the last build: using its result'
  lacks "$err" 'Fetching'
  cmp "$slug" "$again"

  # One changed file: the packs run again, with what they cached.
  echo '/* changed */' >>assets/css/app.css
  expect_exit 0 slipway build . --app "$app" --progress plain --explain
  contains "$err" 'assets/css/app.css'

  # In the wrong order the second pack's tools are not there yet.
  expect_exit 1 slipway build . --app "$app" --progress plain -b phoenix-static -b elixir
  contains "$err" ' !     Push rejected, failed to compile Phoenix app.'
  contains "$err" 'mix'
  contains "$err" 'elixir'
}

test_node_express() {
  debian_store node
  sample node-express
  local slug=$test_state/app.tgz again=$test_state/again.tgz
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$slug"
  contains "$err" '-----> Node.js app detected'
  start "$slug"
  equal "$(http_get "$url/health" | jq .ok)" true
  contains <(http_get "$url/") 'page.js'
  test -n "$(http_get "$url/page.js")" || fail "page.js is empty"
  stop '0|143'
  expect_exit 0 slipway slug inspect "$slug" --json
  equal "$(json "$out" '[.packages[].name | select(test("esbuild"))] | length')" 0
  expect_exit 0 slipway build . --app "$app" --progress plain --slug "$again"
  contains "$err" 'Nothing changed since the last build: using its result'
  cmp "$slug" "$again"
}

# image_sample NAME: the sample's images from bases that are made here: the stack is Debian 12. Sets
# $bases, flags for a build.
image_sample() {
  debian_store "$1"
  sample "$1"
  bases=(--build-context "debian:12=stack:debian-12/run")
}

# in_root ROOT COMMAND…: in the background, as an ordinary user of the image's root filesystem; sets
# $url, given to the command as PORT.
in_root() {
  need_root
  local root=$1 port
  shift
  port=$(free_port)
  url=http://127.0.0.1:$port
  install -m 666 /dev/null "$root/dev/null"
  background chroot --userspec=1000:1000 --groups= "$root" \
    /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin PORT="$port" "$@"
}

test_dockerfile_go() {
  image_sample dockerfile-go
  expect_exit 0 slipway build . -t slipway-sample-go:1 "${bases[@]}" --oci ../hello --dir ../root
  # FROM scratch: the program and nothing else, in one layer.
  equal "$(find ../root -type f)" ../root/hello
  equal "$(skopeo inspect --raw oci:../hello:1 | jq '.layers | length')" 1
  local port
  port=$(free_port)
  background env PORT="$port" ../root/hello
  wait_http "http://127.0.0.1:$port/"
  equal "$(http_get "http://127.0.0.1:$port/there")" "hello from /there"
  expect_exit 0 slipway build . --progress plain -t slipway-sample-go:1 "${bases[@]}" --oci ../again
  contains "$err" "everything cached"
  cmp ../hello/index.json ../again/index.json
  # A changed source: apt's packages stay as they are.
  sed -i 's/hello from/bye from/' main.go
  expect_exit 0 slipway build . --progress plain "${bases[@]}" --dir ../changed
  contains "$err" "go build"
  lacks "$err" "Setting up golang"
  grep -q "bye from" ../changed/hello || fail "the change is not in the program"
}

test_dockerfile_node() {
  image_sample dockerfile-node
  # What the sample's base has, as far as it matters here: Node.js and npm, Debian's; and whom this
  # machine trusts, since npm may have to go through a proxy of the house.
  mkdir ../base
  cp /etc/ssl/certs/ca-certificates.crt ../base/ || skip "no certificates (ca-certificates)"
  cat >../base/Dockerfile <<'EOF'
FROM debian:12
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm
COPY ca-certificates.crt /usr/local/share/
ENV NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates.crt
EOF
  expect_exit 0 slipway build ../base "${bases[@]}" -t slipway-test-node:20
  bases=(--build-context "node:20-bookworm-slim=docker-image://slipway-test-node:20")
  expect_exit 0 slipway build . "${bases[@]}" -t slipway-sample-node:1 --docker-archive ../node.tar --dir ../root
  equal "$(skopeo inspect --config docker-archive:../node.tar | jq -r .config.User)" 1000:1000
  # npm's downloads are in its cache mount, not in the image.
  [[ ! -e ../root/root/.npm/_cacache ]] || fail "npm's cache is in the image"
  in_root ../root node /app/server.js
  wait_http "$url/"
  contains <(http_get "$url/") "up for "
  # Another source, the same dependencies.
  echo '// more' >>server.js
  expect_exit 0 slipway build . --progress plain "${bases[@]}"
  contains "$err" "COPY --from=dependencies /app/node_modules node_modules: cached"
  lacks "$err" "npm ci"
}

test_heroku_yml() {
  image_sample heroku-yml
  expect_exit 0 slipway build . "${bases[@]}" --docker-archive ../app.tar --dir ../roots \
    --metadata-file ../meta.json
  equal "$(tar -xOf ../app.tar manifest.json | jq -r '.[].RepoTags[]' | sort | tr '\n' ' ')" \
    "heroku-yml-web:latest heroku-yml-worker:latest "
  equal "$(jq -r '."heroku.yml".release.command' ../meta.json)" ./release.sh
  in_root ../roots/web /usr/bin/env GREETING=hello python3 /app/server.py
  wait_http "$url/"
  equal "$(http_get "$url/")" hello
  equal "$(../roots/worker/app/work.sh --once)" working
  # The stage that nobody asked for was not built.
  expect_exit 0 slipway build . "${bases[@]}" --progress plain --no-cache-filter test
  lacks "$err" "RUN ./work.sh --once"
}

run_tests "$@"
