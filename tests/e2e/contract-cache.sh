#!/bin/bash
# The build cache that packs see, and the cache of results (specs: CACHE; "unchanged means nothing runs").
# shellcheck disable=SC2016 # the packs' scripts stand in single quotes
# shellcheck source=tests/e2e/lib.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=tests/e2e/packs.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/packs.sh"

# CACHE-1, CACHE-2
test_packs_share_one_cache_that_lasts() {
  pack writer <<<'mkdir -p "$cache/build-data"; date +%s%N >>"$cache/build-data/lines"'
  local writer=$pack
  pack reader <<<'wc -l <"$cache/build-data/lines" | sed "s/^/lines /"'
  built_with "$writer" "$pack" -- --app shared
  contains "$err" $'lines 1\n'
  built_with "$writer" "$pack" -- --app shared --no-cache
  contains "$err" $'lines 2\n'
  built_with "$writer" "$pack" -- --app other
  contains "$err" $'lines 1\n'
}

# The cache belongs to --app, else to name and path.
test_two_folders_of_one_name_have_two_caches() {
  pack writer <<<'echo x >>"$cache/lines"; wc -l <"$cache/lines" | sed "s/^/lines /"'
  local place
  for place in a b; do
    mkdir -p "$place/shop"
    expect_exit 0 slipway build "$place/shop" --stack host --network none --progress heroku --no-cache -b "$pack"
    contains "$err" $'lines 1\n'
  done
  expect_exit 0 slipway build a/shop --stack host --network none --progress heroku --no-cache -b "$pack"
  contains "$err" $'lines 2\n'
}

test_a_failed_build_publishes_no_cache() {
  pack half <<<'cat "$cache/mark" 2>/dev/null || echo none; echo written >"$cache/mark"; test ! -e "$build/fail"'
  touch fail
  expect_exit 1 build -b "$pack" --app half
  contains "$err" $'none\n'
  rm fail
  built_with "$pack" -- --app half
  contains "$err" $'none\n'
  built_with "$pack" -- --app half --no-cache
  contains "$err" $'written\n'
}

# CACHE-3
test_a_changed_stack_keeps_the_cache() {
  pack marker <<<'echo "was [$(cat "$cache/stack" 2>/dev/null)] is [$STACK]"; echo "$STACK" >"$cache/stack"'
  built_with "$pack" -- --app moved --present heroku-22
  contains "$err" 'was [] is [heroku-22]'
  built_with "$pack" -- --app moved
  contains "$err" 'was [heroku-22] is [debian-12]'
}

# CACHE-4
test_purge_keeps_only_vendor_heroku() {
  pack filler <<'E'
find "$cache" -type f -printf 'left %P\n'
mkdir -p "$cache/vendor/heroku" "$cache/vendor/bundle"
touch "$cache/vendor/heroku/secret" "$cache/vendor/bundle/gem" "$cache/top"
E
  built_with "$pack" -- --app purged
  expect_exit 0 slipway cache purge purged
  built_with "$pack" -- --app purged --no-cache
  equal "$(grep '^left' "$err")" 'left vendor/heroku/secret'
}

