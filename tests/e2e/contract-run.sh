#!/bin/bash
# Starting what was built as a dyno does (specs: RUN).
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

# A slug of the current folder with the Procfile on stdin; sets $slug.
make_slug() {
  cat >Procfile
  pack keeper </dev/null
  slug=$test_state/app.tgz
  built_with "$pack" -- --app runner --slug "$slug"
}

run() { slipway run "$@"; }

# RUN-1, RUN-2
test_profile_scripts_run_in_order_before_the_command() {
  mkdir -p .profile.d/deeper.sh
  echo 'ORDER="${ORDER}b "; return 0; ORDER=no' >.profile.d/b.sh
  echo 'ORDER="${ORDER}0[$GIVEN] "; export FROM_PROFILE="with $GIVEN"' >.profile.d/000_apt.sh
  echo 'ORDER="${ORDER}Z "; false' >.profile.d/Z.sh
  echo 'ORDER="${ORDER}not-sh "' >.profile.d/c.txt
  echo 'ORDER="${ORDER}profile "; export ORDER' >.profile
  chmod 644 .profile.d/*.sh .profile 2>/dev/null || true
  make_slug <<<'web: true'
  expect_exit 0 run "$slug" -e GIVEN=config 'echo "order $ORDER"; echo "has $FROM_PROFILE"; pwd; echo "$HOME"'
  equal "$(cat "$out")" $'order 0[config] Z b profile \nhas with config\n/app\n/app'
}

test_the_environment_of_a_process() {
  make_slug <<<'web: true'
  export CI=true LC_ALL=C SECRET=host
  expect_exit 0 run "$slug" -e KEY='a b' 'env | grep -vE "^(_|SHLVL|PWD)=" | sort'
  equal "$(cat "$out")" $'DYNO=run.1\nHOME=/app\nKEY=a b\nPATH=/usr/local/bin:/usr/bin:/bin'
}

# RUN-3
test_the_web_process_gets_a_port() {
  local port
  port=$(free_port)
  make_slug <<<'web: echo "port $PORT" && echo "quoted  blanks" && echo "$DYNO"'
  expect_exit 0 run "$slug" --port "$port"
  equal "$(cat "$out")" "port $port"$'\nquoted  blanks\nweb.1'
  contains "$err" "web runs on http://localhost:$port/"
  expect_exit 0 run runner web --port "$port"
  contains "$out" "port $port"
}

# RUN-5
test_types_commands_and_words() {
  make_slug <<<'worker: echo worker "$#" $DYNO'
  expect_exit 0 run "$slug" worker
  equal "$(cat "$out")" 'worker 0 worker.1'
  expect_exit 0 run "$slug" -- printf '%s|' 'a b' '$HOME' "it's"
  equal "$(cat "$out")" "a b|\$HOME|it's|"
  expect_exit 0 run "$slug" 'echo one; echo two'
  equal "$(cat "$out")" $'one\ntwo'
  expect_exit 2 run "$slug"
  contains "$err" 'the app has no web process'
  expect_exit 2 run no-such-app web
  contains "$err" "'no-such-app' is neither a slug nor an app with a build"
}

test_exit_codes_are_passed_on() {
  make_slug <<<'bad: exit 7'
  expect_exit 7 run "$slug" bad
  expect_exit 0 run "$slug" true
  expect_exit 127 run "$slug" no-such-program
  expect_exit 137 run "$slug" -- bash -c 'kill -9 $$'
}

test_streams_stay_apart_and_stdin_is_passed_on() {
  make_slug <<<'web: true'
  local status=0
  printf 'in\xff\n' | slipway run "$slug" 'cat; echo on-err >&2' >o 2>e || status=$?
  equal "$status" 0
  printf 'in\xff\n' | cmp - o
  contains e on-err
}

# RUN-7: the app gets the signal, may finish its work, and its code is ours.
test_signals_reach_the_app() {
  local status=0
  make_slug <<'E'
web: trap 'echo got TERM; exit 7' TERM; echo up; while :; do sleep 0.1; done
child: bash -c 'trap "echo child got INT; exit 8" INT; echo up; while :; do sleep 0.1; done'; exit $?
plain: echo up; exec sleep 1000
E
  background "$house/slipway" run "$slug" web
  within 15 grep -q up "$background_log"
  kill -TERM "$pid"
  wait "$pid" || status=$?
  contains "$background_log" 'got TERM'
  equal "$status" 7
  background "$house/slipway" run "$slug" child
  within 15 grep -q up "$background_log"
  kill -INT "$pid"
  status=0
  wait "$pid" || status=$?
  contains "$background_log" 'child got INT'
  equal "$status" 8
  # One that handles nothing dies of it.
  background "$house/slipway" run "$slug" plain
  within 15 grep -q up "$background_log"
  kill -TERM "$pid"
  status=0
  wait "$pid" || status=$?
  equal "$status" 143
}

test_a_run_leaves_the_slug_as_it_was() {
  make_slug <<<'web: true'
  expect_exit 0 run "$slug" 'echo changed >/app/Procfile; echo x >/app/new; ls /app/new'
  expect_exit 0 run "$slug" 'cat /app/Procfile; ls -A /app'
  equal "$(cat "$out")" $'web: true\nProcfile'
}

test_a_slug_of_somebody_else_runs() {
  mkdir -p app/.profile.d
  echo 'export MADE=elsewhere' >app/.profile.d/x.sh
  echo 'web: echo $MADE' >app/Procfile
  tar czf foreign.tgz ./app
  expect_exit 0 run foreign.tgz --stack host
  equal "$(cat "$out")" elsewhere
  mkdir other
  tar czf other.tgz ./other
  expect_exit 4 run other.tgz --stack host true
  contains "$err" 'other.tgz is not a slug'
}

run_tests "$@"
