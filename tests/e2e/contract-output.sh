#!/bin/bash
# The transcript, process types, and what must never stand in it (specs: OUT, PROC; secrets).
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

# transcript_is EXPECTED: the whole of $err, but for this machine's paths, and for sizes, which depend
# on the compressor.
transcript_is() {
  local actual
  actual=$(sed -E -e "s,$test_state,STATE,g" -e 's/(Done: )[0-9.]+[KMG]/\1SIZE/' \
    -e 's,[0-9]{8}-[0-9]{6}-[0-9a-f]{6},BUILD,' "$err")
  if [[ $actual != "$1" ]]; then
    diff <(printf '%s\n' "$1") <(printf '%s\n' "$actual") >&2
    fail "the transcript differs"
  fi
}

# OUT-1, OUT-4..7
test_the_transcript_of_a_build() {
  pack one 'One 1.0' <<'E'
echo '-----> Doing one thing'
echo '       in detail' >&2
echo 'flush left'
E
  cp -r "$pack" one
  pack two Two <<<'echo " !     a warning"'
  release_script "$pack" 'printf "default_process_types:\n  rake: bundle exec rake\n  console: irb\n  web: x\n"'
  cp -r "$pack" two
  echo '{"buildpacks": [{"url": "./one"}, {"url": "./two"}]}' >app.json
  printf 'web: bin/web\nrelease: bin/migrate\n' >Procfile
  echo '*.psd' >.slugignore
  touch a.psd b.psd
  built_with -- --app shop
  transcript_is '-----> Deleting 2 files matching .slugignore patterns.
-----> Building on the host stack
       presented to buildpacks as STACK=debian-12
-----> Using buildpacks:
       1. ./one
       2. ./two
       (listed in app.json (line 1))
-----> One 1.0 app detected
-----> Doing one thing
       in detail
flush left
-----> Two app detected
 !     a warning

-----> Discovering process types
       Procfile declares types     -> release, web
       Default types for buildpack -> console, rake

-----> Compressing...
       Done: SIZE'
}

# OUT: the three ways a build is rejected.
test_the_transcript_of_a_failed_compile() {
  pack broken Python <<<'echo " !     no such version"; exit 1'
  cp -r "$pack" broken
  expect_exit 1 build -b ./broken --app shop
  transcript_is '-----> Building on the host stack
       presented to buildpacks as STACK=debian-12
-----> Using buildpack: ./broken
       (named with -b)
-----> Python app detected
 !     no such version

 !     Push rejected, failed to compile Python app.

 !     Push failed
hint: the full log is in STATE/store/logs/BUILD.log; --debug opens a shell where it failed'
}

test_the_transcript_of_a_detect_that_says_no() {
  mkdir -p no/bin
  write_script no/bin/detect 'echo first; echo second >&2; exit 1'
  write_script no/bin/compile ''
  expect_exit 3 build -b ./no --app shop
  transcript_is '-----> Building on the host stack
       presented to buildpacks as STACK=debian-12
-----> Using buildpack: ./no
       (named with -b)
-----> App not compatible with buildpack: ./no
       first
second

       More info: https://devcenter.heroku.com/articles/buildpacks#buildpack-auto-detection

 !     Push failed
hint: check the order and the list of buildpacks (named with -b)'
}

test_the_transcript_of_an_app_nobody_knows() {
  expect_exit 3 build --app shop
  transcript_is '-----> Building on the host stack
       presented to buildpacks as STACK=debian-12
-----> Determining which buildpack to use for this app
 !     No default language could be detected for this app.
			HINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.
			See https://devcenter.heroku.com/articles/buildpacks

 !     Push failed
hint: `slipway detect` shows what was tried; name one with -b'
}

# OUT-1: bytes as they come, before their line has ended.
test_partial_lines_appear_at_once() {
  pack slow <<<'printf "%s" "-----> Fetching x..."; sleep 3; echo " done"'
  local log=$dir/../log
  "$house/slipway" build . --stack host --network none --progress heroku -b "$pack" >/dev/null 2>"$log" &
  pid=$!
  background_pids+=("$pid")
  within 20 grep -q 'Fetching x\.\.\.' "$log"
  lacks "$log" ' done'
  wait "$pid"
  contains "$log" '-----> Fetching x... done'
}

test_colours_returns_and_odd_bytes_pass_unchanged() {
  pack odd <<'E'
printf '\033[1;31mred\033[0m\n'
printf ' 10%%\r 50%%\r100%%\n'
printf 'latin \351 half \342\202 control \001\n' >&2
printf 'no newline at the end'
E
  built_with "$pack"
  printf '\033[1;31mred\033[0m\n 10%%\r 50%%\r100%%\nlatin \351 half \342\202 control \001\nno newline at the end' >expected
  LC_ALL=C sed '1,/odd app detected/d' "$err" >after
  cmp -n "$(stat -c %s expected)" expected after
  # The builder's own lines begin on a line of their own, and are in no colour.
  grep -qa '^-----> Discovering process types' "$err" || fail "a line was glued to the pack's last one"
  equal "$(tr -cd '\033' <"$err" | wc -c)" 2
}