# CACHE-5
test_modes_links_times_and_read_only_trees_come_back() {
  pack odd <<'E'
show() {
  cd "$cache"
  find . -mindepth 1 -printf '%y %m %l %P\n' | LC_ALL=C sort | od -An -c | tr -d ' \n' | md5sum
  stat -c '%Y %h' tree/sub/file | sed 's/^/file /'
}
if [ -e "$cache/tree" ]; then
  echo found
  show
  # The next build replaces what was read-only, as a pack does.
  chmod -R u+w "$cache/tree" && rm -rf "${cache:?}"/* && echo removed
  exit 0
fi
mkdir -p "$cache/tree/sub" "$cache/private"
echo data >"$cache/tree/sub/file"
touch -d @1234567890 "$cache/tree/sub/file"
ln "$cache/tree/sub/file" "$cache/hard"
ln -s nowhere "$cache/broken"
ln -s /app/absolute "$cache/absolute"
printf x >"$cache/$(printf 'b\377\376 c')"
printf '#!/bin/sh\n' >"$cache/run" && chmod 751 "$cache/run"
chmod 700 "$cache/private"
chmod 444 "$cache/tree/sub/file"
chmod 555 "$cache/tree/sub" "$cache/tree"
show
E
  built_with "$pack" -- --app odd
  local before
  before=$(grep -E '^[0-9a-f]{32}|^file' "$err")
  contains "$err" 'file 1234567890 2'
  built_with "$pack" -- --app odd --no-cache
  contains "$err" $'found\n'
  equal "$(grep -E '^[0-9a-f]{32}|^file' "$err")" "$before"
  contains "$err" 'removed'
  built_with "$pack" -- --app odd --no-cache
  lacks "$err" found
}

# Nothing changed: the same slug, no pack runs, no process but ours is started.
test_an_unchanged_rebuild_runs_nothing() {
  pack dated <<<'date +%s%N >"$build/when"; echo COMPILED'
  echo text >file
  built_with "$pack" -- --slug "$dir/../one.tgz"
  contains "$err" COMPILED
  sleep 0.01
  touch file
  built_with "$pack" -- --slug "$dir/../two.tgz"
  lacks "$err" COMPILED
  contains "$err" 'Nothing changed since the last build: using its result'
  cmp ../one.tgz ../two.tgz
  built_with "$pack" -- --no-cache --slug "$dir/../three.tgz"
  contains "$err" COMPILED
  if cmp -s ../one.tgz ../three.tgz; then fail "--no-cache ran nothing"; fi
}

test_an_unchanged_rebuild_starts_no_process() {
  need_program strace
  pack quick <<<'echo COMPILED'
  built_with "$pack"
  # The launcher is not the program.
  expect_exit 0 strace -f -qq -o "$dir/../trace" -e trace=execve,clone,fork,vfork,clone3 \
    "$house/build/release/slipway" build . --stack host --network none --progress heroku -b "$pack"
  lacks "$err" COMPILED
  equal "$(grep -c 'execve(' ../trace)" 1
  if grep -E '(fork|clone3?)\(' ../trace | grep -vE 'CLONE_THREAD'; then fail "a process was started"; fi
}

# Whatever can change the result makes the packs run; the first such input is named.
test_explain_names_the_first_input_that_changed() {
  pack plain <<<'echo COMPILED'
  echo one >file
  built_with "$pack" -- --app why --explain
  built_with "$pack" -- --app why --explain
  lacks "$err" COMPILED
  mkdir lib
  echo two >file
  echo new >lib/x
  built_with "$pack" -- --app why --explain
  contains "$err" COMPILED
  grep -E "file" "$err" | grep -q . || fail "the changed file is not named"
  contains "$err" 'file'
  echo '# more' >>"$pack/bin/compile"
  built_with "$pack" -- --app why --explain
  contains "$err" COMPILED
  contains "$err" 'bin/compile'
  built_with "$pack" -- --app why --explain -e NEW=1
  contains "$err" COMPILED
  contains "$err" 'NEW'
  built_with "$pack" -- --app why --explain -e NEW=1 --present heroku-22
  contains "$err" COMPILED
  contains "$err" 'STACK'
}

test_a_changed_config_value_is_not_shown_by_explain() {
  pack plain <<<'echo COMPILED'
  built_with "$pack" -- --app value -e KEY=first-value-of-it
  built_with "$pack" -- --app value -e KEY=second-value-of-it --explain
  contains "$err" COMPILED
  contains "$err" KEY
  lacks "$err" second-value
  lacks "$err" first-value
}

test_modes_and_links_of_the_source_count_and_times_do_not() {
  pack plain <<<'echo COMPILED'
  echo '#!/bin/sh' >run
  ln -s run link
  built_with "$pack"
  touch -d '2001-01-01' run
  built_with "$pack"
  lacks "$err" COMPILED
  chmod 755 run
  built_with "$pack"
  contains "$err" COMPILED
  ln -sfn nowhere link
  built_with "$pack"
  contains "$err" COMPILED
}

run_tests "$@"
