#!/usr/bin/env bash
# The samples, for real: built on the debian-12 stack with packages from the ordinary mirrors and
# registries, started, and asked over HTTP.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "${BASH_SOURCE[0]%/*}/lib.sh"

# One store for the whole test: the stack is made once. Both samples are tested in it.
test_the_samples_build_run_and_rebuild() {
  new_dir
  cp -r "$house/samples/elixir-phoenix-static" "$house/samples/node-express" .

  expect_exit 0 slipway build elixir-phoenix-static --slug phx.tgz --progress heroku
  contains "$err" '-----> Elixir app detected'
  contains "$err" '-----> Phoenix app detected'
  contains "$err" '       Default types for buildpack -> web'
  cp phx.tgz first.tgz
  expect_exit 0 slipway build elixir-phoenix-static --slug phx.tgz --progress heroku
  contains "$err" 'Nothing changed since the last build'
  cmp first.tgz phx.tgz

  local port asset
  port=$(free_port)
  background slipway run --port "$port" phx.tgz web
  wait_http "http://127.0.0.1:$port/" 60
  asset=$(curl -s "http://127.0.0.1:$port/" | grep -o '/assets/app-[0-9a-f]*\.css')
  curl -sD headers -o asset "http://127.0.0.1:$port$asset"
  contains headers '200'
  contains headers 'immutable'
  [[ -s asset ]]
  # A slug's boot compiles nothing (SLUG-4).
  lacks "$background_log" 'Compiling'
  kill -TERM "$pid"
  wait "$pid" || true

  # Order gone wrong: the Phoenix pack says what it needs.
  expect_exit 1 slipway build elixir-phoenix-static -b phoenix-static -b elixir --app wrong
  contains "$err" ' !     '
  contains "$err" 'lixir'

  expect_exit 0 slipway build node-express --slug node.tgz --progress heroku
  contains "$err" '-----> Node.js app detected'
  port=$(free_port)
  background slipway run --port "$port" node.tgz web
  wait_http "http://127.0.0.1:$port/" 60
  contains <(curl -s "http://127.0.0.1:$port/") '<html'
  kill -TERM "$pid"
  wait "$pid" || true
}

run_tests "$@"
