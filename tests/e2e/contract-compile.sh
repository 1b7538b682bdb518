#!/bin/bash
# The contract of a pack's scripts: order, arguments, environment, folders, exports, release
# (specs: PIPE, CMP, ENV, EXP, FS, REL). Each test names its rules.
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

# PIPE-1, PROC-1
test_release_and_procfile_see_what_compile_made() {
  pack maker <<'E'
mkdir -p "$build/tmp"
printf 'default_process_types:\n  console: from tmp\n' >"$build/tmp/x.yml"
echo 'web: from compile' >"$build/Procfile"
E
  release_script "$pack" "cat \"\$1/tmp/x.yml\""
  echo 'web: old' >Procfile
  built_with "$pack" -- --metadata-file "$dir/m.json"
  equal "$(json m.json '.process_types | to_entries | map("\(.key)=\(.value)") | join(",")')" \
    'console=from tmp,web=from compile'
}

# CMP-1, CMP-3, CMP-5
test_compile_gets_three_paths_its_own_folder_and_no_input() {
  pack caller <<'E'
echo "count $#"
echo "paths $1|$2|$3"
echo "script $0"
echo "here $(pwd)"
echo "input $(wc -c)"
echo "own $(head -c 11 bin/compile)"
for folder in "$@"; do test -d "$folder"; test "$(realpath "$folder")" = "$folder"; done
ls -A "$cache" | wc -l | sed 's/^/cached /'
echo talk >&2
E
  built_with "$pack" -- --app caller
  contains "$err" 'count 3'
  grep -qxE 'paths /tmp/build_[0-9a-f]{8}\|/tmp/codon/tmp/cache\|/[^|: #]*[^/]' "$err" || fail "odd paths"
  grep -qxE "here /[A-Za-z0-9/._-]+" "$err" || fail "odd folder of the pack"
  equal "$(sed -n 's/^script //p' "$err")" "$(sed -n 's/^here //p' "$err")/bin/compile"
  contains "$err" 'input 0'
  contains "$err" 'own #!/bin/bash'
  contains "$err" 'cached 0'
  contains "$err" 'talk'
}

# CMP-1: detect and release get one argument and run in the pack's folder too.
test_detect_and_release_get_the_build_folder() {
  pack one </dev/null
  detect_script "$pack" "echo \"D \$# \$1 \$(basename \"\$PWD\")\""
  release_script "$pack" "echo \"default_process_types: {shown: R \$# \$1}\""
  built_with "$pack" -- --app one --metadata-file "$dir/m.json"
  local name
  name=$(json m.json .buildpack_provided_description)
  [[ $name =~ ^D\ 1\ (/tmp/build_[0-9a-f]{8})\  ]] || fail "detect got: $name"
  equal "$(json m.json .process_types.shown)" "R 1 ${BASH_REMATCH[1]}"
}

# CMP-4
test_exit_3_fails_the_build() {
  pack seven Failing <<<'echo "oh no"; exit 3'
  expect_exit 1 build -b "$pack"
  contains "$err" $'-----> Failing app detected\noh no\n\n !     Push rejected, failed to compile Failing app.\n\n !     Push failed'
}

test_death_by_signal_fails_the_build() {
  pack killed Killed <<<'kill -9 $$'
  expect_exit 1 build -b "$pack"
  contains "$err" ' !     Push rejected, failed to compile Killed app.'
}

# CMP-6: a daemon that holds the pipe does not hold the build.
test_a_left_daemon_does_not_hold_the_build() {
  local began=$SECONDS
  pack daemon <<<'sleep 1000 & echo started; exit 0'
  built_with "$pack"
  contains "$err" started
  if ((SECONDS - began > 10)); then fail "the build took $((SECONDS - began)) s"; fi
}

