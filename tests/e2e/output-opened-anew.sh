#!/bin/bash
# Scripts and apps open /dev/stdout and /dev/stderr anew: `tee /dev/stderr` in packs, nginx's logs.
# Packs and commands are written down in single quotes, to be expanded where they run.
# shellcheck disable=SC2016
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"

make_app() {
  new_dir
  mkdir -p pack/bin app
  printf '#!/bin/sh\necho Anew\n' >pack/bin/detect
  printf '#!/bin/sh\n%s\n' "$1" >pack/bin/compile
  chmod +x pack/bin/*
  echo 'web: echo from the app >/dev/stdout && echo and its errors >/dev/stderr' >app/Procfile
}

test_a_pack_opens_its_output_anew() {
  make_app 'echo out >/dev/stdout; echo fd >/proc/self/fd/2; echo both | tee /dev/stderr'
  expect_exit 0 slipway build --stack host --progress heroku -b "$PWD/pack" app
  contains "$err" $'out\nfd\nboth\nboth'
  lacks "$err" "Permission denied"
}

test_an_app_opens_its_output_anew() {
  make_app 'true'
  expect_exit 0 slipway build --stack host --app anew -b "$PWD/pack" app
  local answer
  answer=$(slipway run anew web 2>&1 </dev/null | cat)
  contains <(echo "$answer") $'from the app\nand its errors'
}

# A file of the caller's belongs to somebody the step is not.
test_an_app_opens_anew_what_goes_to_a_file() {
  make_app 'true'
  expect_exit 0 slipway build --stack host --app anew -b "$PWD/pack" app
  slipway run anew web >out 2>errors </dev/null || fail "run ended with $?"
  contains out "from the app"
  contains errors "and its errors"
}

# A file of the caller's belongs to somebody the step is not.
test_an_app_opens_anew_what_goes_to_a_file() {
  make_app 'true'
  expect_exit 0 slipway build --stack host --app anew -b "$PWD/pack" app
  slipway run anew web >out 2>errors </dev/null || fail "run ended with $?"
  contains out "from the app"
  contains errors "and its errors"
}

run_tests "$@"