test_stdout_and_stderr_keep_their_order() {
  pack order <<<'for i in 1 2 3 4 5 6 7 8 9; do echo "out $i"; echo "err $i" >&2; done'
  built_with "$pack"
  equal "$(grep -E '^(out|err) ' "$err" | tr '\n' ' ')" \
    "$(for i in 1 2 3 4 5 6 7 8 9; do printf 'out %s err %s ' "$i" "$i"; done)"
}

test_long_output_is_never_clipped() {
  pack long <<<'head -c 1000000 /dev/zero | tr "\0" x; echo; seq 1 20000'
  built_with "$pack"
  local log
  log=$(echo "$SLIPWAY_HOME"/logs/*.log)
  for log in "$err" "$log"; do
    equal "$(awk 'length($0) == 1000000' "$log" | wc -l)" 1
    equal "$(grep -cxE '[0-9]+' "$log")" 20000
  done
}

# PROC-2, PROC-3. procfile_types PROCFILE: what a build made of it.
procfile_types() {
  printf '%b' "$1" >Procfile
  built_with "$pack" -- --app proc --metadata-file "$dir/../m.json"
  json ../m.json '.process_types | to_entries | map("\(.key)=\(.value)") | join(";")'
}

test_the_lax_grammar_of_procfiles() {
  pack none </dev/null
  equal "$(procfile_types 'web:cmd\n')" ''
  equal "$(procfile_types 'web cmd\n')" 'web=cmd'
  equal "$(procfile_types ' web: x\nworker: y\n')" 'web=x;worker=y'
  equal "$(procfile_types 'web: one\nweb: two\n')" 'web=two'
  equal "$(procfile_types 'web: a b\r\nworker: c\r\n')" 'web=a b;worker=c'
  equal "$(procfile_types '\xef\xbb\xbfweb: bom\n')" 'web=bom'
  equal "$(procfile_types 'my-type: a\nmy_type: b\nTYPE9: c\n')" 'TYPE9=c;my-type=a;my_type=b'
  equal "$(procfile_types '# comment\n\n<<<<<<< HEAD\nweb: ok\n')" 'web=ok'
  equal "$(procfile_types 'heroku ps:scale web=1\n')" 'heroku=ps:scale web=1'
  equal "$(procfile_types 'web: no newline')" 'web=no newline'
}

test_lines_that_vanish_are_warned_of() {
  pack none </dev/null
  printf 'web:cmd\nworker: ok\n' >Procfile
  built_with "$pack"
  contains "$err" 'Procfile:1'
  contains "$err" '       Procfile declares types -> worker'
}

# PROC-4, OUT-5
test_defaults_and_procfile_are_merged() {
  pack defaults </dev/null
  release_script "$pack" 'printf "default_process_types:\n  web: default\n  console: irb\n"'
  echo 'web: mine' >Procfile
  built_with "$pack" -- --metadata-file "$dir/../m.json"
  equal "$(json ../m.json '.process_types | tojson')" '{"console":"irb","web":"mine"}'
  contains "$err" $'       Procfile declares types     -> web\n       Default types for buildpack -> console\n'
  rm Procfile
  built_with "$pack"
  contains "$err" $'       Procfile declares types     -> (none)\n       Default types for buildpack -> console, web\n'
  printf 'web: mine\nconsole: mine\n' >Procfile
  built_with "$pack"
  contains "$err" $'       Procfile declares types -> console, web\n\n'
  lacks "$err" 'Default types'
}

# --- secrets ---

secret=s3cr3t-Value/with+signs

# A pack that prints the secret whole, in two halves, and twice without a gap.
secret_pack() {
  pack leaky <<'E'
value=$(cat "$env/API_TOKEN")
echo "whole $value end"
printf 'halves %s' "${value:0:7}"; sleep 0.2; printf '%s end\n' "${value:7}"
echo "again $value$value" >&2
test ! -e "$build/fail"
E
}

no_trace_of() { equal "$(grep -rlaF -e "$1" "$SLIPWAY_HOME" || true)" ''; }

test_secrets_are_masked_everywhere() {
  local view
  secret_pack
  export API_TOKEN=$secret
  for view in heroku plain json; do
    expect_exit 0 slipway build . --stack host --network none --progress "$view" --no-cache --explain \
      -b "$pack" --secret-env API_TOKEN --slug "$dir/../s.tgz" --metadata-file "$dir/../m.json"
    lacks "$err" "$secret"
    contains "$err" 'whole [redacted] end'
    if [[ $view == json ]]; then
      # An output event may end anywhere; what they hold together counts.
      jq -j 'select(.type == "output") | .text' "$err" >"$dir/../text"
    else
      cp "$err" "$dir/../text"
    fi
    contains "$dir/../text" 'halves [redacted] end'
    contains "$dir/../text" 'again [redacted][redacted]'
    lacks "$dir/../text" "${secret:0:7}"
  done
  lacks ../m.json "$secret"
  if gunzip -c ../s.tgz | grep -qaF -e "$secret"; then fail "the secret is in the slug"; fi
  equal "$(grep -lF '[redacted]' "$SLIPWAY_HOME"/logs/*.log | wc -l)" 3
  no_trace_of "$secret"
}

test_a_failing_build_leaves_no_secret_either() {
  secret_pack
  touch fail
  expect_exit 1 build -b "$pack" --secret-env "API_TOKEN=$secret"
  contains "$err" 'whole [redacted] end'
  lacks "$err" "$secret"
  no_trace_of "$secret"
}

test_a_short_secret_is_told_once() {
  secret_pack
  built_with "$pack" -- --secret-env API_TOKEN=short
  equal "$(grep -c 'API_TOKEN is shorter than 8 bytes, so it cannot be masked in the output' "$err")" 1
}

test_secrets_of_urls_are_not_shown() {
  expect_exit 5 build -b "http://user:pa55word-here@127.0.0.1:9/pack.git"
  contains "$err" '127.0.0.1:9/pack.git'
  lacks "$err" pa55word-here
  no_trace_of pa55word-here
}

# --- JSON lines ---

test_the_json_view_is_one_object_a_line() {
  pack odd <<<'printf "partial"; sleep 0.1; printf " line\n\377\n"'
  expect_exit 0 slipway build . --stack host --network none --progress json -b "$pack" --app shop
  jq -s . "$err" >all.json
  equal "$(json all.json '.[0] | "\(.type) \(.version) \(.app) \(.stack) \(.reason)"')" 'build_started 1 shop host -b means buildpacks'
  equal "$(json all.json '.[-1] | "\(.type) \(.ok) \(.exit_code) \(.next_command)"')" 'build_finished true 0 slipway run shop'
  equal "$(json all.json '[.[] | select(.type == "step_finished" and (.title | startswith("compile"))) | .outcome] | join(",")')" ran
  jq -j 'select(.type == "output") | if .base64 then (.base64 | @base64d) else .text end' "$err" >text
  contains text 'partial line'
  equal "$(jq -r 'select(.type == "output" and .base64 != null) | .base64' "$err" | base64 -d | tr -cd '\377' | wc -c)" 1
}

test_the_last_json_line_tells_a_failure() {
  pack broken <<<'exit 3'
  expect_exit 1 slipway build . --stack host --network none --progress json -b "$pack"
  # What follows the stream is for people.
  grep '^{' "$err" | jq -s . >all.json
  equal "$(json all.json '.[-1] | "\(.type) \(.ok) \(.exit_code)"')" 'build_finished false 1'
  contains all.json 'exit 3'
}

test_the_plain_view_ends_with_the_next_command() {
  pack web </dev/null
  echo 'web: true' >Procfile
  expect_exit 0 slipway build . --stack host --network none --progress plain -b "$pack" --app shop
  contains "$err" 'slipway run shop web'
  expect_exit 0 slipway build . --stack host --network none --progress plain -b "$pack" --app shop
  grep -qxE 'Built [0-9.]+K in [0-9]+ ms, everything cached' "$err" || fail "not told: size, time, what was cached"
}

# --- --debug without a terminal ---

test_debug_runs_commands_in_the_failed_step() {
  pack broken <<<'echo made >"$build/half"; exit 3'
  local status=0
  printf 'pwd\ncat /tmp/build_*/half\necho "stack $STACK"\ncat /tmp/codon/tmp/env/KEY; echo\nexit\n' |
    slipway build . --stack host --network none --progress heroku --debug -b "$pack" -e KEY=value \
      >"$dir/../o" 2>"$dir/../e" || status=$?
  equal "$status" 1
  contains ../e 'This is the failed step.'
  contains ../e 'bin/compile'
  contains ../e $'\nmade\n'
  contains ../e 'stack debian-12'
  contains ../e $'\nvalue\n'
  contains ../e ' !     Push rejected, failed to compile broken app.'
}

test_debug_with_no_input_ends() {
  pack broken <<<'exit 3'
  expect_exit 1 build --debug -b "$pack"
  contains "$err" ' !     Push failed'
}

run_tests "$@"