# PIPE-2: the limit ends the script and its children.
test_the_time_limit_kills_all_of_the_step() {
  local began=$SECONDS seconds=7391$((RANDOM % 10))$$
  pack slow Slow <<<"sleep $seconds & echo waiting; sleep $seconds"
  expect_exit 1 build -b "$pack" --timeout 3s
  if ((SECONDS - began > 20)); then fail "the limit of 3 s came after $((SECONDS - began)) s"; fi
  contains "$err" $'waiting\n !     Timed out compiling Slow app (3'
  contains "$err" ' !     See https://devcenter.heroku.com/articles/slug-compiler#time-limit'
  contains "$err" ' !     Push rejected, failed to compile Slow app.'
  if pgrep -f "sleep $seconds" >/dev/null; then fail "a child outlived the limit"; fi
}

# ENV-1, ENV-2, ENV-7
test_config_vars_are_files_and_nothing_else() {
  pack vars <<'E'
for key in LINES QUOTED LAST NAME EMPTY; do printf '%s ' "$key"; od -An -tx1 -v "$env/$key" | tr -d ' \n'; echo; done
stat -c 'folder %a' "$env"
stat -c 'file %a %n' "$env"/* | sed "s,$env/,,"
ls -A "$env" | wc -l | sed 's/^/keys /'
env | grep -cE '^(LINES|QUOTED|LAST|NAME|EMPTY)=' | sed 's/^/compile sees /' || true
E
  detect_script "$pack" "echo \"detect sees \$(env | grep -cE '^(LINES|NAME)=')\""
  release_script "$pack" "echo \"default_process_types: {release: sees \$(env | grep -cE '^(LINES|NAME)=')}\""
  built_with "$pack" -- -e $'LINES=a\nb' -e "QUOTED=\"it's\" \$HOME" -e $'LAST=x\n' -e 'NAME=naïve' -e EMPTY= \
    --metadata-file "$dir/m.json"
  contains "$err" 'LINES 610a62'
  contains "$err" "QUOTED $(printf '%s' "\"it's\" \$HOME" | od -An -tx1 -v | tr -d ' \n')"
  contains "$err" 'LAST 780a'
  contains "$err" 'NAME 6e61c3af7665'
  contains "$err" $'EMPTY \n'
  contains "$err" 'folder 700'
  equal "$(grep -c '^file 600 ' "$err")" 5
  contains "$err" 'keys 5'
  contains "$err" 'compile sees 0'
  contains "$err" 'detect sees 0 app detected'
  equal "$(json m.json .process_types.release)" 'sees 0'
}

# ENV-4
test_a_key_with_a_blank_is_refused() {
  pack any </dev/null
  expect_exit 2 build -b "$pack" -e 'A B=1'
  contains "$err" 'A B'
  expect_exit 2 build -b "$pack" -e $'A\nB=1'
  expect_exit 2 build -b "$pack" -e '1A=1'
  printf 'GOOD=1\nBAD-KEY=2\n' >"$dir/vars"
  expect_exit '2|4' build -b "$pack" --env-file "$dir/vars"
  contains "$err" 'BAD-KEY'
  contains "$err" 'vars:2'
}

test_env_file_and_flags_and_the_environment() {
  pack vars <<<'for key in $(ls "$env"); do echo "$key=$(cat "$env/$key")"; done'
  printf '# a comment\nFROM_FILE=file\nBOTH=file\nQUOTED="two words"\n' >vars
  export TAKEN=from-environment
  built_with "$pack" -- --env-file vars -e BOTH=flag -e TAKEN
  contains "$err" 'FROM_FILE=file'
  contains "$err" 'BOTH=flag'
  contains "$err" 'TAKEN=from-environment'
  # As docker reads it, and said so.
  contains "$err" 'QUOTED="two words"'
  contains "$err" 'the quotes are part of the value of QUOTED'
}

# FS-1, FS-2, FS-3
test_the_environment_is_exactly_the_contract() {
  pack environment <<'E'
env -0 | tr '\n\0' '_\n' | sort | sed 's/^/env /'
E
  detect_script "$pack" "env | cut -d= -f1 | LC_ALL=C sort | tr '\n' ' '"
  export CI=true LC_ALL=C PORT=1 GIT_DIR=. TMPDIR=/tmp
  built_with "$pack" -- --app environment --present heroku-22
  equal "$(sed -n 's/^env \([^=]*\)=.*/\1/p' "$err" | LC_ALL=C sort | tr '\n' ' ')" \
    'BUILDPACK_LOG_FILE DYNO HOME OLDPWD PATH PWD REQUEST_ID SHLVL SOURCE_VERSION STACK _ '
  contains "$err" 'env STACK=heroku-22'
  contains "$err" 'env HOME=/app'
  contains "$err" 'env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  contains "$err" $'env SOURCE_VERSION=\n'
  contains "$err" '-----> BUILDPACK_LOG_FILE DYNO HOME OLDPWD PATH PWD REQUEST_ID SHLVL SOURCE_VERSION STACK _ app detected'
}

test_source_version_is_the_commit() {
  need_program git
  pack version <<<'echo "version $SOURCE_VERSION"; ! git rev-parse HEAD 2>/dev/null; test ! -e "$build/.git"'
  echo one >file
  git_repository .
  built_with "$pack"
  contains "$err" $'version \n'
  expect_exit 0 slipway build "$(bare_of .)" --stack host --network none --progress heroku -b "$pack"
  contains "$err" "version $(git rev-parse HEAD)"
}

git_repository() {
  git -C "$1" init -q -b main
  git -C "$1" add -A
  git -C "$1" -c user.name=t -c user.email=t@localhost -c commit.gpgsign=false commit -q -m one
}

bare_of() {
  git clone -q --bare "$1" "$test_state/bare.git"
  printf '%s/bare.git' "$test_state"
}

# FS-5, FS-6
test_app_folder_is_writable_and_not_in_the_slug() {
  pack first <<'E'
test -z "$(ls -A /app)"
mkdir -p /app/.heroku "$build/.heroku/x"
ln -s "$build/.heroku/x" /app/.heroku/x
echo through >/app/.heroku/x/file
echo lost >/app/lost
E
  local first=$pack
  pack second <<<'readlink /app/.heroku/x; cat /app/.heroku/x/file /app/lost'
  built_with "$first" "$pack" -- --app fs --slug "$dir/s.tgz"
  contains "$err" $'through\nlost'
  equal "$(tar tzf s.tgz | grep -v '/$')" './app/.heroku/x/file'
}

# FS-8
test_build_and_cache_are_one_filesystem() {
  pack linker <<'E'
df --output=target "$build" | tail -n 1 | sed 's/^/build on /'
df --output=target "$cache" | tail -n 1 | sed 's/^/cache on /'
echo kept >"$build/file"
ln "$build/file" "$cache/file"
test "$(stat -c %i "$build/file")" = "$(stat -c %i "$cache/file")"
mkdir -p "$build/made/deep"
echo deep >"$build/made/deep/file"
# A rename, not a copy.
inode=$(stat -c %i "$build/made")
mv "$build/made" "$cache/made"
test "$inode" = "$(stat -c %i "$cache/made")"
mkdir "$cache/back"
perl -e 'rename($ARGV[0], $ARGV[1]) or die "rename: $!\n"' "$cache/back" "$build/back"
E
  local linker=$pack
  need_program perl
  built_with "$linker" -- --app links
  equal "$(sed -n 's/^build on //p' "$err")" "$(sed -n 's/^cache on //p' "$err")"
  pack reader <<<'cat "$cache/file" "$cache/made/deep/file"'
  built_with "$pack" -- --app links
  contains "$err" $'kept\ndeep\n'
}

# SRC-9, EXP-1..3
test_exports_are_sourced_and_do_not_pile_up() {
  pack exporter <<'E'
echo 'declare -x A="1 2"' >>export
echo 'B=${B:-}${UNSET_BEFORE:-x}; export B; export PATH="/exported:$PATH"' >>export
wc -l <export | sed 's/^/lines /'
E
  local exporter=$pack
  pack reader <<'E'
echo "A=[$A] B=[$B] PATH=$PATH"
echo 'declare -x C=third' >export
E
  detect_script "$pack" 'echo "reader[${A:-}]"'
  local reader=$pack
  pack last <<<'echo "all [$A] [$B] [$C]"'
  release_script "$pack" 'echo "default_process_types: {seen: \"[${A:-}${C:-}]\"}"'
  local round
  for round in 1 2; do
    built_with "$exporter" "$reader" "$pack" -- --no-cache --metadata-file "$dir/m.json"
    contains "$err" $'\nlines 2\n'
    contains "$err" 'A=[1 2] B=[x] PATH=/exported:/usr/local/sbin:'
    contains "$err" 'all [1 2] [x] [third]'
    equal "$(json m.json .process_types.seen)" '[]'
  done
  equal "$round" 2
  test ! -e "$exporter/export" || fail "the user's own pack was written to"
}

# REL-1, REL-2: exit 0 with these process types for each text.
release_case() { # NAME TEXT TYPES
  printf '%s' "$2" >"$pack/release.yml"
  expect_exit 0 build -b "$pack" --app release --metadata-file "$dir/m.json"
  equal "$1: $(json m.json '.process_types | to_entries | map("\(.key)=\(.value)") | join(";")')" "$1: $3"
}

test_release_yaml_in_all_its_shapes() {
  pack release </dev/null
  release_script "$pack" 'cat release.yml'
  release_case empty '' ''
  release_case dashes $'---\n' ''
  release_case map $'--- {}\n' ''
  release_case elixir $'addons:\n  []\ndefault_process_types:\n  web: mix run --no-halt\n' 'web=mix run --no-halt'
  release_case empty_map $'---\ndefault_process_types: {}\n' ''
  release_case null_map $'default_process_types:\nconfig_vars:\n' ''
  release_case unknown $'---\nfuture: {a: [1]}\ndefault_process_types:\n  web: bin/x -p $PORT; echo a:b\n' \
    'web=bin/x -p $PORT; echo a:b'
  release_case quoted $'---\naddons: []\ndefault_process_types:\n  "rake": "bundle exec rake"\n  console: \'irb\'\n' \
    'console=irb;rake=bundle exec rake'
}

test_a_pack_without_release_has_no_types() {
  pack none </dev/null
  built_with "$pack" -- --metadata-file "$dir/m.json"
  equal "$(json m.json '.process_types | length')" 0
  contains "$err" '       Procfile declares types -> (none)'
}

test_a_failing_or_unreadable_release_fails_the_build() {
  pack broken </dev/null
  release_script "$pack" 'echo why >&2; exit 9'
  expect_exit 1 build -b "$pack"
  contains "$err" why
  contains "$err" "bin/release of $pack failed (exit 9)"
  contains "$err" ' !     Push failed'
  release_script "$pack" 'echo "a: [1"'
  expect_exit 1 build -b "$pack"
  contains "$err" 'release'
  contains "$err" ' !     Push failed'
}

# REL-3
test_the_last_pack_decides_the_types() {
  pack first </dev/null
  release_script "$pack" 'echo "default_process_types: {web: first, only: first}"'
  local first=$pack
  pack second </dev/null
  release_script "$pack" 'echo "default_process_types: {web: second}"'
  built_with "$first" "$pack" -- --metadata-file "$dir/m.json"
  equal "$(json m.json '.process_types | tojson')" '{"web":"second"}'
}

# REP-1
test_report_is_not_shown_and_cannot_fail_a_build() {
  pack reporter </dev/null
  write_script "$pack/bin/report" 'echo "telemetry: yes"; echo noise >&2; exit 4'
  built_with "$pack"
  lacks "$err" telemetry
  lacks "$err" noise
}

run_tests "$@"
